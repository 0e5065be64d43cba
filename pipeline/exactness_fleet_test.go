package pipeline

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// fleet sends readings and knows what they must add up to.
type fleet struct {
	rng     *rand.Rand
	config  Config
	sent    map[string][]*telemetry.Batch
	clock   map[string]int64
	records int
	last    int64 // offset

	// idle: of 26 devices, one at a time is busy.
	idle bool
	busy rune

	deletions int
	controls  int
	// end is up to where the last checkpoint goes.
	end int64

	// The undisturbed pass.
	seen     map[string]bool
	admitted map[string]int // series by device
	refused  map[int64]bool // records with a metric too many
	readings uint64
	expected map[string]*expectation
	newest   map[string]int64 // source time by device
	// model is what a Replay made of all records, transitions what it told of alerts.
	model       *Replay
	chains      map[string]*chain
	transitions map[string]bool
	open        map[string]bool
}

// fleetSeries is how many series a device may have; they send more metrics than that.
const fleetSeries = 4

// expectation is what a series must come to.
type expectation struct {
	n, late, invalid uint64
	min, max, sum    float64
	version          telemetry.Version
}

func newFleet(seed uint64) *fleet {
	return &fleet{
		rng: rand.New(rand.NewPCG(seed, 1)), config: testConfig(),
		sent: make(map[string][]*telemetry.Batch), clock: make(map[string]int64),
		newest: make(map[string]int64), transitions: make(map[string]bool), open: make(map[string]bool),
		seen: make(map[string]bool), expected: make(map[string]*expectation),
		admitted: make(map[string]int), refused: make(map[int64]bool),
	}
}

func (f *fleet) send(w *world) {
	device := fmt.Sprintf("plant/%c", 'a'+rune(f.rng.IntN(4)))
	if f.idle {
		if f.rng.IntN(40) == 0 {
			f.busy = 'a' + rune(f.rng.IntN(26))
		}
		device = fmt.Sprintf("plant/%c", max(f.busy, 'a'))
	}
	switch f.rng.IntN(600) {
	case 0, 1, 2, 3, 4:
		f.delete(w, device)
		return
	case 5, 6, 7:
		f.command(w, device)
		return
	case 8, 9, 10, 11:
		if f.idle && f.rng.IntN(3) > 0 {
			break
		}
		f.control(w)
		return
	}
	var b *telemetry.Batch
	switch old := f.sent[device]; f.rng.IntN(6) {
	case 0:
		b = f.batch(device)
		b.Session, b.Seq = "", 0
	case 1:
		if len(old) > 0 {
			b = f.again(old[max(0, len(old)-1-f.rng.IntN(20))])
			break
		}
		fallthrough
	default:
		b = f.batch(device)
		f.sent[device] = append(old, b)
	}
	offset := w.sendRaw(device, wire.AppendReadingBatch(nil, b))
	f.records, f.last = f.records+1, offset
	f.pass(b, offset)
}

// fleetPlans are put into force in turns.
var fleetPlans = []string{"", `
pipelines:
  - match: "plant/+/m0"
    average: {kind: exponential, tau: 5s}
    averages: [{kind: median, samples: 3}]
    windows:
      - {name: 5s, kind: tumbling, size: 5s, grace: 1s, functions: [count, mean, p90]}
      - {name: busy, kind: session, gap: 3s, grace: 1s, functions: [count, max]}
    rules:
      - {name: hot, kind: threshold, above: 700, clear_above: 20, for: 2s}
      - {name: gone, kind: absence, for: 1s}
derived:
  - {match: "plant/+", as: both, expr: "m0 + m1", max_age: 20s}
groups:
  - {match: "plant/+/m0", as: plant/_all/m0, every: 2s, grace: 1s, functions: [mean, count]}
`, `
pipelines:
  - match: "plant/+/m1"
    counter: true
    windows: [{name: hop, kind: hopping, size: 8s, every: 2s, grace: 1s, functions: [sum]}]
  - match: "plant/+/m0"
    windows: [{name: 5s, kind: tumbling, size: 5s, grace: 1s, functions: [count, mean, p90]}]
    rules:
      - {name: hot, kind: threshold, above: 700, clear_above: 20, for: 2s, keep_firing_for: 1s}
      - {name: both, kind: expr, raise: "value > 500 && m1 > 10"}
`}

// control sends a record for the partition as a whole.
func (f *fleet) control(w *world) {
	now := time.Now().UnixMicro()
	c := &wire.Control{Kind: wire.ControlTick, Time: now + int64(f.rng.IntN(3e6))}
	switch f.rng.IntN(4) {
	case 0:
		c = &wire.Control{Kind: wire.ControlPlan, Time: now, Text: fleetPlans[f.rng.IntN(len(fleetPlans))]}
		if f.idle && f.rng.IntN(2) == 0 {
			c.Text = "" // under which nothing waits
		}
	case 1:
		c = &wire.Control{Kind: wire.ControlSilence, Time: now, Silence: &telemetry.Silence{
			ID: fmt.Sprint("s", f.rng.IntN(3)), Series: "plant/+/m0", From: now, Until: now + int64(f.rng.IntN(1e6)), By: "mia"}}
	}
	f.last = w.sendRaw("plant/a", wire.AppendControl(nil, c))
	f.controls++
}

