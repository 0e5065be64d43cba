package ingest

import (
	"math"
	"time"
)

// eagerReceipts is for how many receipts a device that seemed to wait for one gets them at once.
const eagerReceipts = 64

// pace decides when receipts are written. One after a pause goes at once. After that, receipts are gathered
// for ReceiptDelay, as long as the device keeps sending: a write and the wake-up of its reader cost more
// than all else that is done for a small frame. A device that falls silent while a receipt is held may be
// waiting for it, and is answered at once for a while.
//
// It is the writer's, who also writes now and then without asking.
type pace struct {
	delay int32 // µs
	full  uint32

	eager   uint32
	holding bool
	written int64  // when the last write was, µs
	tail    uint64 // how far the device had got when holding began
}

func newPace(c *Config) pace {
	return pace{delay: int32(min(c.ReceiptDelay.Microseconds(), math.MaxInt32)), full: uint32(max(1, c.Credit/2))}
}

// hold is how long to wait before writing. head … tail-1 are the frames without a receipt.
func (p *pace) hold(now int64, head, tail uint64) time.Duration {
	left := int64(p.delay) - (now - p.written)
	if left <= 0 || p.eager > 0 || tail-head >= uint64(p.full) {
		return 0
	}
	if !p.holding {
		p.holding, p.tail = true, tail
	}
	return time.Duration(left) * time.Microsecond
}

// wrote notes that n receipts were written.
func (p *pace) wrote(now int64, n, tail uint64) {
	p.eager -= uint32(min(uint64(p.eager), n))
	if p.holding && p.tail == tail {
		p.eager = eagerReceipts
	}
	p.holding, p.written = false, now
}
