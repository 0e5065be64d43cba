package pipeline

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// The protocol of owner.go, restore.go and checkpoint.go on a model small enough to run thousands of times:
// owners crash, sleep and wake as zombies at any step, late ones acquire, writes fail. In the end every
// reading of the log must have been emitted once. Rules can be switched off, to see that they are needed.
type rules struct {
	// fence: the broker refuses the writes of former owners.
	fence bool
	// catchUp: no checkpoint before the replay has passed what was read back.
	catchUp bool
	// lane: no write to updates before the one before is acknowledged.
	lane bool
}

var allRules = rules{fence: true, catchUp: true, lane: true}

func TestProtocolCountsEveryReadingOnce(t *testing.T) {
	runs := 200
	if testing.Short() {
		runs = 100
	}
	if wrong, first := modelRuns(allRules, runs); wrong > 0 {
		t.Errorf("%d runs went wrong, the first: %s", wrong, first)
	}
}

func TestProtocolNeedsEachOfItsRules(t *testing.T) {
	for name, r := range map[string]rules{
		"fence":    {catchUp: true, lane: true},
		"catch-up": {fence: true, lane: true},
		"lane":     {fence: true, catchUp: true},
	} {
		if wrong, _ := modelRuns(r, 100); wrong == 0 {
			t.Errorf("100 runs without the rule %q: none went wrong", name)
		}
	}
}

func modelRuns(r rules, runs int) (wrong int, first string) {
	for seed := range uint64(runs) {
		if fault := newModel(seed, r).run(); fault != "" {
			wrong++
			if first == "" {
				first = fmt.Sprintf("seed %d: %s", seed, fault)
			}
		}
	}
	return wrong, first
}

// modelRecord is a record of any of the model's topics.
type modelRecord struct {
	fence  int
	marker *modelMarker
	device byte
	state  *modelDevice
	rows   []modelRow
}

type modelMarker struct{ updates, readings int }

// modelRow is an update: the interval (since, version] of a series, with n readings.
type modelRow struct {
	series            string
	since, version, n int
}

type modelFrame struct {
	device byte
	seq    int
	series []string
}

// modelDevice is the state of a device.
type modelDevice struct {
	applied int
	seen    map[int]bool
	emitted map[string]int
	counts  map[string]int
}

func (d *modelDevice) clone() *modelDevice {
	return &modelDevice{d.applied, maps.Clone(d.seen), maps.Clone(d.emitted), maps.Clone(d.counts)}
}

// modelTopic is a partition that knows the epoch of whoever wrote last.
type modelTopic struct {
	log   []modelRecord
	epoch int
}

type model struct {
	rng     *rand.Rand
	rules   rules
	epoch   int
	commit  int
	gen     int
	calm    bool
	frames  []modelFrame
	updates modelTopic
	state   modelTopic
	latest  modelTopic
	owners  []*modelOwner
}

func newModel(seed uint64, r rules) *model {
	return &model{rng: rand.New(rand.NewPCG(seed, 7)), rules: r}
}

// write appends a record; -1 means that the broker refused it.
func (m *model) write(t *modelTopic, epoch int, r modelRecord) int {
	if m.rules.fence && epoch < t.epoch {
		return -1
	}
	t.epoch = max(t.epoch, epoch)
	t.log = append(t.log, r)
	return len(t.log) - 1
}

// accepted are the records of a log that readers see: not those of an older fence after a newer one.
func accepted(log []modelRecord) iter.Seq2[int, *modelRecord] {
	return func(yield func(int, *modelRecord) bool) {
		highest := -1
		for i := range log {
			if log[i].fence < highest {
				continue
			}
			highest = log[i].fence
			if !yield(i, &log[i]) {
				return
			}
		}
	}
}

// modelOwner is one tenure. Its steps are resumed one by one; between them it may be left for good.
type modelOwner struct {
	m          *model
	generation int
	epoch      int
	fence      int
	devices    map[byte]*modelDevice
	emitted    map[string]int
	pending    map[string]*modelRow
	dirty      map[byte]bool
	position   int
	caughtUp   int
	end        int // of its own updates
	failed     bool
	next       func() (struct{}, bool)
	stop       func()
}

func (m *model) assign() {
	m.gen++
	o := &modelOwner{
		m: m, generation: m.gen, devices: make(map[byte]*modelDevice), emitted: make(map[string]int),
		pending: make(map[string]*modelRow), dirty: make(map[byte]bool),
	}
	o.next, o.stop = iter.Pull(o.steps)
	m.owners = append(m.owners, o)
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
	for _, t := range []*modelTopic{&o.m.latest, &o.m.state, &o.m.updates} {
		at := o.m.write(t, o.epoch, modelRecord{fence: o.fence})
		if at < 0 {
			return false
		}
		if t == &o.m.latest && at != o.fence {
			panic("the number of a fence is its offset")
		}
		o.end = at + 1
		if !pause() {
			return false
		}
	}
	return true
}

