package ingest

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/kafka"
	"weir/wire"
)

// lagging has lags that a test sets.
type lagging struct {
	mu    sync.Mutex
	lags  map[int]Lag
	blind bool
}

func (l *lagging) Lag(partition int) (Lag, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lags[partition], !l.blind
}

func (l *lagging) set(partition int, lag Lag) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lags == nil {
		l.lags = make(map[int]Lag)
	}
	l.lags[partition] = lag
}

func TestPressureGrowsFromSlowToStop(t *testing.T) {
	retention := Retention{Age: time.Hour, Bytes: 8000}
	admission := Admission{Slow: 5 * time.Second, Stop: 25 * time.Second}
	a := newAdmission(admission, &lagging{}, 1, retention)
	for _, c := range []struct {
		lag  Lag
		want uint32
	}{
		{Lag{}, 0},
		{Lag{Age: 5 * time.Second}, 0},
		{Lag{Age: 10 * time.Second}, 250},
		{Lag{Age: 15 * time.Second}, 500},
		{Lag{Age: 25 * time.Second}, 1000},
		{Lag{Age: time.Hour}, 1000},
		{Lag{Bytes: 2000}, 0},
		{Lag{Bytes: 3000}, 500},
		{Lag{Bytes: 4000}, 1000},
		{Lag{Records: 30}, 500}, // of 100 bytes each
		{Lag{Records: 10, Bytes: 3000}, 500},
		{Lag{Age: 10 * time.Second, Bytes: 3000}, 500},
	} {
		if got := a.pressure(c.lag, 100); got != c.want {
			t.Errorf("%+v: pressure %d, want %d", c.lag, got, c.want)
		}
		if got := admission.Refuses(c.lag, retention); got != (c.want == fullPressure) {
			t.Errorf("%+v: refused %v at a pressure of %d", c.lag, got, c.want)
		}
	}
}

// However admission is set, it stops before half of what readings are kept.
func TestNothingIsAdmittedBeyondHalfOfTheRetention(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(name string, low, high int) time.Duration {
			return time.Duration(rapid.IntRange(low, high).Draw(t, name)) * time.Second
		}
		c := Admission{Slow: seconds("slow", 1, 1000)}
		c.Stop = c.Slow + seconds("stop", 1, 100_000)
		keep := Retention{Age: seconds("age", 2, 100_000), Bytes: rapid.Int64Range(2, 1<<40).Draw(t, "bytes")}
		a := newAdmission(c, &lagging{}, 1, keep)
		lag := Lag{Age: keep.Age / 2}
		if rapid.Bool().Draw(t, "bytes") {
			lag = Lag{Records: keep.Bytes, Bytes: 0}
		}
		if got := a.pressure(lag, 1); got != fullPressure {
			t.Fatalf("%+v keep %+v: pressure %d with a lag of %+v", c, keep, got, lag)
		}
		if a.slow >= a.stop {
			t.Fatalf("slow %s, stop %s", a.slow, a.stop)
		}
	})
}

func TestOfAPartitionThatNothingIsKnownOfHalfTheCreditIsGiven(t *testing.T) {
	l := &lagging{blind: true}
	a := newAdmission(DefaultConfig().Admission, l, 2, Retention{})
	if a.of(0) != unknownPressure {
		t.Errorf("at the start: %d", a.of(0))
	}
	a.refresh(100)
	if a.of(1) != unknownPressure {
		t.Errorf("later: %d", a.of(1))
	}
	l.blind = false
	a.refresh(100)
	if a.of(1) != 0 {
		t.Errorf("when it is known: %d", a.of(1))
	}
	without := newAdmission(DefaultConfig().Admission, nil, 1, Retention{})
	without.refresh(100)
	if without.of(0) != 0 {
		t.Errorf("where nobody tells: %d", without.of(0))
	}
}

// devicesOn are names of devices, one of each of 4 partitions.
func devicesOn(t *testing.T) (names [4]string) {
	t.Helper()
	found := 0
	for c := 'a'; found < 4; c++ {
		name := "plant1/" + string(c)
		if p := kafka.PartitionFor(name, 4); names[p] == "" {
			names[p] = name
			found++
		}
	}
	return names
}

