package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"

	"weir/telemetry"
	"weir/wire"
	"weir/wire/weirpb"
)

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