func (o *modelOwner) restore(pause func() bool) bool {
	m := o.m
	for _, r := range accepted(m.state.log) {
		if r.state != nil && r.fence < o.fence {
			o.devices[r.device] = r.state.clone()
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
		for _, row := range r.rows {
			o.emitted[row.series] = max(o.emitted[row.series], row.version)
			o.caughtUp = max(o.caughtUp, row.version>>2)
		}
	}
	o.position = max(m.commit, marker.readings)
	return pause()
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
		d = &modelDevice{applied: -1, seen: map[int]bool{}, emitted: map[string]int{}, counts: map[string]int{}}
		o.devices[frame.device] = d
	}
	if offset <= d.applied {
		return
	}
	d.applied = offset
	o.dirty[frame.device] = true
	if d.seen[frame.seq] {
		return
	}
	d.seen[frame.seq] = true
	for i, series := range frame.series {
		d.counts[series]++
		version := (offset+1)<<2 | i
		since := max(o.emitted[series], d.emitted[series])
		if version <= since {
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
	for len(o.pending) > 0 {
		series := slices.Sorted(maps.Keys(o.pending))
		m.rng.Shuffle(len(series), func(i, j int) { series[i], series[j] = series[j], series[i] })
		series = series[:1+m.rng.IntN(len(series))]
		var rows []modelRow
		for _, s := range series {
			rows = append(rows, *o.pending[s])
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
			row := o.pending[s]
			o.emitted[s] = row.version
			o.devices[s[0]].emitted[s] = row.version
			delete(o.pending, s)
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
	marker := modelMarker{updates: o.end, readings: o.position}
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

func (m *model) run() (fault string) {
	defer func() {
		for _, o := range m.owners {
			o.stop()
		}
	}()
	m.assign()
	for range 100 + m.rng.IntN(800) {
		m.step()
	}
	m.calm = true
	for range 100 {
		m.assign()
		last := m.owners[len(m.owners)-1]
		for range 4000 {
			if _, alive := last.next(); !alive {
				break
			}
		}
		if last.position == len(m.frames) && len(last.pending) == 0 {
			return m.verdict()
		}
	}
	return "no owner comes to the end"
}

func (m *model) step() {
	switch x := m.rng.Float64(); {
	case x < 0.15:
		m.send()
	case x < 0.19:
		m.assign() // the former owner goes on as a zombie, or has crashed
	case x < 0.24 && len(m.owners) > 1:
		m.drop(m.rng.IntN(len(m.owners)))
	case len(m.owners) == 0:
		m.assign()
	default:
		i := len(m.owners) - 1
		if m.rng.Float64() > 0.7 {
			i = m.rng.IntN(len(m.owners))
		}
		if _, alive := m.owners[i].next(); !alive {
			m.drop(i)
		}
	}
}

func (m *model) drop(i int) {
	m.owners[i].stop()
	m.owners = slices.Delete(m.owners, i, i+1)
}

// send stores a frame, or one that was sent before.
func (m *model) send() {
	device := byte('a' + m.rng.IntN(3))
	var sent []modelFrame
	for _, f := range m.frames {
		if f.device == device {
			sent = append(sent, f)
		}
	}
	if len(sent) > 0 && m.rng.Float64() < 0.15 {
		m.frames = append(m.frames, sent[max(0, len(sent)-1-m.rng.IntN(3))])
		return
	}
	frame := modelFrame{device: device, seq: len(m.frames)}
	for i := range 1 + m.rng.IntN(3) {
		frame.series = append(frame.series, string(device)+string(byte('x'+i)))
	}
	m.frames = append(m.frames, frame)
}

// verdict checks what a reader of updates has seen.
func (m *model) verdict() string {
	want, seen := make(map[string]int), make(map[string]bool)
	for _, f := range m.frames {
		key := fmt.Sprint(f.device, f.seq)
		if seen[key] {
			continue
		}
		seen[key] = true
		for _, s := range f.series {
			want[s]++
		}
	}
	got, last := make(map[string]int), make(map[string]int)
	for i, r := range accepted(m.updates.log) {
		for _, row := range r.rows {
			if row.since != last[row.series] {
				return fmt.Sprintf("update %d: (%d, %d] of %s follows %d", i, row.since, row.version, row.series, last[row.series])
			}
			last[row.series] = row.version
			got[row.series] += row.n
		}
	}
	if !maps.Equal(got, want) {
		return fmt.Sprintf("emitted %v, want %v", got, want)
	}
	return ""
}
