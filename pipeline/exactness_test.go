package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
	"weir/wire/weirpb"
)

// TestOwnersThatCrashAndSleepCountEveryReadingOnce runs owners of one partition on a real broker, kills
// them at random points, lets others sleep there and wake as zombies after their successors have begun, and
// compares all that is left with what a single undisturbed pass over the readings gives.
func TestOwnersThatCrashAndSleepCountEveryReadingOnce(t *testing.T) {
	duration := 3 * time.Second
	if testing.Short() {
		duration = time.Second
	}
	for seed := uint64(1); seed <= 3; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			c := &chaos{w: w, rng: rand.New(rand.NewPCG(seed, 0)), committed: -1, wake: make(chan struct{})}
			fleet := newFleet(seed)
			c.storm(fleet, duration)
			c.settle(fleet)
			fleet.end = c.committed
			fleet.check(t, w)
			t.Logf("%d owners, %d crashed, %d slept; %d records, %d readings, %d alerts, %d with a metric too many, %d deletions, %d controls",
				c.generation, c.crashed, c.slept, fleet.records, fleet.readings, len(fleet.transitions), len(fleet.refused), fleet.deletions, fleet.controls)
		})
	}
}

var errCrash = errors.New("crash")

// chaos hands the partition from owner to owner, as a group would, only worse.
type chaos struct {
	w      *world
	owners sync.WaitGroup
	// metrics, if not nil, are those of owners that evict devices all the time.
	metrics *metrics.Set

	mu         sync.Mutex
	rng        *rand.Rand
	generation int
	committed  int64
	crashed    int
	slept      int
	calm       bool
	wake       chan struct{} // closed and replaced to wake those that sleep
	stops      []context.CancelFunc
}

// assign makes a new owner; the former one is not told.
func (c *chaos) assign() (ended chan error) {
	c.mu.Lock()
	c.generation++
	mine, committed := c.generation, c.committed
	c.mu.Unlock()
	client := c.w.newClient()
	config := testConfig()
	config.CheckpointPeriod = 7 * time.Millisecond
	config.FlushPeriod = time.Millisecond
	config.CompactAbove = 64 << 10
	config.MaxSeriesPerDevice = fleetSeries
	set := metrics.NewSet()
	if c.metrics != nil {
		config.EvictAfter, set = time.Millisecond, c.metrics
	}
	p, err := New(Options{Client: client, Config: config, Metrics: set, Trimmer: c.w.broker, Logger: testLogger(c.w.t)})
	if err != nil {
		c.w.t.Fatal(err)
	}
	p.hook = func(_ int, point string) error { return c.at(client, point) }
	owner := p.newOwner(0, committed, func(_ context.Context, offset int64) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.generation != mine {
			return errors.New("another generation")
		}
		c.committed = offset
		return nil
	})
	ctx, stop := context.WithCancel(context.Background())
	c.stops = append(c.stops, stop)
	ended = make(chan error, 1)
	c.owners.Go(func() { ended <- owner.run(ctx) })
	return ended
}

// at decides what happens to an owner at a point of the protocol.
func (c *chaos) at(client *kafka.Client, point string) error {
	c.mu.Lock()
	x, wake := c.rng.Float64(), c.wake
	if point == "batch" || point == "emit "+wire.TopicUpdates {
		x = min(x*5, 1) // these points come often
	}
	switch {
	case c.calm:
	case x < 0.01:
		c.crashed++
		c.mu.Unlock()
		client.Close() // nothing that is buffered arrives
		return errCrash
	case x < 0.02:
		c.crashed++
		c.mu.Unlock()
		return errCrash
	case x < 0.04:
		c.slept++
		c.mu.Unlock()
		<-wake
		return nil
	}
	c.mu.Unlock()
	return nil
}

func (c *chaos) random(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

// awake wakes those that sleep.
func (c *chaos) awake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.wake)
	c.wake = make(chan struct{})
}

func (c *chaos) storm(f *fleet, duration time.Duration) {
	over, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	var sending sync.WaitGroup
	sending.Go(func() {
		for over.Err() == nil {
			f.send(c.w)
		}
	})
	ended := c.assign()
	for over.Err() == nil {
		select {
		case <-ended:
			ended = c.assign()
		case <-time.After(time.Duration(5+c.random(60)) * time.Millisecond):
			switch c.random(4) {
			case 0:
				ended = c.assign() // the former one goes on, or sleeps
			case 1:
				c.awake()
			}
		}
	}
	sending.Wait()
}

