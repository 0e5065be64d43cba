package pipeline

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/pipeline/window"
	"weir/telemetry"
)

func TestStateSurvivesARoundTrip(t *testing.T) {
	config := window.DefaultConfig()
	rapid.Check(t, func(t *rapid.T) {
		g := newRegistry(10)
		d := g.restoredDevice("plant/a")
		d.applied = rapid.Int64Min(-1).Draw(t, "applied")
		for i := range rapid.IntRange(0, 3*maxSessions).Draw(t, "sessions") {
			w := d.seen.window(rapid.StringMatching("[a-f]").Draw(t, "session"))
			w.see(rapid.Uint64().Draw(t, "seq"))
			w.see(uint64(i))
		}
		s := g.add(d, "x")
		s.summary.version = telemetry.Version(rapid.Int64Range(0, 1<<53).Draw(t, "version"))
		s.newestTime = rapid.Int64().Draw(t, "newest")
		for i := range rapid.Int64Range(0, 100).Draw(t, "readings") {
			v := rapid.Float64Range(-1e6, 1e6).Draw(t, "value")
			s.mean.Add(epoch+i*1e6, v, &config)
			s.detector.Observe(epoch+i*1e6, v)
		}
		if rapid.Bool().Draw(t, "open") {
			s.alert.open, s.alert.raised, s.alert.started = true, 7, epoch
		}

		var encoder stateEncoder
		var decoder stateDecoder
		d2 := newRegistry(10).restoredDevice("plant/a")
		if err := decoder.deviceState(d2, encoder.deviceState(d)); err != nil {
			t.Fatal(err)
		}
		if d2.applied != d.applied || !reflect.DeepEqual(d2.seen, d.seen) {
			t.Fatalf("device %+v became %+v", d, d2)
		}
		s2 := newRegistry(10).add(d2, "x")
		if err := decoder.seriesState(s2, encoder.seriesState(s)); err != nil {
			t.Fatal(err)
		}
		if s2.summary.version != s.summary.version || s2.newestTime != s.newestTime || s2.alert != s.alert || s2.detector != s.detector {
			t.Fatalf("series %+v became %+v", s, s2)
		}
		if string(s2.mean.MarshalAppend(nil)) != string(s.mean.MarshalAppend(nil)) {
			t.Fatal("moving average changed")
		}
	})
}

func TestMovingAverageOfAnotherWindowBeginsAnewAndTheDetectorDoesNot(t *testing.T) {
	g := newRegistry(10)
	s := g.add(g.restoredDevice("plant/a"), "x")
	encoder := stateEncoder{average: window.DefaultConfig()}
	for i := range int64(50) {
		s.mean.Add(epoch+i, 1, &encoder.average)
		s.detector.Observe(epoch+i, 1)
	}
	b := encoder.seriesState(s)
	restored := newRegistry(10).add(g.restoredDevice("plant/a"), "x")
	decoder := stateDecoder{average: window.Config{Window: time.Second}}
	if err := decoder.seriesState(restored, b); !errors.Is(err, errLayout) {
		t.Errorf("error %v", err)
	}
	if avg := restored.mean.Average(); !math.IsNaN(avg) || restored.detector != s.detector {
		t.Errorf("average %v, detector %+v, want none and %+v", avg, restored.detector, s.detector)
	}
}

func TestDecoderTakesAnyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		g := newRegistry(10)
		d := g.restoredDevice("plant/a")
		var decoder stateDecoder
		_ = decoder.deviceState(d, b)
		_ = decoder.seriesState(g.add(d, "x"), b)
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
	if err := decoder.seriesState(s, b); err != nil {
		t.Fatal(err)
	}
	if s.summary.version != 9 || s.summary.newest.N != 3 {
		t.Errorf("%+v", s.summary)
	}
}

func TestCheckpointContainsAnAlertWhoseReadingNoStageSaw(t *testing.T) {
	x := newBench(DefaultConfig())
	b := x.apply(batchOf(0, oneReading("plant/a", "x", epoch, 1)))
	of := b.readings[0].series
	of.alert.last = &telemetry.Alert{Phase: telemetry.Firing, Version: 0, Raised: 7}
	var c checkpoint
	c.take(&Batch{}, x.stages, 1, nil)
	if len(c.state) != 2 || !of.alert.open || of.alert.raised != 7 {
		t.Errorf("%d records, alert %+v", len(c.state), of.alert)
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
