package rule

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/telemetry"
)

// written is the transitions with all that they hold; NaN equals NaN.
func written(list []Transition) string {
	var b bytes.Buffer
	for _, x := range list {
		marked := x.Marked
		x.Marked, x.By = nil, nil
		fmt.Fprintf(&b, "%+v", x)
		if marked != nil {
			fmt.Fprintf(&b, " marked %+v", *marked)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// everything is a rule of each kind, all of which what act feeds can move.
func everything(t failer) []*Rule {
	flapping := Flapping{Count: 2, Period: 20 * time.Second}
	return []*Rule{
		compile(t, Spec{
			Name: "hot", Kind: Threshold, Above: level(2), ClearAbove: level(1), KeepFiringFor: 5 * time.Second, Flapping: flapping,
			Labels: map[string]string{"team": "{{.Device}}", "a": "b"}, Annotations: map[string]string{"at": "{{.Value}} {{.Seconds}} {{.Count}}"},
		}),
		compile(t, Spec{Name: "slow", Kind: Threshold, Value: Average, Below: level(1), For: 4 * time.Second, Severity: telemetry.Info}),
		compile(t, Spec{Name: "gone", Kind: Absence, For: 10 * time.Second, Severity: telemetry.Critical}),
		compile(t, Spec{Name: "fast", Kind: Rate, Above: level(1), Flapping: flapping}),
		compile(t, Spec{Name: "deviation", Kind: Anomaly, KeepFiringFor: 3 * time.Second}),
		compile(t, Spec{Name: "both", Kind: Expr, Raise: "value > 1 && rate >= 0 && other > 1", For: time.Second}),
	}
}

// act is one random thing that can happen to a watch, to be done to any number of copies.
func act(t *rapid.T, i int, now *int64, rules []*Rule, w *Watch, s *Subject) func(*Watch) []Transition {
	*now += rapid.SampledFrom([]int64{0, 1, 2, 11, 25}).Draw(t, "step") * second
	version, at := telemetry.Version(i+1)<<12, *now
	switch rapid.IntRange(0, 9).Draw(t, "act") {
	case 0:
		return func(w *Watch) []Transition { return w.Tick(s, version, at, nil) }
	case 1:
		late := rapid.Bool().Draw(t, "late")
		return func(w *Watch) []Transition { w.LateOrInvalid(late); return nil }
	case 2:
		c := Command{By: "alice", Version: version, Now: at}
		for v := range w.Open(s) {
			c.Alert = v.ID
		}
		c.Action = rapid.SampledFrom([]telemetry.AlertAction{"acknowledge", "unacknowledge", "comment", "assign", "x"}).Draw(t, "action")
		c.Text = rapid.StringN(0, 5, 20).Draw(t, "text")
		return func(w *Watch) []Transition {
			out, err := w.Command(s, &c, nil)
			if err != nil && len(out) > 0 {
				t.Fatalf("%v with %v", err, out)
			}
			return out
		}
	case 3:
		if rules == nil || rapid.IntRange(0, 4).Draw(t, "change") > 0 {
			break
		}
		s.Rules = rules[rapid.IntRange(0, 3).Draw(t, "first"):]
		return func(w *Watch) []Transition { return w.Rules(s, version, at, nil) }
	}
	o := Observation{
		Version: version, Time: at - rapid.Int64Range(0, 2).Draw(t, "delay")*second, Ingest: at, Lo: 0, Hi: 2, Rate: nan,
		Value: float64(rapid.IntRange(0, 4).Draw(t, "value")), Avg: float64(rapid.IntRange(0, 3).Draw(t, "avg")),
		Score: 0.5, Head: rapid.SampledFrom([]string{"", "novelty"}).Draw(t, "head"),
		State: rapid.SampledFrom([]telemetry.State{telemetry.OK, telemetry.Alerting}).Draw(t, "state"),
	}
	o.Onset = o.State == telemetry.Alerting && rapid.Bool().Draw(t, "onset")
	return func(w *Watch) []Transition { return w.Observe(s, &o, nil) }
}

func TestRestoredWatchAnswersAsTheOriginal(t *testing.T) {
	rules := everything(t)
	rapid.Check(t, func(t *rapid.T) {
		s := &Subject{Series: "plant1/a/b", Rules: rules, Others: func(string) (float64, bool) { return 2, true }}
		var whole, restored Watch
		now, last := 100*second, map[string]telemetry.Version{}
		for i := range rapid.IntRange(0, 60).Draw(t, "n") {
			state := whole.MarshalAppend([]byte("prefix"))[len("prefix"):]
			if rapid.Bool().Draw(t, "restore") {
				restored = Watch{n: 7}
				if err := restored.Unmarshal(state); err != nil {
					t.Fatalf("%v: %x of %+v", err, state, whole)
				}
				if again := restored.MarshalAppend(nil); !bytes.Equal(again, state) {
					t.Fatalf("marshalled again: %x, want %x", again, state)
				}
			}
			do := act(t, i, &now, rules, &whole, s)
			want := do(&whole)
			if got := do(&restored); written(got) != written(want) {
				t.Fatalf("restored:\n%swhole:\n%s", written(got), written(want))
			}
			if whole.Due(s) != restored.Due(s) || whole.Empty() != restored.Empty() {
				t.Fatalf("due at %d restored, at %d whole", restored.Due(s), whole.Due(s))
			}
			for _, x := range want {
				if before, ok := last[x.ID]; ok && x.Version <= before {
					t.Fatalf("version %d of %s after %d", x.Version, x.ID, before)
				}
				last[x.ID] = x.Version
				if x.Phase == telemetry.Resolved {
					last[x.ID] = 1 << 60 // nothing may follow
				}
			}
		}
	})
}

// Several values of one version, as windows that close at once have, or a replay.
func TestVersionsOfAnAlertGrowWhateverComes(t *testing.T) {
	rules := everything(t)
	rapid.Check(t, func(t *rapid.T) {
		s := &Subject{Series: "plant1/a/b", Rules: rules}
		var w Watch
		now, last, open := 100*second, map[string]telemetry.Version{}, map[string]bool{}
		for range rapid.IntRange(0, 60).Draw(t, "n") {
			i := rapid.IntRange(0, 5).Draw(t, "i")
			for _, x := range act(t, i, &now, nil, &w, s)(&w) {
				if before, ok := last[x.ID]; ok && x.Version <= before {
					t.Fatalf("version %d of %s after %d", x.Version, x.ID, before)
				}
				last[x.ID], open[x.ID] = x.Version, x.Phase != telemetry.Resolved
			}
		}
		for _, x := range w.End(s, telemetry.SeriesDeleted, 0, now, nil) {
			if x.Version <= last[x.ID] {
				t.Fatalf("version %d of %s after %d", x.Version, x.ID, last[x.ID])
			}
			open[x.ID] = false
		}
		for id, still := range open {
			if still {
				t.Fatalf("%s was never resolved", id)
			}
		}
		if !w.Empty() || !reflect.DeepEqual(w, Watch{}) {
			t.Fatalf("something is left: %+v", w)
		}
	})
}

func TestImpossibleStateIsRefused(t *testing.T) {
	open := func() *alert { return &alert{rule: "a", raised: 5} }
	for name, st := range map[string]state{
		"on without an alert":        {phase: on},
		"no phase":                   {phase: on + 1},
		"due without an alert":       {due: 7},
		"due before the epoch":       {due: -7, phase: on, alert: open()},
		"waits for nothing":          {alert: open()},
		"flaps for ever":             {phase: on, moved: 5, alert: &alert{flapping: true, count: 1, told: 1}},
		"told before it was raised":  {phase: on, moved: 4, alert: open()},
		"version before the first":   {moved: -2},
		"flaps without a count":      {phase: on, due: 1, moved: 5, alert: &alert{flapping: true}},
		"counts without flapping":    {phase: on, moved: 5, alert: &alert{count: 2, told: 2}},
		"told more than was counted": {phase: on, due: 1, moved: 5, alert: &alert{flapping: true, count: 2, told: 3}},
	} {
		w := Watch{states: []state{st}}
		if err := new(Watch).Unmarshal(w.MarshalAppend(nil)); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := Watch{states: []state{{phase: on, moved: 5, alert: open()}}}
	if err := new(Watch).Unmarshal(good.MarshalAppend(nil)); err != nil {
		t.Error(err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	b := newBed(f)
	b.s.Rules = everything(f)
	f.Add((&Watch{}).MarshalAppend(nil))
	for at := range int64(9) {
		out := b.read(at*2, float64(3*(at%2)))
		for _, x := range out {
			if x.Phase != telemetry.Resolved {
				c := Command{AlertCommand: telemetry.AlertCommand{Alert: x.ID, Action: "acknowledge", Text: "ok"}, By: "bob", Version: b.version + 9, Now: at}
				_, _ = b.w.Command(&b.s, &c, nil)
				c.Action, c.Version = "comment", c.Version+1
				_, _ = b.w.Command(&b.s, &c, nil)
			}
		}
		f.Add(b.w.MarshalAppend(nil))
	}
	b.tick(100)
	f.Add(b.w.MarshalAppend(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		w := Watch{n: 3}
		if w.Unmarshal(in) != nil {
			if !reflect.DeepEqual(w, Watch{n: 3}) {
				t.Fatal("changed by bytes it refused")
			}
			return
		}
		if again := w.MarshalAppend(nil); !bytes.Equal(again, in) {
			t.Fatalf("%x marshals to %x", in, again)
		}
		s := b.s
		for i := range int64(4) {
			v := telemetry.Version(1<<50 + 2*i)
			w.Observe(&s, &Observation{Version: v, Time: i * second, Ingest: i * second, Value: float64(3 * i)}, nil)
			w.Tick(&s, v+1, i*100*second, nil)
		}
		if w.End(&s, telemetry.SeriesDeleted, 1<<51, 0, nil); !w.Empty() {
			t.Fatal("not empty after its end")
		}
	})
}

func TestStateOfAQuietSeriesIsCompact(t *testing.T) {
	b := newBed(t, *Default())
	b.none(b.read(1_700_000_000, 20.25))
	one := len(b.w.MarshalAppend(nil))
	for at := range int64(100) {
		b.none(b.read(1_700_000_001+at, 20.25))
	}
	if n := len(b.w.MarshalAppend(nil)); n > 200 {
		t.Errorf("%d bytes, want at most 200", n)
	} else {
		t.Logf("%d bytes after a reading, %d with a full ring", one, n)
	}
}