// settle lets a last owner finish undisturbed, with the zombies awake.
func (c *chaos) settle(f *fleet) {
	c.mu.Lock()
	c.calm = true
	c.mu.Unlock()
	ended := c.assign()
	c.awake()
	c.w.await("a checkpoint contains all readings", func() bool {
		select {
		case <-ended: // somebody who was late to acquire has fenced it
			ended = c.assign()
		default:
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.committed > f.last
	})
	for _, stop := range c.stops {
		stop()
	}
	c.owners.Wait()
}

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

// check compares everything that is stored with the undisturbed pass.
func (f *fleet) check(t *testing.T, w *world) {
	f.replay(t, w)
	f.checkChains(t, w.chains())
	f.checkAlerts(t, w)
	f.checkLatest(t, w)
	f.checkState(t, w)
	f.checkDeadLetters(t, w)
}

// checkDeadLetters: a crash may bury a record twice, but none is left out.
func (f *fleet) checkDeadLetters(t *testing.T, w *world) {
	missing := maps.Clone(f.refused)
	for _, r := range w.records(wire.TopicDeadLetters, 0) {
		letter, err := wire.DecodeDeadLetter(r.Value)
		if err == nil && letter.Code == wire.CodeAlertUnknown {
			continue
		}
		if err != nil || letter.Code != wire.CodeTooManySeries || !f.refused[letter.Offset] {
			t.Errorf("dead letter %s of record %d, which has room: %v", letter.Code, letter.Offset, err)
		}
		delete(missing, letter.Offset)
	}
	for offset := range missing {
		t.Errorf("record %d has a metric too many and no dead letter", offset)
	}
}

func (f *fleet) checkChains(t *testing.T, chains map[string]*chain) {
	for name, c := range chains {
		if m := f.chains[name]; m == nil {
			t.Errorf("%s is not known to the model", name)
		} else if difference := differ(&c.Update, &m.Update); difference != "" {
			t.Errorf("%s: %s", name, difference)
		}
	}
	for name := range f.chains {
		if chains[name] == nil {
			t.Errorf("%s has no update", name)
		}
	}
	for name, e := range f.expected {
		c := chains[name]
		switch {
		case c == nil:
			t.Errorf("%s has no update", name)
		case c.N != e.n || c.Late != e.late || c.Invalid != e.invalid:
			t.Errorf("%s: n %d late %d invalid %d, want %d, %d, %d", name, c.N, c.Late, c.Invalid, e.n, e.late, e.invalid)
		case e.n > 0 && (c.Min != e.min || c.Max != e.max || math.Abs(c.Sum-e.sum) > 1e-9*math.Abs(e.sum)):
			t.Errorf("%s: min %v max %v sum %v, want %v, %v, %v", name, c.Min, c.Max, c.Sum, e.min, e.max, e.sum)
		case c.Version < e.version: // a tick may have brought it further
			t.Errorf("%s ends at version %d, want %d", name, c.Version, e.version)
		}
	}
}

// replay has the sequential model of the graph run over all records, some at a time.
func (f *fleet) replay(t *testing.T, w *world) {
	config := testConfig()
	config.MaxSeriesPerDevice = fleetSeries
	f.chains = make(map[string]*chain)
	var err error
	f.model, err = NewReplay(ReplayOptions{
		Config: config, Partitions: 1,
		Alert: func(a *telemetry.Alert) {
			f.transitions[transition(t, a)] = true
			f.open[a.ID] = a.Phase != telemetry.Resolved
		},
		Update:  func(u *telemetry.Update) { w.follow(f.chains, u, 0, 0) },
		Deleted: func(c *wire.Control) { w.end(f.chains, wire.AppendControl(nil, c)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	records := w.records(wire.TopicReadings, 0)
	for len(records) > 0 && records[len(records)-1].Offset >= f.end {
		records = records[:len(records)-1]
	}
	for len(records) > 0 {
		n := min(len(records), 1+f.rng.IntN(20))
		if err := f.model.Feed(records[:n], records[n-1].Offset+1); err != nil {
			t.Fatal(err)
		}
		records = records[n:]
	}
}

// transition is all that an alert says.
func transition(t *testing.T, a *telemetry.Alert) string {
	text, err := json.Marshal(json.RawMessage(wire.AppendAlertJSON(nil, a)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// differ tells in what two summaries of the same interval differ, but for what follows the clock and the rounding of sums.
func differ(a, b *telemetry.Update) string {
	x, y := *a, *b
	if math.Abs(x.Sum-y.Sum) <= 1e-9*math.Abs(y.Sum)+1e-6 {
		x.Sum = y.Sum
	}
	x.EmitTime, y.EmitTime = 0, 0
	if got, want := fmt.Sprintf("%+v", x), fmt.Sprintf("%+v", y); got != want {
		return got + ", want " + want
	}
	return ""
}

func (f *fleet) checkAlerts(t *testing.T, w *world) {
	missing := maps.Clone(f.transitions)
	for _, r := range w.records(wire.TopicAlerts, 0) {
		a, err := wire.DecodeAlert(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		key := transition(t, &a)
		if !missing[key] {
			t.Errorf("alert was emitted twice, or should not be: %s", key)
		}
		delete(missing, key)
	}
	for key := range missing {
		t.Errorf("alert was not emitted: %s", key)
	}
}

func (f *fleet) checkLatest(t *testing.T, w *world) {
	versions, alerts := make(map[string]telemetry.Version), make(map[string]bool)
	for _, r := range w.records(wire.TopicLatest, 0) {
		switch kind, name := wire.ParseLatestKey(r.Key); kind {
		case wire.LatestSeries:
			if r.Value == nil {
				delete(versions, name)
				continue
			}
			rows, err := wire.DecodeUpdateBatch(r.Value, nil, nil)
			if err != nil || len(rows) != 1 {
				t.Fatalf("%d rows: %v", len(rows), err)
			}
			versions[name] = rows[0].Version
		case wire.LatestAlert:
			alerts[name] = r.Value != nil
		}
	}
	for name, m := range f.chains {
		if want := m.Version; !ended(name) && versions[name] != want {
			t.Errorf("weir.latest has %s at version %d, want %d", name, versions[name], want)
		}
		delete(versions, name)
	}
	for name := range versions {
		t.Errorf("weir.latest has %s, which was deleted", name)
	}
	for id, open := range f.open {
		if alerts[id] != open {
			t.Errorf("weir.latest says that alert %s is open: %v, want %v", id, alerts[id], open)
		}
	}
}

// checkState compares what a next owner would begin with.
func (f *fleet) checkState(t *testing.T, w *world) {
	p := w.pipeline(nil)
	o := p.newOwner(0, -1, func(context.Context, int64) error { return nil })
	end, err := w.client.Offsets(w.context(), wire.TopicState)
	if err != nil {
		t.Fatal(err)
	}
	r := &restorer{o: o, fences: fences{state: end[0].End}, out: restored{registry: newRegistry(100)}}
	if err := r.readState(w.context()); err != nil {
		t.Fatal(err)
	}
	for name, d := range r.out.registry.devices {
		for _, s := range d.series {
			if s.inState && f.model.stages.decode.registry.series(s.name) == nil {
				t.Errorf("weir.state has %s, which was deleted", s.name)
			}
		}
		if f.admitted[name] == 0 && d.applied >= 0 {
			t.Logf("%s has nothing, and is still there", name)
		}
	}
	for name := range f.chains {
		if ended(name) {
			continue
		}
		s, err := r.out.registry.restoredSeries(name)
		if err != nil {
			t.Fatal(err)
		}
		model := f.model.stages.decode.registry.series(name)
		if model == nil {
			t.Errorf("%s is not known to the model", name)
			continue
		}
		var encoder stateEncoder
		got, want := bytes.Clone(encoder.seriesState(s)), encoder.seriesState(model)
		if stateDifference(got, want) != "" {
			t.Errorf("state of %s has seen other readings than it should: %s", name, stateDifference(got, want))
		}
	}
}

// stateDifference tells which fields of two states of a series differ.
func stateDifference(got, want []byte) string {
	var a, b weirpb.SeriesState
	if a.UnmarshalVT(got) != nil || b.UnmarshalVT(want) != nil {
		return "they do not decode"
	}
	// An owner may look earlier than it needs to.
	a.WatchDue, b.WatchDue, a.ComputeDue, b.ComputeDue = 0, 0, 0, 0
	var out []string
	x, y := reflect.ValueOf(a.ProtoReflect().Interface()).Elem(), reflect.ValueOf(b.ProtoReflect().Interface()).Elem()
	for i := range x.NumField() {
		if f := x.Type().Field(i); f.IsExported() {
			got, want := fmt.Sprint(reflect.Indirect(x.Field(i))), fmt.Sprint(reflect.Indirect(y.Field(i))) // NaN is equal to itself
			if got != want {
				out = append(out, fmt.Sprintf("%s %s, want %s", f.Name, got, want))
			}
		}
	}
	return strings.Join(out, "; ")
}
