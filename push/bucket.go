package push

import "time"

// bucket is a token bucket: burst at once, rate per second in the long run.
type bucket struct {
	rate, burst float64
	tokens      float64
	last        int64 // ns of the clock
}

func newBucket(rate float64, burst int, now time.Time) bucket {
	return bucket{rate: rate, burst: float64(burst), tokens: float64(burst), last: now.UnixNano()}
}

func (b *bucket) take(now time.Time) bool {
	at := now.UnixNano()
	b.tokens = min(b.burst, b.tokens+b.rate*time.Duration(max(0, at-b.last)).Seconds())
	b.last = at
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
