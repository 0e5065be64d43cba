package ingest

import (
	"sync/atomic"

	"weir/wire"
)

const (
	// retryAfterMs is what a device is told when its frame could not be stored.
	retryAfterMs = 1000
	// rejectionBytes is about what a rejection takes until it is sent.
	rejectionBytes = 128
	// keepRejections is how many a receipt keeps room for.
	keepRejections = 64
)

var errNotStored = wire.NewError(wire.CodeNotStored, "")

// receipt is the answer to one frame in the making. The reader fills it, the producer's goroutines complete
// it, the writer sends it; it is reused for a later frame.
type receipt struct {
	done     func(base int64, err error) // handed to every Produce of the frame; made once
	complete func()                      // called when the last record is acknowledged; must not block

	// Filled by the reader until its release, then the writer's.
	wire.Receipt
	acks    []*session // to be told of Seq
	tracked []tracked  // what tracker is to be told
	started int64      // when the frame came, µs
	shares  [lanes]held
	claimed bool    // Seq is, of all acks
	tracker Tracker // nil: none
	will    bool    // a last will: no sign of life

	pending atomic.Int32 // records not yet acknowledged, plus the reader's own hold
	failed  atomic.Pointer[error]
	ready   atomic.Bool
}

func newReceipt(complete func()) *receipt {
	r := &receipt{complete: complete}
	r.done = func(_ int64, err error) {
		if err != nil {
			r.fail(err)
		}
		r.release()
	}
	return r
}

// begin prepares the receipt for a frame and holds it until release.
func (r *receipt) begin(frame uint64, credit int, now int64) {
	r.Receipt = wire.Receipt{Frame: frame, Credit: credit, Rejected: r.Rejected[:0]}
	r.acks, r.tracked = r.acks[:0], r.tracked[:0]
	r.shares = [lanes]held{}
	r.started, r.will, r.claimed = now, false, false
	r.failed.Store(nil)
	r.ready.Store(false)
	r.pending.Store(1)
}

// held is what a frame's records take of a lane's share of the producer's buffer.
type held struct {
	of    *share
	bytes int64
}

// hold notes that bytes of a lane's share are taken until the receipt is settled.
func (r *receipt) hold(of *share, in lane, bytes int64) {
	r.shares[in].of = of
	r.shares[in].bytes += bytes
	of.taken.Add(bytes)
}

// refuse makes the receipt say that the frame as a whole is not taken for now, because of a limit or not. Nothing of
// it may have been produced.
func (r *receipt) refuse(e *wire.Error, retryAfter int64, limited bool) {
	r.disclaim()
	r.Accepted, r.Duplicate, r.Late = 0, 0, 0
	r.Rejected, r.acks = r.Rejected[:0], r.acks[:0]
	r.Err, r.RetryAfter = e, retryAfter
	r.trackUnstored(e, limited)
}

// checked makes the receipt one of a frame of which nothing is stored.
func (r *receipt) checked() {
	r.acks, r.tracked = r.acks[:0], r.tracked[:0]
	r.DryRun = true
}

func (r *receipt) fail(err error) { r.failed.CompareAndSwap(nil, &err) }

// release gives up one hold. The last one settles what the receipt says.
func (r *receipt) release() {
	if r.pending.Add(-1) != 0 {
		return
	}
	for i := range r.shares {
		if h := &r.shares[i]; h.bytes > 0 {
			h.of.taken.Add(-h.bytes)
		}
	}
	if r.cause() != nil {
		r.Accepted, r.Duplicate, r.Late = 0, 0, 0
		r.Err, r.RetryAfter = errNotStored, retryAfterMs
		r.trackUnstored(errNotStored, false)
	} else {
		for _, s := range r.acks {
			s.acknowledge(r.Seq)
		}
	}
	r.disclaim()
	if r.tracker != nil {
		r.tell()
	}
	r.ready.Store(true)
	r.complete()
}

// claim keeps others from storing the same frame until disclaim. It is false when one is doing so, or has done.
func (r *receipt) claim() bool {
	for i, s := range r.acks {
		if s.claim(r.Seq) {
			continue
		}
		for _, before := range r.acks[:i] {
			before.disclaim(r.Seq)
		}
		return false
	}
	r.claimed = true
	return true
}

func (r *receipt) disclaim() {
	if !r.claimed {
		return
	}
	r.claimed = false
	for _, s := range r.acks {
		s.disclaim(r.Seq)
	}
}

// cause is why the frame was not stored, or nil.
func (r *receipt) cause() error {
	if p := r.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// owed is about how much memory the receipt holds until it is sent.
func (r *receipt) owed() int64 { return int64(len(r.Rejected))*rejectionBytes + int64(len(r.acks))*8 }

// shrink gives back what an unusually bad, or mixed, frame has grown.
func (r *receipt) shrink() {
	if cap(r.Rejected) > keepRejections {
		r.Rejected = nil
	}
	if cap(r.acks) > keepDevices || cap(r.tracked) > keepDevices {
		r.acks, r.tracked = nil, nil
	}
}