// command does something to an alert that is open, or was.
func (f *fleet) command(w *world, device string) {
	var last *telemetry.Alert
	for _, r := range w.records(wire.TopicAlerts, 0) {
		if a, err := wire.DecodeAlert(r.Value); err == nil && string(r.Key) == device {
			last = &a
		}
	}
	if last == nil {
		return
	}
	actions := []telemetry.AlertAction{telemetry.ActionAcknowledge, telemetry.ActionUnacknowledge, telemetry.ActionComment, telemetry.ActionAssign}
	f.last = w.sendRaw(device, wire.AppendControl(nil, &wire.Control{
		Kind: wire.ControlAlert, Device: device, Time: time.Now().UnixMicro(), By: "mia",
		Alert: &telemetry.AlertCommand{Alert: last.ID, Series: last.Series, Action: actions[f.rng.IntN(len(actions))], Text: "x"},
	}))
	f.controls++
}

// delete sends the command to delete a device, which begins anew with what it sends next.
func (f *fleet) delete(w *world, device string) {
	offset := w.sendRaw(device, wire.AppendControl(nil, &wire.Control{Kind: wire.ControlDeleteDevice, Device: device, Time: 1}))
	f.records, f.deletions, f.last = f.records+1, f.deletions+1, offset
	version := telemetry.VersionOf(offset, 0)
	for name, e := range f.expected {
		if of, _, _ := telemetry.SplitSeries(name); of != device || ended(name) {
			continue
		}
		delete(f.expected, name)
		f.expected[endedAt(name, version)] = e
	}
	delete(f.admitted, device)
	delete(f.newest, device)
	for key := range f.seen {
		if strings.HasPrefix(key, device) {
			delete(f.seen, key)
		}
	}
}

// again is b sent once more, sometimes by a device that has changed what it says.
func (f *fleet) again(b *telemetry.Batch) *telemetry.Batch {
	if f.rng.IntN(3) > 0 {
		return b
	}
	other := *b
	other.Readings = append(slices.Clone(b.Readings), telemetry.Reading{Metric: f.metric(), Time: epoch, Value: 1e6})
	return &other
}

// metric is one of three, or one of those that not all find room.
func (f *fleet) metric() string {
	if f.rng.IntN(50) == 0 {
		return fmt.Sprintf("rare%d", f.rng.IntN(4))
	}
	return fmt.Sprintf("m%d", f.rng.IntN(3))
}

func (f *fleet) batch(device string) *telemetry.Batch {
	b := &telemetry.Batch{
		Device: device, Session: fmt.Sprint("boot ", len(f.sent[device])/500), Seq: uint64(len(f.sent[device])),
		Ingest: time.Now().UnixMicro(),
	}
	for range 1 + f.rng.IntN(5) {
		f.clock[device] += int64(f.rng.IntN(2e6))
		r := telemetry.Reading{
			Metric: f.metric(),
			Time:   epoch + f.clock[device],
			Value:  math.Round(100*f.rng.Float64()) / 4,
		}
		switch f.rng.IntN(40) {
		case 0:
			r.Value = math.NaN()
		case 1:
			r.Time -= f.config.Lateness.Microseconds() + 10e6
		case 2:
			r.Time -= 20e6
		case 3, 4:
			if !f.idle || f.rng.IntN(8) == 0 { // a device with an alert stays in memory
				r.Value *= 50
			}
		}
		b.Readings = append(b.Readings, r)
	}
	return b
}

// pass applies a record to what is expected.
func (f *fleet) pass(b *telemetry.Batch, offset int64) {
	key := fmt.Sprint(b.Device, b.Session, b.Seq)
	if b.Session != "" && f.seen[key] {
		return
	}
	f.seen[key] = true
	for i, r := range b.Readings {
		name := telemetry.Series(b.Device, r.Metric)
		e := f.expected[name]
		if e == nil && f.admitted[b.Device] == fleetSeries {
			f.refused[offset] = true
			continue
		}
		f.readings++
		if e == nil {
			f.admitted[b.Device]++
			e = &expectation{min: math.Inf(1), max: math.Inf(-1)}
			f.expected[name] = e
		}
		e.version = telemetry.VersionOf(offset, i)
		switch {
		case math.IsNaN(r.Value):
			e.invalid++
		case f.newest[b.Device]-r.Time > f.config.Lateness.Microseconds():
			e.late++
		default:
			f.newest[b.Device] = max(f.newest[b.Device], r.Time)
			e.n++
			e.min, e.max, e.sum = min(e.min, r.Value), max(e.max, r.Value), e.sum+r.Value
		}
	}
}