func TestOnlyThePartitionThatLagsIsRefused(t *testing.T) {
	l, p := new(lagging), new(logProducer)
	l.set(2, Lag{Age: time.Hour})
	s := start(t, p, func(o *Options) { o.Lags = l })
	d, names := s.dial(t, "", nil), devicesOn(t)
	eventually(t, "the lag is seen", func() bool { return s.admission.of(2) == fullPressure && s.admission.of(1) == 0 })
	for partition, device := range names {
		d.send(frameOf(device, 3))
		r := d.receipt()
		switch {
		case partition != 2 && (r.Accepted != 3 || r.Err != nil):
			t.Errorf("partition %d: %+v", partition, r)
		case partition == 2 && (codeOf(r) != wire.CodeLagging || r.Accepted != 0 || r.Credit != 1):
			t.Errorf("partition %d: %+v", partition, r)
		case partition == 2 && (r.RetryAfter < 1000 || r.RetryAfter > 3000):
			t.Errorf("retry after %d ms", r.RetryAfter)
		}
	}
	// A frame is taken as a whole or not at all.
	d.send(`[{"device":"` + names[1] + `","metric":"m","value":1},{"device":"` + names[2] + `","metric":"m","value":1}]`)
	if r := d.receipt(); codeOf(r) != wire.CodeLagging || r.Accepted != 0 {
		t.Errorf("half of the frame lags: %+v", r)
	}
	if n := len(p.readings(t)); n != 9 {
		t.Errorf("%d stored", n)
	}
	if n := s.count(`weir_ingest_admission_refused_frames_total`); n != 2 {
		t.Errorf("%d refusals counted", n)
	}
	l.set(2, Lag{Age: time.Second})
	eventually(t, "the lag is gone", func() bool { return s.admission.of(2) == 0 })
	d.send(frameOf(names[2], 1))
	if r := d.receipt(); r.Accepted != 1 || r.Credit >= 64 {
		t.Errorf("afterwards, the credit growing again: %+v", r)
	}
}

func TestCreditFallsAtOnceAndGrowsBackInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 500).Draw(t, "most")
		c, now := credit{most: most}, int64(1_000_000)
		if got := c.next(now, 0); got != most {
			t.Fatalf("%d at the start", got)
		}
		last := most
		for range rapid.IntRange(1, 50).Draw(t, "frames") {
			passed := rapid.Int64Range(0, 2_000_000).Draw(t, "pause")
			now += passed
			pressure := rapid.Uint32Range(0, fullPressure).Draw(t, "pressure")
			got := c.next(now, pressure)
			target := max(1, float64(most)*(1-float64(pressure)/fullPressure))
			if got < 1 || float64(got) > target {
				t.Fatalf("credit %d, the pressure leaves %v", got, target)
			}
			if grown := float64(most) * float64(passed) / 5e6; float64(got-last) > grown+1 {
				t.Fatalf("grew from %d to %d in %d µs", last, got, passed)
			}
			last = got
		}
		c.next(now, fullPressure)
		if got := c.next(now+restoreCredit.Microseconds(), 0); got != most {
			t.Fatalf("%d of %d restored in time", got, most)
		}
	})
}

func TestCreditFollowsTheProducersBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &logProducer{hold: true}
		o := Options{Config: DefaultConfig(), Producer: p, Partitions: 1, BufferBytes: 40_000}
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		e := newEncoder(s, dialect{})
		var credits []int
		send := func() int {
			r := newReceipt(func() {})
			r.begin(1, 64, nowMicros())
			e.submit(t.Context(), []byte(frameOf("plant1/a", 100)), r)
			r.release()
			return r.Credit
		}
		for range 34 { // about 940 bytes each, of 30,000 that are live's
			credits = append(credits, send())
		}
		for i := 1; i < len(credits); i++ {
			if credits[i] > credits[i-1] {
				t.Fatalf("grew while the buffer filled: %v", credits)
			}
		}
		if credits[0] != 64 || credits[10] != 64 || credits[22] >= 50 || credits[33] != 1 {
			t.Fatalf("credits %v", credits)
		}
		if got := e.places(64); got != 1 {
			t.Errorf("%d places may be taken", got)
		}
		p.release()
		if n := s.shares[live].taken.Load(); n != 0 {
			t.Fatalf("%d bytes are still taken", n)
		}
		time.Sleep(restoreCredit / 2)
		if got := send(); got < 28 || got > 36 {
			t.Errorf("%d after half the time", got)
		}
		time.Sleep(restoreCredit / 2)
		if got := send(); got != 64 {
			t.Errorf("%d after all of it", got)
		}
	})
}

func TestADeviceThatKeepsNoCreditIsReadNoFasterThanItAllows(t *testing.T) {
	l, p := new(lagging), &logProducer{}
	for partition := range 4 {
		l.set(partition, Lag{Age: 29 * time.Second}) // 4 % of the credit is left
	}
	s := start(t, p, func(o *Options) { o.Lags = l })
	eventually(t, "the lag is seen", func() bool { return s.admission.of(0) > 900 && s.admission.of(3) > 900 })
	d := s.dial(t, "", nil)
	d.send(oneReading)
	if r := d.receipt(); r.Credit != 2 {
		t.Fatalf("%+v", r)
	}
	p.set(func(p *logProducer) { p.hold = true })
	for range 40 {
		d.send(oneReading)
	}
	d.silent("a receipt that nobody acknowledged")
	if n := s.inflight.Load(); n > 10 {
		t.Errorf("%d frames were taken with a credit of 2", n)
	}
	p.release()
	for range 40 {
		if r := d.receipt(); r.Accepted != 1 {
			t.Fatalf("%+v", r)
		}
	}
}
