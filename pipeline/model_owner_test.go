package pipeline

import (
	"maps"
	"slices"
)

// modelDevice is the state of a device.
type modelDevice struct {
	applied int
	seen    map[int]bool
	emitted map[string]int
	counts  map[string]int
	// detector is what a series' detector has seen: it finds every other three readings unusual.
	detector map[string]int
	open     map[string]bool
}

func newModelDevice() *modelDevice {
	return &modelDevice{-1, map[int]bool{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]bool{}}
}

func (d *modelDevice) clone() *modelDevice {
	return &modelDevice{
		d.applied, maps.Clone(d.seen), maps.Clone(d.emitted), maps.Clone(d.counts), maps.Clone(d.detector), maps.Clone(d.open),
	}
}

// delete forgets what the device's series were, and returns the transitions of the alerts that end with them.
func (d *modelDevice) delete(device byte, version int) (ended []modelAlert) {
	for _, series := range slices.Sorted(maps.Keys(d.open)) {
		if series[0] == device && d.open[series] {
			ended = append(ended, modelAlert{series, version, false})
		}
	}
	of := func(series string, _ int) bool { return series[0] == device }
	maps.DeleteFunc(d.counts, of)
	maps.DeleteFunc(d.detector, of)
	maps.DeleteFunc(d.emitted, of)
	maps.DeleteFunc(d.open, func(series string, _ bool) bool { return series[0] == device })
	clear(d.seen)
	return ended
}

// observe returns the transition that a reading of a series brings, if any.
func (d *modelDevice) observe(series string, version int) (a modelAlert, changed bool) {
	d.detector[series]++
	unusual := d.detector[series]/3%2 == 1
	changed = unusual != d.open[series]
	d.open[series] = unusual
	return modelAlert{series, version, unusual}, changed
}

// modelOwner is one tenure. Its steps are resumed one by one; between them it may be left for good.
type modelOwner struct {
	m          *model
	generation int
	epoch      int
	fence      int
	devices    map[byte]*modelDevice
	emitted    map[string]int
	// series are those that exist, by device; they are at least the ones in its state.
	series map[byte]map[string]bool
	// last is the newest transition read back of each series that the replay has not passed.
	last map[string]modelAlert
	// deleted is the newest deletion of each device that is applied, or was told.
	deleted map[byte]int
	// early goes out before pending: rows, and then the word of a deletion.
	early     []modelEarly
	pending   map[string]*modelRow
	raised    []modelAlert
	alertsEnd int
	dirty     map[byte]bool
	position  int
	caughtUp  int
	end       int // of its own updates
	failed    bool
	next      func() (struct{}, bool)
	stop      func()
}

type modelEarly struct {
	rows map[string]*modelRow
	gone modelGone
}

func (o *modelOwner) steps(yield func(struct{}) bool) {
	pause := func() bool { return yield(struct{}{}) }
	if !o.acquire(pause) || !o.restore(pause) {
		return
	}
	for {
		o.read()
		if !pause() {
			return
		}
		if o.m.rng.Float64() < 0.3 && !o.flush(pause) {
			return
		}
		if o.m.rng.Float64() < 0.1 && !o.checkpoint(pause) {
			return
		}
	}
}

func (o *modelOwner) acquire(pause func() bool) bool {
	o.m.epoch++
	o.epoch = o.m.epoch
	if !pause() {
		return false
	}
	o.fence = len(o.m.latest.log)
	for _, t := range []*modelTopic{&o.m.latest, &o.m.state, &o.m.alerts, &o.m.updates} {
		at := o.m.write(t, o.epoch, modelRecord{fence: o.fence})
		if at < 0 {
			return false
		}
		if t == &o.m.latest && at != o.fence {
			panic("the number of a fence is its offset")
		}
		if t == &o.m.alerts {
			o.alertsEnd = at + 1
		}
		o.end = at + 1
		if !pause() {
			return false
		}
	}
	return true
}

