package rule

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/telemetry"
)

// event is a reading, or a tick.
type event struct {
	tick    bool
	version telemetry.Version
	time    int64 // of the reading
	now     int64 // Ingest, or the tick's time
	value   float64
}

// change of a condition, by event number i.
type change struct {
	i    int
	came bool
}

// model says by the definitions in the manual, from the whole log at once, what a rule has to tell.
type model struct {
	spec   Spec
	events []event
}

// changes of the condition. A threshold comes at the end of the first run of readings above the level that is long
// enough, and goes with the first that is not above the other. Absence comes with the first tick that is late enough
// after all readings, and goes with the next.
func (m *model) changes() []change {
	var out []change
	newest, seen, absent := int64(0), false, false
	run, on := -1, false // run: the event that began it
	for i, e := range m.events {
		if m.spec.Kind == Absence {
			if e.tick && seen && !absent && e.now >= newest+m.spec.For.Microseconds() {
				out, absent = append(out, change{i, true}), true
			}
			if !e.tick {
				if absent {
					out, absent = append(out, change{i, false}), false
				}
				newest, seen = max(newest, e.now), true
			}
			continue
		}
		switch {
		case e.tick:
		case on && e.value <= *m.spec.ClearAbove:
			out, on, run = append(out, change{i, false}), false, -1
		case on:
		case e.value <= *m.spec.Above:
			run = -1
		default:
			if run < 0 {
				run = i
			}
			if e.time-m.events[run].time >= m.spec.For.Microseconds() {
				out, on = append(out, change{i, true}), true
			}
		}
	}
	return out
}

// tick is the first one behind event i at which now has come.
func (m *model) tick(i int, now int64) int {
	for j := i + 1; j < len(m.events); j++ {
		if m.events[j].tick && m.events[j].now >= now {
			return j
		}
	}
	return len(m.events)
}

type outcome struct {
	version telemetry.Version
	phase   telemetry.Phase
	reason  telemetry.Reason
	count   int // when flapping
}

// outcomes follows each alert from its first change to its end.
func (m *model) outcomes() []outcome {
	var out []outcome
	changes := m.changes()
	say := func(i int, p telemetry.Phase, r telemetry.Reason, count int) {
		out = append(out, outcome{m.events[i].version, p, r, count})
	}
	period, keep := m.spec.Flapping.Period.Microseconds(), m.spec.KeepFiringFor.Microseconds()
	var came []int64 // since the start, or since it last flapped
	open, flapping, count, told := false, false, 0, 0
	for k, c := range changes {
		now := m.events[c.i].now
		next := len(m.events)
		if k+1 < len(changes) {
			next = changes[k+1].i
		}
		if c.came {
			came = append(came, now)
			least := m.spec.Flapping.Count
			often := !m.spec.Flapping.Off && len(came) >= least && now-came[len(came)-least] <= period
			switch {
			case flapping:
				if count++; count == 2*told {
					told = count
					say(c.i, telemetry.Flapping, telemetry.FlappingBegan, count)
				}
			case often:
				flapping, count, told = true, least, least
				say(c.i, telemetry.Flapping, telemetry.FlappingBegan, count)
			case !open:
				say(c.i, telemetry.Firing, telemetry.Raised, 0)
			}
			open = true
			if flapping {
				if end := m.tick(c.i, now+period); end < next {
					say(end, telemetry.Firing, telemetry.FlappingEnded, count)
					flapping, came = false, nil
				}
			}
			continue
		}
		end := c.i
		if flapping {
			end = m.tick(c.i, now+max(period, keep))
		} else if keep > 0 {
			end = m.tick(c.i, now+keep)
		}
		if end < next {
			if flapping {
				came = nil
				say(end, telemetry.Resolved, telemetry.Cleared, count)
			} else {
				say(end, telemetry.Resolved, telemetry.Cleared, 0)
			}
			open, flapping = false, false
		}
	}
	return out
}

