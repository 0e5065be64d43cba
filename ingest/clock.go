package ingest

import (
	"math"
	"slices"

	"weir/devices"
	"weir/telemetry"
	"weir/wire"
)

// Tracker is told the fate of every frame, once for each of its devices, when it is settled: what is accepted is
// acknowledged by then. It is called from many goroutines, those of the producer included, must neither block nor
// lock what all devices share, and keeps nothing of info.
type Tracker interface {
	Frame(device string, info *devices.FrameInfo)
}

// times is the span of source times in a batch, and how many readings are older than one before them.
type times struct {
	oldest, newest int64 // 0: no reading has a time of its own
	outOfOrder     int
}

// timesOf looks at readings in the order in which they came. Those without a time of their own have been given now,
// and say nothing of the device's clock: they count for the order only.
func timesOf(readings []telemetry.Reading, now int64) times {
	t := times{oldest: math.MaxInt64, newest: math.MinInt64}
	last := int64(math.MinInt64)
	for i := range readings {
		at := readings[i].Time
		if at < last {
			t.outOfOrder++
		} else {
			last = at
		}
		if at != now {
			t.oldest, t.newest = min(t.oldest, at), max(t.newest, at)
		}
	}
	if t.newest == math.MinInt64 {
		return times{outOfOrder: t.outOfOrder}
	}
	return t
}

// tracked is what a receipt knows of one of its frame's devices.
type tracked struct {
	device string
	devices.FrameInfo
}

// info is what is known of any device's part of the receipt's frame.
func (r *receipt) info() devices.FrameInfo {
	return devices.FrameInfo{Seq: r.Seq, HasSeq: r.HasSeq, Now: r.started, HTTP: r.Frame == 0 && !r.will}
}

// track notes a batch for the tracker. Its place on the stack is not to come before that of what else is done with
// the batch: an idle connection keeps the size that its stack once had.
//
//go:noinline
func (r *receipt) track(b *telemetry.Batch, t *times) *devices.FrameInfo {
	info := r.info()
	info.Session, info.Newest, info.OutOfOrder = b.Session, t.newest, t.outOfOrder
	r.tracked = append(r.tracked, tracked{b.Device, info})
	return &r.tracked[len(r.tracked)-1].FrameInfo
}

// trackRefused notes that n readings were refused, or with 0 the whole frame, for the device that the frame is about,
// as far as that is known: the only one in it, or else the connection's.
//
//go:noinline
func (r *receipt) trackRefused(own string, n int, code, path string) {
	if len(r.tracked) == 1 {
		own = r.tracked[0].device
	}
	if own == "" {
		return
	}
	at := slices.IndexFunc(r.tracked, func(t tracked) bool { return t.device == own })
	if at < 0 {
		at = len(r.tracked)
		r.tracked = append(r.tracked, tracked{own, r.info()})
	}
	t := &r.tracked[at]
	t.Rejected, t.Code, t.Path = n, code, path
}

// trackUnstored takes back what the tracker was to be told: nothing of the frame is stored. A limit has refused it,
// or it is to be sent again.
func (r *receipt) trackUnstored(e *wire.Error, limited bool) {
	for i := range r.tracked {
		t := &r.tracked[i]
		n := t.Accepted + t.Duplicate + t.Late + t.Rejected
		t.Accepted, t.Duplicate, t.Late, t.Rejected, t.Backlog = 0, 0, 0, 0, 0
		t.Code = e.Code
		if limited {
			t.Limited, t.LimitedN = e.Code, n
		}
	}
}

// tell gives the tracker what the receipt says.
func (r *receipt) tell() {
	for i := range r.tracked {
		t := &r.tracked[i]
		if t.Rejected > 0 {
			t.Rejections = r.Rejected
		}
		r.tracker.Frame(t.device, &t.FrameInfo)
	}
	clear(r.tracked) // an idle connection keeps nothing alive
	r.tracked = r.tracked[:0]
}
