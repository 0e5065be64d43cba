package pipeline

import (
	"cmp"
	"slices"

	"weir/kafka"
	"weir/wire/weirpb"
)

const (
	// maxGroup is up to where what changed of a device is written as it is: the batches of brokers have 1 MiB by default.
	maxGroup = 900 << 10
	// recordRoom is what a record takes besides its key, its value and its headers, and more.
	recordRoom = 32
)

func recordSize(r *kafka.Record) int {
	n := recordRoom + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += recordRoom + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

func sizeOf(records []kafka.Record) (n int) {
	for i := range records {
		n += recordSize(&records[i])
	}
	return n
}

// shrink makes the records of a device, from first on and its header the first of them, fit into one batch. The owner
// goes on with all it knows; a successor begins anew with what is left out. It begins with the largest: with open
// windows, and where that is not enough with all that was learned. A series of which nothing is left but its place in
// the chain of updates need not be written together with the header, and is written before it.
func (c *checkpoint) shrink(first int) {
	size := sizeOf(c.state[first:])
	if size <= maxGroup {
		return
	}
	group := slices.Clone(c.state[first+1:])
	slices.SortStableFunc(group, func(a, b kafka.Record) int { return cmp.Compare(len(b.Value), len(a.Value)) })
	for i := 0; i < len(group) && size > maxGroup; i++ {
		size -= c.strip(&group[i], func(m *weirpb.SeriesState) { m.Compute, m.ComputeDue = nil, 0 })
	}
	header, bare := c.state[first], 0
	if size > maxGroup {
		slices.SortStableFunc(group, func(a, b kafka.Record) int { return cmp.Compare(len(b.Value), len(a.Value)) })
	}
	for ; bare < len(group) && size > maxGroup; bare++ {
		size -= recordSize(&group[bare])
		c.strip(&group[bare], func(m *weirpb.SeriesState) {
			m.Mean, m.Detector, m.Watch, m.WatchDue, m.Compute, m.ComputeDue, m.Input, m.LastValue = nil, nil, nil, 0, nil, 0, nil, nil
		})
	}
	c.oversized++
	c.state = append(c.state[:first], group[:bare]...)
	for chunk := range chunks(c.state[first:]) {
		first += len(chunk)
		c.devices = append(c.devices, first)
	}
	c.state = append(append(c.state, header), group[bare:]...)
}

// strip leaves something out of a series' state and returns how many bytes that saves. Tombstones stay as they are.
func (c *checkpoint) strip(r *kafka.Record, leaveOut func(*weirpb.SeriesState)) (saved int) {
	m := new(weirpb.SeriesState)
	if r.Value == nil || m.UnmarshalVT(r.Value) != nil {
		return 0
	}
	before := len(r.Value)
	leaveOut(m)
	r.Value = c.encoder.message(m)
	return before - len(r.Value)
}
