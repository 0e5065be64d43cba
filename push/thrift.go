package push

import (
	"sync"
	"time"
)

// What is read of the log for all who come back, whatever cursors they bring: so many bytes at once, and so many per
// second in the long run. A request is small and what it makes the server read is not.
const (
	thriftUnit  = 256 << 10
	thriftBurst = 256 << 20 / thriftUnit
	thriftRate  = 8 << 20 / thriftUnit
)

// thrift bounds what is read again of the log.
type thrift struct {
	mu     sync.Mutex
	bucket bucket // of units
}

func newThrift(now time.Time) thrift { return thrift{bucket: newBucket(thriftRate, thriftBurst, now)} }

// reading is what one reader has of the thrift's.
type reading struct {
	of   *thrift
	now  func() time.Time
	left int // bytes
}

// begin begins a reading. It costs a unit at least, as what is fetched is not small.
func (t *thrift) begin(now func() time.Time) reading { return reading{of: t, now: now} }

// spend reports whether so many bytes more may be read.
func (r *reading) spend(bytes int) bool {
	for r.left -= bytes; r.left <= 0; r.left += thriftUnit {
		if !r.of.take(r.now()) {
			return false
		}
	}
	return true
}

func (t *thrift) take(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bucket.take(now)
}
