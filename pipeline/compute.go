package pipeline

import (
	"cmp"
	"math"

	"weir/expr"
	"weir/kafka"
	"weir/pipeline/window"
	"weir/telemetry"
	"weir/wire"
)

// computeState is what a series' readings have come to in the series that it leads to.
type computeState struct {
	// treat is the treatment that the parts below are of, nil before the first reading.
	treat *treatment
	// next is the treatment for ticks as long as treat is nil.
	next *treatment
	// The newest reading by source time (µs), and when it reached Weir.
	time, ingest int64
	value        float64
	// The newest that derived series were made of. Within a record they are made in order of time, whatever the order of
	// the readings in it.
	inputTime  int64
	input      float64
	averages   []window.Average
	windows    []window.State
	collectors []window.Collector
	// sendAt is when (processing time, µs) what the collectors hold is to go out.
	sendAt int64
	// group holds the windows of a group, in the first of the series that it leads to.
	group *window.Group
	// due is when the first timer is (processing time, µs), or earlier.
	due int64
	frozen
}

// compute is the stage that makes series of series: rates of counters, averages and windows of one, expressions over
// several of a device, and what goes to groups of devices. What it makes goes on as readings of these series, behind
// the reading that led to it and with its version.
type compute struct {
	partition, partitions int
	timers                *timers

	spare    []reading
	passed   int
	results  []window.Result
	order    []int32
	pending  []*derivation
	gathered []gathering
	env      expr.Env
	m        *counters
}

func newCompute(partition, partitions int, m *counters) *compute {
	return &compute{partition: partition, partitions: partitions, timers: newTimers(func(of *series) int64 {
		if of.compute == nil {
			return never
		}
		return of.compute.due
	}), m: m}
}

func (s *compute) apply(b *Batch) *Batch {
	if b.kind == look {
		s.inspect(b.looked)
	}
	if !s.leads(b) {
		return b
	}
	// Readings are inserted, so all move to another slice.
	from := b.readings
	b.readings, s.spare = s.spare[:0], nil
	b.each("compute", fresh|poisoned|duplicate|replayed|unreadable, func(r *record) {
		of := from[r.first:r.end]
		r.first, s.passed = len(b.readings), 0
		defer func() {
			b.readings = append(b.readings, of[s.passed:]...) // what a panic left behind counts as invalid
			r.end = len(b.readings)
		}()
		if r.verdict == fresh {
			s.record(b, r, of)
		}
	})
	s.spare = from[:0]
	return b
}

func (s *compute) record(b *Batch, r *record, of []reading) {
	s.gathered = s.gathered[:0] // a panic may have left some
	switch {
	case r.tick > 0:
		s.tick(b, r)
	case r.plan != nil:
		s.replan(b, r)
	case r.deleted:
		for _, of := range r.buried {
			if of.compute != nil {
				*of.compute = *newComputeState()
			}
		}
	case r.group != nil:
		s.merge(b, r)
	default:
		s.readings(b, r, of)
	}
	if r.derives || r.tick > 0 {
		s.derive(b, r)
	}
	if len(s.gathered) > 0 {
		s.dispatch(b, r)
	}
}

// leads reports whether there is anything for the stage to do in the batch.
func (s *compute) leads(b *Batch) bool {
	for i := range b.records {
		r := &b.records[i]
		if r.verdict == fresh && (r.leads || r.tick > 0 || r.plan != nil || r.deleted || r.group != nil) {
			return true
		}
	}
	return false
}

func (s *compute) readings(b *Batch, r *record, of []reading) {
	for i := range of {
		b.readings = append(b.readings, of[i])
		s.passed++
		if x := &of[i]; x.treat.outs != nil && x.fate == counted {
			s.reading(b, r, x)
		}
	}
}

// on is the state of a series for a treatment; what belongs to another one begins anew.
func (s *compute) on(of *series, treat *treatment) *computeState {
	c := of.compute
	if c == nil {
		c = newComputeState()
		of.compute = c
	}
	if c.treat != treat {
		s.use(c, treat)
	}
	return c
}

func newComputeState() *computeState {
	return &computeState{time: minTime, value: unknown, inputTime: minTime, input: unknown, sendAt: never, due: never}
}

// empty: no reading has come yet.
func (c *computeState) empty() bool { return c.time == minTime && c.group == nil && len(c.frozen) == 0 }