// admit makes a series unless the device has as many as it may have.
func (o *modelOwner) admit(series string) bool {
	of := o.series[series[0]]
	if of == nil {
		of = make(map[string]bool)
		o.series[series[0]] = of
	}
	if len(of) < modelSeries {
		of[series] = true
	}
	return of[series]
}

func (o *modelOwner) restore(pause func() bool) bool {
	m := o.m
	for _, r := range accepted(m.state.log) {
		if r.state != nil && r.fence < o.fence {
			o.devices[r.device] = r.state.clone()
		}
	}
	for _, d := range o.devices {
		for series := range d.counts {
			o.admit(series)
		}
		if m.forgetful && m.rng.Float64() < 0.1 {
			clear(d.detector)
		}
	}
	if !pause() {
		return false
	}
	marker := modelMarker{}
	for _, r := range accepted(m.latest.log) {
		if r.marker != nil && r.fence < o.fence {
			marker = *r.marker
		}
	}
	for i, r := range accepted(m.updates.log) {
		if i < marker.updates || r.fence >= o.fence {
			continue
		}
		if r.gone != nil {
			o.caughtUp = max(o.caughtUp, r.gone.version>>2)
			if m.rules.done {
				o.deleted[r.gone.device] = max(o.deleted[r.gone.device], r.gone.version)
			}
		}
		for _, row := range r.rows {
			o.emitted[row.series] = max(o.emitted[row.series], row.version)
			o.caughtUp = max(o.caughtUp, row.version>>2)
			if !m.rules.settle {
				o.admit(row.series)
			}
		}
	}
	for i, r := range accepted(m.alerts.log) {
		if i >= marker.alerts && r.fence < o.fence && m.rules.readAlerts {
			o.readBack(r.alerts)
		}
	}
	o.position = max(m.commit, marker.readings)
	return pause()
}

func (o *modelOwner) readBack(alerts []modelAlert) {
	for _, a := range alerts {
		o.caughtUp = max(o.caughtUp, a.version>>2)
		if !o.m.rules.settle {
			o.admit(a.series)
		}
		if d := o.devices[a.series[0]]; d != nil && a.version>>2-1 <= d.applied {
			d.open[a.series] = a.open
		} else {
			o.last[a.series] = a
		}
	}
}

// judge turns what a reading brings into a transition, unless a predecessor has emitted it.
func (o *modelOwner) judge(d *modelDevice, series string, version int) {
	a, changed := d.observe(series, version)
	last, replaying := o.last[series]
	switch {
	case !replaying && changed:
		o.raised = append(o.raised, a)
	case replaying && version >= last.version:
		delete(o.last, series)
		if o.m.rules.believe {
			d.open[series] = last.open
		}
	}
}

// delete applies the command to delete a device.
func (o *modelOwner) delete(d *modelDevice, device byte, version int) {
	for series, last := range o.last {
		if series[0] == device && last.version < version {
			delete(o.last, series)
			d.open[series] = last.open
		}
	}
	for _, a := range d.delete(device, version) {
		if _, replaying := o.last[a.series]; !replaying {
			o.raised = append(o.raised, a)
		}
	}
	for series, last := range o.last {
		if series[0] == device && last.version == version {
			delete(o.last, series)
		}
	}
	early := modelEarly{gone: modelGone{device, version}}
	if o.m.rules.before {
		early.rows, o.pending = o.pending, make(map[string]*modelRow)
		for series, row := range early.rows { // what comes next begins where these end
			o.emitted[series] = row.version
		}
	}
	o.early = append(o.early, early)
	o.deleted[device] = max(o.deleted[device], version)
	delete(o.series, device)
}

// place is where the next update of a series begins, and up to which version its readings are done with.
func (o *modelOwner) place(d *modelDevice, series string) (since, done int) {
	since = max(o.emitted[series], d.emitted[series])
	if deleted := o.deleted[series[0]]; since < deleted {
		return 0, deleted
	}
	return since, since
}

