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

// fill adds what has come since the last time, and returns what there is: less than nothing while there is a debt.
func (b *bucket) fill(now time.Time) float64 {
	at := now.UnixNano()
	b.tokens = min(b.burst, b.tokens+b.rate*time.Duration(max(0, at-b.last)).Seconds())
	b.last = at
	return b.tokens
}

// take takes a token if there is one.
func (b *bucket) take(now time.Time) bool {
	if b.fill(now) < 1 {
		return false
	}
	b.tokens--
	return true
}

// spend takes so many tokens, whether they are there or not.
func (b *bucket) spend(n int, now time.Time) { b.tokens = b.fill(now) - float64(n) }