// reading makes what a reading alone leads to. What it makes may lead to more.
func (s *compute) reading(b *Batch, r *record, x *reading) {
	c, outs := s.on(x.series, x.treat), x.treat.outs
	before, beforeTime := c.value, c.time
	if x.time >= c.time {
		c.time, c.value, c.ingest = x.time, x.value, r.ingest
	}
	if outs.rate != nil && beforeTime != minTime && x.time > beforeTime {
		s.made(b, r, x, outs.rate, x.time, perSecond(before, x.value, x.time-beforeTime))
	}
	for i := range outs.averages {
		out := &outs.averages[i]
		s.made(b, r, x, out.to, x.time, c.averages[i].Add(x.time, x.value, out.spec))
	}
	for i := range outs.windows {
		out := &outs.windows[i]
		s.results = c.windows[i].Add(out.w, x.time, x.value, x.watermark, s.results[:0])
		s.closed(b, r, x, out)
	}
	for i := range outs.groups {
		s.collect(x, c, i, r.ingest)
	}
	s.arm(x.series, c)
}

// perSecond is the rate of a counter, which begins at 0 again when it falls.
func perSecond(before, value float64, elapsed int64) float64 {
	if value < before {
		before = 0
	}
	return (value - before) / (float64(elapsed) / 1e6)
}

// made appends a reading of a series that x led to, and what that leads to. What is not finite is no reading.
func (s *compute) made(b *Batch, r *record, x *reading, to *output, time int64, value float64) {
	if value-value != 0 {
		s.m.underived.Inc()
		return
	}
	y := reading{series: to.series, treat: to.treat, version: x.version, time: time, value: value, rate: unknown, watermark: max(x.watermark, time)}
	b.readings = append(b.readings, y)
	if to.treat.outs != nil {
		s.reading(b, r, &y)
	}
}

// closed makes readings of the results of a window. Their time is the end of the window.
func (s *compute) closed(b *Batch, r *record, x *reading, out *windowOut) {
	results := s.results
	s.results = nil // what is made may lead to windows of its own
	defer func() { s.results = results[:0] }()
	for i := range results {
		if results[i].Gap {
			s.m.gaps.Inc()
		}
		for j, to := range out.to {
			s.made(b, r, x, to, results[i].End, results[i].Values[j])
		}
	}
}

// collect adds a reading to what its series contributes to a group.
func (s *compute) collect(x *reading, c *computeState, i int, now int64) {
	out := &x.treat.outs.groups[i]
	if c.sendAt == never {
		c.sendAt = now + groupSendEvery
	}
	if c.collectors[i].Add(out.w, x.time, x.value) {
		return
	}
	s.send(c, i)
	c.collectors[i].Add(out.w, x.time, x.value)
}

// send hands on what a series contributes to a group.
func (s *compute) send(c *computeState, i int) {
	g := s.gatheringOf(&c.treat.outs.groups[i])
	c.collectors[i].Drain(func(part *window.Partial) {
		for j := range g.panes {
			if g.panes[j].Start == part.Start {
				g.panes[j].Merge(part)
				return
			}
		}
		pane := window.Partial{Start: part.Start}
		pane.Merge(part)
		g.panes = append(g.panes, pane)
	})
}

// gathering is what the members of a group in this partition contribute with one record.
type gathering struct {
	out   *groupOut
	panes []window.Partial
}

func (s *compute) gatheringOf(out *groupOut) *gathering {
	for i := range s.gathered {
		if g := &s.gathered[i]; g.out.series == out.series && g.out.w.Hash() == out.w.Hash() {
			return g
		}
	}
	s.gathered = append(s.gathered, gathering{out: out})
	return &s.gathered[len(s.gathered)-1]
}

// dispatch makes partials of what was gathered with a record: one at most for each group, so that source and version
// tell repetitions.
func (s *compute) dispatch(b *Batch, r *record) {
	for i := range s.gathered {
		g := &s.gathered[i]
		p := &wire.Partial{Source: s.partition, Version: telemetry.VersionOf(r.offset, 0), As: g.out.as, Group: g.out.series}
		for j := range g.panes {
			p.Windows = append(p.Windows, g.panes[j].MarshalAppend(nil, g.out.w))
		}
		b.partials = append(b.partials, partial{
			partition: kafka.PartitionFor(g.out.device, s.partitions),
			control:   wire.Control{Kind: wire.ControlPartial, Device: g.out.device, Partial: p},
		})
	}
	clear(s.gathered)
	s.gathered = s.gathered[:0]
}