// read applies the next frame. The version of reading i of frame f is (f+1)<<2 | i, so that 0 is none.
func (o *modelOwner) read() {
	if o.position == len(o.m.frames) {
		return
	}
	offset := o.position
	frame := o.m.frames[offset]
	o.position++
	d := o.devices[frame.device]
	if d == nil {
		d = newModelDevice()
		o.devices[frame.device] = d
	}
	if !o.m.rules.admit {
		for _, series := range frame.series {
			o.admit(series)
		}
	}
	if offset <= d.applied {
		return
	}
	d.applied = offset
	o.dirty[frame.device] = true
	if frame.del {
		o.delete(d, frame.device, (offset+1)<<2)
		return
	}
	if d.seen[frame.seq] {
		return
	}
	d.seen[frame.seq] = true
	for i, series := range frame.series {
		if !o.admit(series) {
			continue
		}
		d.counts[series]++
		version := (offset+1)<<2 | i
		o.judge(d, series, version)
		since, done := o.place(d, series)
		if version <= done {
			d.emitted[series] = since
			continue
		}
		row := o.pending[series]
		if row == nil {
			row = &modelRow{series: series, since: since}
			o.pending[series] = row
		}
		row.version = version
		row.n++
	}
}

// flush emits what is pending, perhaps in several records.
func (o *modelOwner) flush(pause func() bool) bool {
	m := o.m
	if len(o.raised) > 0 {
		at := m.write(&m.alerts, o.epoch, modelRecord{fence: o.fence, alerts: o.raised})
		if at < 0 {
			return false
		}
		o.raised, o.alertsEnd = nil, at+1
		if !pause() {
			return false
		}
	}
	for len(o.early) > 0 {
		if !o.flushRows(o.early[0].rows, pause) {
			return false
		}
		at := m.write(&m.updates, o.epoch, modelRecord{fence: o.fence, gone: &o.early[0].gone})
		if at < 0 || o.failed {
			return false
		}
		o.end, o.early = at+1, o.early[1:]
		if !pause() {
			return false
		}
	}
	return o.flushRows(o.pending, pause)
}

func (o *modelOwner) flushRows(pending map[string]*modelRow, pause func() bool) bool {
	m := o.m
	for len(pending) > 0 {
		series := slices.Sorted(maps.Keys(pending))
		m.rng.Shuffle(len(series), func(i, j int) { series[i], series[j] = series[j], series[i] })
		series = series[:1+m.rng.IntN(len(series))]
		var rows []modelRow
		for _, s := range series {
			rows = append(rows, *pending[s])
		}
		if !m.calm && m.rng.Float64() < 0.05 { // the write fails
			o.failed = true
			if m.rules.lane {
				return false
			}
		} else if at := m.write(&m.updates, o.epoch, modelRecord{fence: o.fence, rows: rows}); at < 0 {
			return false
		} else {
			o.end = at + 1
			if o.failed {
				return false // one more was on its way when the failure came back
			}
		}
		for _, s := range series {
			row := pending[s]
			o.emitted[s] = row.version
			if row.version > o.deleted[s[0]] {
				o.devices[s[0]].emitted[s] = row.version
			}
			delete(pending, s)
		}
		if !pause() {
			return false
		}
	}
	return true
}

func (o *modelOwner) checkpoint(pause func() bool) bool {
	m := o.m
	if m.rules.catchUp && o.position < o.caughtUp {
		return true
	}
	if !o.flush(pause) || o.failed {
		return false
	}
	marker := modelMarker{updates: o.end, alerts: o.alertsEnd, readings: o.position}
	for d := range o.dirty {
		if m.write(&m.state, o.epoch, modelRecord{fence: o.fence, device: d, state: o.devices[d].clone()}) < 0 || !pause() {
			return false
		}
	}
	clear(o.dirty)
	if m.write(&m.latest, o.epoch, modelRecord{fence: o.fence, marker: &marker}) < 0 || !pause() {
		return false
	}
	if m.gen == o.generation { // else the group refuses the commit
		m.commit = marker.readings
	}
	return pause()
}
