package wire

import (
	"slices"

	"weir/telemetry"
)

// gathering collects the readings of a frame, of whatever format, and makes Batches and Rejections of them. It
// keeps its buffers from frame to frame.
type gathering struct {
	opts DecoderOptions

	// The frame being read: its time of arrival, and its readings as far as they are known.
	now   int64
	items []item
	texts texts

	// The result; valid until the next frame.
	frame    Frame
	readings []telemetry.Reading
	index    []int
	sorted   sorter
}

// pather names the place of a reading's field that was refused.
type pather interface {
	rejectionPath(index int, f field, v verdict) string
}

func (g *gathering) begin() {
	g.now = g.opts.Now()
	g.items = g.items[:0]
	g.texts.reset()
	g.frame.Backlog = false
}

// release gives back the memory of an unusually large frame.
func (g *gathering) release() {
	if cap(g.items) > keepReadings || g.texts.large() {
		g.items, g.readings, g.index, g.sorted, g.texts = nil, nil, nil, sorter{}, texts{}
		g.frame = Frame{Session: g.frame.Session}
	}
}

// next makes room for one more reading. What is there of an earlier frame serves as a guess at its names; bytes
// is how long the frame is, to guess how many there will be.
func (g *gathering) next(bytes int) *item {
	n := len(g.items)
	if n == cap(g.items) {
		g.items = slices.Grow(g.items, max(1, min(g.opts.MaxReadings, bytes/readingBytes)-n))
	}
	g.items = g.items[:n+1]
	it := &g.items[n]
	it.verdicts = [fieldCount]verdict{}
	return it
}

// readingBytes is about how long a reading is, to guess from a frame's length how many it holds.
const readingBytes = 48

// full reports whether the frame holds as many readings as it may.
func (g *gathering) full() bool { return len(g.items) >= g.opts.MaxReadings }

// owner is what a frame says of the devices of its readings.
type owner struct {
	// fallback is the device of readings that name none.
	fallback string
	// sole: the frame is of this device alone; its readings must not name one.
	sole bool
}

// finish settles what could not be before the end of the frame was seen: which device each reading is of,
// and times. It fills frame but for what concerns it as a whole.
func (g *gathering) finish(of owner, p pather) {
	f := &g.frame
	f.Batches, f.Index, f.Rejected, f.RejectedOf = f.Batches[:0], f.Index[:0], f.Rejected[:0], f.RejectedOf[:0]
	f.Total = len(g.items)
	g.readings, g.index = g.readings[:0], g.index[:0]
	device, several := "", false
	g.readings = slices.Grow(g.readings, len(g.items))
	g.index = slices.Grow(g.index, len(g.items))
	for i := range g.items {
		it := &g.items[i]
		g.settle(it, of)
		if f, refused := it.refusal(); refused {
			g.reject(i, it.verdicts[f], p.rejectionPath(i, f, it.verdicts[f]))
			g.note(it)
			continue
		}
		switch {
		case device == "":
			device = it.device
		case device != it.device:
			several = true
		}
		g.readings = append(g.readings, telemetry.Reading{Metric: it.metric, Time: it.time, Value: it.value})
		g.index = append(g.index, i)
	}
	g.group(device, several)
}

// settle completes a reading with what the frame and the server add.
func (g *gathering) settle(it *item, of owner) {
	switch v := it.verdicts[fieldDevice]; {
	case v == absent && of.fallback == "":
		it.verdicts[fieldDevice] = deviceMissing
	case v == absent:
		it.device = of.fallback
		it.verdicts[fieldDevice] = good
	case of.sole && v == good:
		it.verdicts[fieldDevice] = deviceConflict
	}
	if it.verdicts[fieldMetric] == absent {
		it.verdicts[fieldMetric] = metricMissing
	}
	if it.verdicts[fieldMetric] == good && len(it.device)+1+len(it.metric) > telemetry.MaxPathBytes {
		it.verdicts[fieldMetric] = pathTooLong
	}
	switch {
	case it.verdicts[fieldTime] == absent:
		it.time = g.now
		it.verdicts[fieldTime] = good
	case it.verdicts[fieldTime] == good && it.time > g.now+g.opts.MaxFuture.Microseconds():
		it.verdicts[fieldTime] = timeFuture
	}
	switch it.verdicts[fieldValue] {
	case absent:
		it.verdicts[fieldValue] = valueMissing
	case valueText:
		g.label(it)
	}
}

// refusal is the first field that was refused.
func (it *item) refusal() (f field, refused bool) {
	// absent and good have no bit of the others; one byte at a time, as they have just been written.
	if v := &it.verdicts; v[fieldDevice]|v[fieldMetric]|v[fieldTime]|v[fieldValue] <= good {
		return 0, false
	}
	for i, v := range it.verdicts {
		if v > good {
			return field(i), true
		}
	}
	return 0, false
}

func (g *gathering) reject(index int, v verdict, path string) {
	code := verdictCodes[v]
	g.frame.Rejected = append(g.frame.Rejected, Rejection{Index: index, Code: code, Path: path, Message: messageOf(code)})
}

// note keeps of which device a rejected reading was.
func (g *gathering) note(it *item) {
	if v := it.verdicts[fieldDevice]; v != good && v != deviceConflict {
		return
	}
	if of := &g.frame.RejectedOf; len(*of) == 0 || (*of)[len(*of)-1] != it.device {
		*of = append(*of, it.device)
	}
}