func drawSpec(t *rapid.T) Spec {
	seconds := func(name string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, name)) * time.Second
	}
	s := Spec{Name: "r", Kind: Absence, For: time.Second + seconds("for", 20), KeepFiringFor: rapid.SampledFrom([]time.Duration{0, 0, 1, 5, 40}).Draw(t, "keep") * time.Second}
	if rapid.Bool().Draw(t, "threshold") {
		s.Kind, s.For = Threshold, rapid.SampledFrom([]time.Duration{0, 0, 0, 1, 5}).Draw(t, "hold")*time.Second
		s.Above, s.ClearAbove = level(2), level(float64(rapid.IntRange(0, 2).Draw(t, "clear")))
	}
	s.Flapping = Flapping{
		Count:  rapid.IntRange(2, 5).Draw(t, "count"),
		Period: rapid.SampledFrom([]time.Duration{1, 3, 10, 30, 100}).Draw(t, "period") * time.Second,
		Off:    rapid.IntRange(0, 5).Draw(t, "off") == 0,
	}
	return s
}

// drawEvents: processing time mostly advances, source time and values jump about.
func drawEvents(t *rapid.T) []event {
	var out []event
	now := int64(1000)
	for i := range rapid.IntRange(0, 120).Draw(t, "n") {
		now += rapid.SampledFrom([]int64{0, 1, 1, 1, 2, 3, 10, 30}).Draw(t, "step")
		e := event{version: telemetry.Version(i+1) << 12, now: now * second, tick: rapid.IntRange(0, 3).Draw(t, "tick") == 0}
		if !e.tick {
			e.now -= int64(rapid.IntRange(0, 2).Draw(t, "behind")) * second
			e.time = e.now - int64(rapid.IntRange(0, 3).Draw(t, "delay"))*second
			e.value = rapid.SampledFrom([]float64{0, 3, 0, 3, 1, 2}).Draw(t, "value")
		}
		out = append(out, e)
	}
	return out
}

func (e *event) feed(w *Watch, s *Subject) []Transition {
	if e.tick {
		return w.Tick(s, e.version, e.now, nil)
	}
	return w.Observe(s, &Observation{
		Version: e.version, Time: e.time, Ingest: e.now, Value: e.value, Avg: e.value, Lo: nan, Hi: nan, Score: nan, Rate: nan,
	}, nil)
}

func TestOutcomeIsThatOfTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := model{spec: drawSpec(t), events: drawEvents(t)}
		r, err := m.spec.Compile()
		if err != nil {
			t.Fatal(err)
		}
		s := &Subject{Series: "a/b", Rules: []*Rule{r}}
		var w Watch
		var got []outcome
		for i := range m.events {
			due, e := w.Due(s), &m.events[i]
			made := e.feed(&w, s)
			if e.tick && len(made) > 0 && due > e.now {
				t.Fatalf("a tick at %d made %+v, though due at %d", e.now, made, due)
			}
			if e.tick && w.Due(s) <= e.now {
				t.Fatalf("a tick at %d left what was due at %d", e.now, w.Due(s))
			}
			for _, x := range made {
				o := outcome{version: x.Version, phase: x.Phase, reason: x.Reason}
				if x.Phase == telemetry.Flapping || x.Reason == telemetry.FlappingEnded || x.Flaps.Count > 0 && flappedBefore(got) {
					o.count = int(x.Flaps.Count)
				}
				got = append(got, o)
			}
		}
		want := m.outcomes()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%+v\n%v\ngot  %v\nwant %v", m.spec, m.events, got, want)
		}
	})
}

// flappedBefore reports whether the newest transition left the alert flapping.
func flappedBefore(got []outcome) bool {
	return len(got) > 0 && got[len(got)-1].phase == telemetry.Flapping
}

// However often a condition comes and goes, what is told grows with the logarithm of that.
func TestAFlappingSeriesIsOneAlert(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(2, 8).Draw(t, "count")
		spec := Spec{Name: "hot", Kind: Threshold, Above: level(0), Flapping: Flapping{Count: count, Period: 10 * time.Minute}}
		b := newBed(t, spec)
		alerts, told, came := map[string]bool{}, 0, 0
		at, was := int64(0), 0.0
		for range rapid.IntRange(1, 400).Draw(t, "n") {
			// Steps so short that the condition comes often enough, and never rests for the period.
			at += rapid.Int64Range(1, 600/int64(2*count)).Draw(t, "step")
			v := 1 - was
			if v > was {
				came++
			}
			was = v
			made := append(b.read(at, v), b.tick(at)...)
			told += len(made)
			for _, x := range made {
				alerts[x.ID] = true
			}
		}
		most := 2*(count-1) + 1
		for n := 2 * count; n <= came; n *= 2 {
			most++
		}
		if len(alerts) > count || told > most {
			t.Fatalf("%d alerts with %d transitions for %d times, want at most %d and %d", len(alerts), told, came, count, most)
		}
	})
}
