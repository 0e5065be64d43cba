package pipeline

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"weir/pipeline/window"
)

func TestStateSurvivesARoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newBench(DefaultConfig())
		g := x.decode.registry
		offset := int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "records") {
			b := oneReading("plant/a", "x", epoch+offset*1e6, rapid.Float64Range(-1e6, 1e6).Draw(t, "value"))
			if rapid.Bool().Draw(t, "seq") {
				b.Session, b.Seq = rapid.StringMatching("[a-f]").Draw(t, "session"), rapid.Uint64().Draw(t, "seq")
			}
			x.apply(batchOf(offset, b))
			offset++
		}
		d := g.devices["plant/a"]
		s := d.series["x"]
		if s == nil {
			t.Skip("all were duplicates")
		}

		var encoder stateEncoder
		var decoder stateDecoder
		g2 := newRegistry(10)
		d2 := g2.restoredDevice("plant/a")
		if err := decoder.deviceState(d2, encoder.deviceState(d, offset)); err != nil {
			t.Fatal(err)
		}
		if d2.applied != offset-1 || d2.contained != offset-1 || d2.newestTime != d.newestTime || !reflect.DeepEqual(d2.seen, d.seen) {
			t.Fatalf("device %+v became %+v", d, d2)
		}
		s2 := g2.add(d2, "x")
		first := bytes.Clone(encoder.seriesState(s))
		if err := decoder.seriesState(g2, s2, first); err != nil {
			t.Fatal(err)
		}
		if s2.summary.version != s.summary.version || s2.newest != s.newest || s2.derived != s.derived || s2.watch.last != s.watch.last {
			t.Fatalf("series %+v became %+v", s, s2)
		}
		if again := encoder.seriesState(s2); !bytes.Equal(first, again) {
			t.Fatal("what was not taken apart is written as another state")
		}
		g2.treat(d2, []*series{s2})
		s2.average.use(&s2.treat.Average)
		if s.average.spec != nil && s2.average.Value(&s2.treat.Average) != s.average.Value(&s.treat.Average) {
			t.Fatal("moving average changed")
		}
		if again := encoder.seriesState(s2); !bytes.Equal(first, again) {
			t.Fatal("what was taken apart is written as another state")
		}
	})
}

func TestMovingAverageOfOtherSettingsBeginsAnew(t *testing.T) {
	spec := window.AverageSpec{}.WithDefaults()
	a := averageState{}
	a.use(&spec)
	for i := range int64(50) {
		a.Add(epoch+i, 1, &spec)
	}
	other := window.AverageSpec{Kind: window.Exponential}.WithDefaults()
	restored := averageState{frozen: a.marshalAppend(nil)}
	if restored.use(&other) {
		t.Error("the state of a simple average was taken for one of an exponential one")
	}
	if v := restored.Value(&other); !math.IsNaN(v) {
		t.Errorf("average %v, want none", v)
	}
	if again := (averageState{frozen: a.marshalAppend(nil)}); !again.use(&spec) || again.Value(&spec) != 1 {
		t.Error("it does not go on with the same settings")
	}
}

func TestDecoderTakesAnyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		g := newRegistry(10)
		d := g.restoredDevice("plant/a")
		var decoder stateDecoder
		_ = decoder.deviceState(d, b)
		_ = decoder.seriesState(g, g.add(d, "x"), b)
	})
}

func TestNewerPlaceInTheChainIsKept(t *testing.T) {
	g := newRegistry(10)
	s := g.add(g.restoredDevice("plant/a"), "x")
	s.summary.version = 5
	var encoder stateEncoder
	b := encoder.seriesState(s)
	s.summary = newSummaryState(s.name, 9)
	s.summary.newest.N = 3
	var decoder stateDecoder
	if err := decoder.seriesState(g, s, b); err != nil {
		t.Fatal(err)
	}
	if s.summary.version != 9 || s.summary.newest.N != 3 {
		t.Errorf("%+v", s.summary)
	}
}

func TestFlightEndsWithTheFirstError(t *testing.T) {
	var f flight
	if err := f.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, second := errors.New("first"), errors.New("second")
	a, b, c := f.begin(), f.begin(), f.begin()
	a(1, nil)
	go func() {
		b(-1, first)
		c(-1, second)
	}()
	if err := f.wait(t.Context()); !errors.Is(err, first) {
		t.Errorf("error %v", err)
	}
}
