package push

import "time"

// bucket is a token bucket: burst at once, rate per second in the long run.
type bucket struct {
	rate, burst float64
	tokens      float64
	last        time.Time
}

func newBucket(rate float64, burst int, now time.Time) bucket {
	return bucket{rate: rate, burst: float64(burst), tokens: float64(burst), last: now}
}

func (b *bucket) take(now time.Time) bool {
	b.tokens = min(b.burst, b.tokens+b.rate*max(0, now.Sub(b.last).Seconds()))
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
