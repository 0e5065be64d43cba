package pipeline

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
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
	// admit: only a frame that is neither a replay nor a resend makes series.
	admit bool
	// readAlerts: transitions since the marker are read back and not emitted again.
	readAlerts bool
	// believe: what the newest transition says is taken over when the replay passes it.
	believe bool
	// settle: only what is in a device's state is taken for its series when a replay begins.
	settle bool
	// before: what was pending goes out before the word of a deletion.
	before bool
	// done: what a predecessor told the deletion of is not emitted again.
	done bool
}

var allRules = rules{
	fence: true, catchUp: true, lane: true, admit: true, readAlerts: true, believe: true, settle: true, before: true, done: true,
}

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
	for name, without := range map[string]func(*rules){
		"fence":       func(r *rules) { r.fence = false },
		"catch-up":    func(r *rules) { r.catchUp = false },
		"lane":        func(r *rules) { r.lane = false },
		"admit":       func(r *rules) { r.admit = false },
		"read alerts": func(r *rules) { r.readAlerts = false },
		"believe":     func(r *rules) { r.believe = false },
		"settle":      func(r *rules) { r.settle = false },
		"before":      func(r *rules) { r.before = false },
		"done":        func(r *rules) { r.done = false },
	} {
		r := allRules
		without(&r)
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
	alerts []modelAlert
	gone   *modelGone
}

// modelGone tells that the series of a device, up to a version, are no more.
type modelGone struct {
	device  byte
	version int
}

type modelMarker struct{ updates, alerts, readings int }

// modelRow is an update: the interval (since, version] of a series, with n readings.
type modelRow struct {
	series            string
	since, version, n int
}

// modelAlert is a transition of the alert of a series.
type modelAlert struct {
	series  string
	version int
	open    bool
}

// modelSeries is how many series a device may have.
const modelSeries = 3

type modelFrame struct {
	device byte
	seq    int
	series []string
	// del: the command to delete the device.
	del bool
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
	alerts  modelTopic
	state   modelTopic
	// forgetful: the state of detectors cannot always be read back.
	forgetful bool
	latest    modelTopic
	owners    []*modelOwner
}

func newModel(seed uint64, r rules) *model {
	return &model{rng: rand.New(rand.NewPCG(seed, 7)), rules: r, forgetful: seed%2 == 1}
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

func (m *model) assign() {
	m.gen++
	o := &modelOwner{
		m: m, generation: m.gen, devices: make(map[byte]*modelDevice), emitted: make(map[string]int),
		pending: make(map[string]*modelRow), dirty: make(map[byte]bool),
		series: make(map[byte]map[string]bool), last: make(map[string]modelAlert), deleted: make(map[byte]int),
	}
	o.next, o.stop = iter.Pull(o.steps)
	m.owners = append(m.owners, o)
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
		if last.position == len(m.frames) && len(last.pending)+len(last.early) == 0 && len(last.raised) == 0 {
			return cmp.Or(m.verdict(), m.alertsVerdict(last))
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
	if m.rng.Float64() < 0.05 {
		m.frames = append(m.frames, modelFrame{device: device, del: true})
		return
	}
	var sent []modelFrame
	for _, f := range m.frames {
		if f.device == device && !f.del {
			sent = append(sent, f)
		}
	}
	if len(sent) > 0 && m.rng.Float64() < 0.15 {
		again := sent[max(0, len(sent)-1-m.rng.IntN(3))]
		if m.rng.Float64() < 0.3 { // with another series
			again.series = []string{m.series(device)}
		}
		m.frames = append(m.frames, again)
		return
	}
	frame := modelFrame{device: device, seq: len(m.frames)}
	for range 1 + m.rng.IntN(3) {
		frame.series = append(frame.series, m.series(device))
	}
	m.frames = append(m.frames, frame)
}

// series is one of those of a device, which are more than find room.
func (m *model) series(device byte) string {
	return string([]byte{device, 'v' + byte(min(m.rng.IntN(5), m.rng.IntN(5)))})
}

// undisturbed is what a single pass over the frames gives.
func (m *model) undisturbed() (counts map[string]int, alerts []modelAlert) {
	counts = make(map[string]int)
	all := &modelOwner{m: m, series: make(map[byte]map[string]bool)}
	seen, d := make(map[string]bool), newModelDevice()
	deleted := make(map[byte]int)
	for offset, f := range m.frames {
		if f.del {
			deleted[f.device] = (offset + 1) << 2
			alerts = append(alerts, d.delete(f.device, deleted[f.device])...)
			delete(all.series, f.device)
			maps.DeleteFunc(seen, func(key string, _ bool) bool { return strings.HasPrefix(key, fmt.Sprint(f.device, " ")) })
			continue
		}
		key := fmt.Sprint(f.device, " ", f.seq)
		if seen[key] {
			continue
		}
		seen[key] = true
		for i, s := range f.series {
			if !all.admit(s) {
				continue
			}
			counts[life(s, deleted)]++
			if a, changed := d.observe(s, (offset+1)<<2|i); changed {
				alerts = append(alerts, a)
			}
		}
	}
	return counts, alerts
}

// life names a series between two deletions of its device.
func life(series string, deleted map[byte]int) string {
	return fmt.Sprintf("%s@%d", series, deleted[series[0]])
}

// alertsVerdict checks what a reader of alerts has seen: every transition once if no detector forgets anything, and
// in any case open and resolved by turns, ending with what the last owner believes.
func (m *model) alertsVerdict(last *modelOwner) string {
	var got []modelAlert
	open := make(map[string]bool)
	for i, r := range accepted(m.alerts.log) {
		for _, a := range r.alerts {
			if open[a.series] == a.open {
				return fmt.Sprintf("alerts %d: %+v follows another like it", i, a)
			}
			open[a.series] = a.open
			got = append(got, a)
		}
	}
	for series, is := range open {
		if d := last.devices[series[0]]; d == nil || d.open[series] != is {
			return fmt.Sprintf("the alert of %s is open: %v, and its owner does not know", series, is)
		}
	}
	if _, want := m.undisturbed(); !m.forgetful && !slices.Equal(got, want) {
		return fmt.Sprintf("transitions %v, want %v", got, want)
	}
	return ""
}

// verdict checks what a reader of updates has seen.
func (m *model) verdict() string {
	want, _ := m.undisturbed()
	got, last := make(map[string]int), make(map[string]int)
	deleted := make(map[byte]int)
	for i, r := range accepted(m.updates.log) {
		if g := r.gone; g != nil && g.version > deleted[g.device] {
			for series, version := range last {
				if series[0] == g.device && version > g.version {
					return fmt.Sprintf("update %d: %s is at %d, above a deletion that comes after", i, series, version)
				}
			}
			deleted[g.device] = g.version
			maps.DeleteFunc(last, func(series string, _ int) bool { return series[0] == g.device })
		}
		for _, row := range r.rows {
			if row.since != last[row.series] {
				return fmt.Sprintf("update %d: (%d, %d] of %s follows %d", i, row.since, row.version, row.series, last[row.series])
			}
			last[row.series] = row.version
			got[life(row.series, deleted)] += row.n
		}
	}
	if !maps.Equal(got, want) {
		return fmt.Sprintf("emitted %v, want %v", got, want)
	}
	return ""
}
