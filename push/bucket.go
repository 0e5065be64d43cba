package push

import "time"

// bucket is a token bucket: burst at once, rate per second in the long run.
type bucket struct {
	rate, burst float64
	tokens      float64   // as of last; less than none are a debt
	last        time.Time // by the monotonic clock, or a bucket would stand still when the time of day is set back
}

func newBucket(rate float64, burst int, now time.Time) bucket {
	return bucket{rate: rate, burst: float64(burst), tokens: float64(burst), last: now}
}

// level is how many tokens there are.
func (b *bucket) level(now time.Time) float64 {
	return min(b.burst, b.tokens+b.rate*max(0, now.Sub(b.last)).Seconds())
}

// spend takes so many tokens, whether they are there or not.
func (b *bucket) spend(n float64, now time.Time) { b.tokens, b.last = b.level(now)-n, now }

// take takes a token if there is one.
func (b *bucket) take(now time.Time) bool {
	if b.level(now) < 1 {
		return false
	}
	b.spend(1, now)
	return true
}