// merge takes what a partition contributes to a group of a device here.
func (s *compute) merge(b *Batch, r *record) {
	g := r.group
	c := s.on(g.anchor.series, g.anchor.treat)
	if c.group == nil {
		c.group = new(window.Group)
	}
	for _, encoded := range r.control.Partial.Windows {
		var p window.Partial
		if err := p.Unmarshal(encoded, g.w); err != nil {
			s.m.ungrouped.Inc() // of a window that another plan had
			continue
		}
		if !c.group.Merge(g.w, &p) {
			s.m.missed.Add(int(p.N))
		}
	}
	b.touched = append(b.touched, g.anchor.series)
	s.arm(g.anchor.series, c)
}

// groupSendEvery is how long (µs) a partition gathers what it contributes to groups.
const groupSendEvery = 1e6

// arm sees to it that a tick comes when the series has something to do then.
func (s *compute) arm(of *series, c *computeState) {
	if due := c.nextDue(); due < c.due {
		c.due = due
		s.timers.arm(of, due)
	}
}

// nextDue is when (processing time) the first window would close if nothing comes, or the series' contributions to groups
// are to go out.
func (c *computeState) nextDue() int64 {
	outs := c.treat.outs
	if outs == nil {
		return never
	}
	due := c.sendAt
	for i := range outs.windows {
		if end := c.windows[i].Due(outs.windows[i].w); end != math.MaxInt64 {
			due = min(due, c.silence(end, outs.windows[i].w))
		}
	}
	if c.group != nil && outs.group != nil {
		if end := c.group.Due(outs.group.w); end != math.MaxInt64 {
			due = min(due, end+outs.group.w.Grace())
		}
	}
	return due
}

// silence is when (processing time) a window that ends at end (source time) closes although nothing came: as long
// after the newest reading came as the end and the grace are after its source time.
func (c *computeState) silence(end int64, w *window.Window) int64 {
	return c.ingest + max(end-c.time, 0) + w.Grace()
}

// tick lets timers be due. A device whose state contains the tick has heard it.
func (s *compute) tick(b *Batch, r *record) {
	for _, of := range s.timers.take(r.tick) {
		c := of.compute
		if c == nil || c.treat == nil && c.next == nil {
			continue
		}
		if r.offset <= of.device.contained {
			s.timers.arm(of, c.due) // for a tick that it has not heard
			continue
		}
		c.due = never
		s.on(of, cmp.Or(c.treat, c.next))
		s.expire(b, r, of, c)
		b.touched = append(b.touched, of)
		s.arm(of, c)
	}
}

func (s *compute) expire(b *Batch, r *record, of *series, c *computeState) {
	outs := c.treat.outs
	if outs == nil {
		return
	}
	x := reading{series: of, treat: c.treat, version: telemetry.VersionOf(r.offset, 0), time: r.tick}
	// Only what is due is done: a timer may be one that is left over, and a replay would not find it.
	if c.sendAt <= r.tick {
		c.sendAt = never
		for i := range outs.groups {
			s.send(c, i)
		}
	}
	for i := range outs.windows {
		out := &outs.windows[i]
		if until := r.tick - c.ingest + c.time - out.w.Grace(); until >= c.time && c.windows[i].Due(out.w) <= until {
			s.results = c.windows[i].Close(out.w, until, s.results[:0])
			s.closed(b, r, &x, out)
		}
	}
	if c.group != nil && outs.group != nil && c.group.Due(outs.group.w) <= r.tick-outs.group.w.Grace() {
		s.results = c.group.CloseUntil(outs.group.w, r.tick-outs.group.w.Grace(), s.results[:0])
		s.closed(b, r, &x, outs.group)
	}
}

// replan gives series another treatment.
func (s *compute) replan(b *Batch, r *record) {
	for i, of := range r.treated {
		c := of.compute
		if c == nil {
			continue
		}
		if c.next = r.treatments[i]; r.offset > of.device.contained && (c.treat != nil || c.frozen != nil) {
			s.use(c, c.next)
			b.touched = append(b.touched, of)
			s.arm(of, c)
		}
	}
}
