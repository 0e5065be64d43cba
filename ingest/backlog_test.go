package ingest

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/auth"
	"weir/devices"
	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// columnsOf decodes what is stored in a topic.
func (p *logProducer) columnsOf(t *testing.T, topic string) (out []wire.ReadingColumns) {
	t.Helper()
	for _, rec := range p.stored(topic) {
		var c wire.ReadingColumns
		if err := c.Unmarshal(rec.Value); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func TestAFrameOfThePastGoesToTheBacklogAlone(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	d := s.dial(t, "", nil)
	frame := `{"device":"plant1/a","session":"s","seq":7,"backlog":true,"readings":[{"metric":"m","ts":1700000000000,"value":1},{"metric":"m","value":2}]}`
	d.send(frame)
	if r := d.receipt(); r.Accepted != 2 || r.Late != 0 || r.Credit != 64 {
		t.Errorf("receipt %+v", r)
	}
	d.send(frame)
	if r := d.receipt(); r.Duplicate != 2 || r.Accepted != 0 {
		t.Errorf("resent: %+v", r)
	}
	if n := len(p.stored(wire.TopicReadings)); n != 0 {
		t.Errorf("%d records in readings", n)
	}
	got := p.columnsOf(t, wire.TopicBacklog)
	if len(got) != 1 || got[0].Device != "plant1/a" || got[0].Session != "s" || got[0].Seq != 7 || len(got[0].Value) != 2 {
		t.Errorf("backlog has %+v", got)
	}
}

func TestLateReadingsGoToTheBacklogAndTheOthersStay(t *testing.T) {
	p := &logProducer{}
	s := start(t, p, func(o *Options) { o.Config.Lateness = time.Hour })
	d := s.dial(t, "", nil)
	now := time.Now()
	at := func(age time.Duration) int64 { return now.Add(-age).UnixMilli() }
	d.send(fmt.Sprintf(`{"device":"plant1/a","session":"s","seq":1,"readings":[{"metric":"m","ts":%d,"value":1},{"metric":"n","ts":%d,"value":2},{"metric":"m","ts":%d,"value":3},{"metric":"m","value":4}]}`,
		at(2*time.Hour), at(59*time.Minute), at(61*time.Minute)))
	if r := d.receipt(); r.Accepted != 2 || r.Late != 2 {
		t.Errorf("receipt %+v", r)
	}
	live, late := p.columnsOf(t, wire.TopicReadings), p.columnsOf(t, wire.TopicBacklog)
	if len(live) != 1 || fmt.Sprint(live[0].Value) != "[2 4]" || len(late) != 1 || fmt.Sprint(late[0].Value) != "[1 3]" {
		t.Errorf("live %+v, late %+v", live, late)
	}
	d.send(fmt.Sprintf(`{"device":"plant1/a","metric":"m","ts":%d,"value":5}`, at(3*time.Hour)))
	if r := d.receipt(); r.Accepted != 0 || r.Late != 1 || r.Err != nil {
		t.Errorf("all of it late: %+v", r)
	}
	eventually(t, "they are counted", func() bool { return s.count(`weir_ingest_readings_late_total`) == 3 })
}

func TestSplitKeepsEveryReadingOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(0, 20), 1, 50).Draw(t, "times")
		bound := rapid.Int64Range(0, 21).Draw(t, "bound")
		var b telemetry.Batch
		for i, at := range times {
			b.Readings = append(b.Readings, telemetry.Reading{Time: at, Value: float64(i)})
		}
		e := &encoder{late: make([]telemetry.Reading, 3)}
		late := e.split(&b, bound)
		if len(late)+len(b.Readings) != len(times) {
			t.Fatalf("%d late and %d live of %d", len(late), len(b.Readings), len(times))
		}
		for _, part := range []struct {
			of   []telemetry.Reading
			late bool
		}{{late, true}, {b.Readings, false}} {
			last := math.Inf(-1)
			for _, r := range part.of {
				if r.Value <= last || times[int(r.Value)] != r.Time || (r.Time < bound) != part.late {
					t.Fatalf("%+v among %+v", r, part)
				}
				last = r.Value
			}
		}
	})
}

func TestTheBacklogHasABudgetOfItsOwn(t *testing.T) {
	s, _, send := limited(t, func(c *Config) { c.Backlog = Backlog{Rate: 1, Burst: 10} })
	d := s.dial(t, "", nil)
	past := func() *wire.Receipt {
		d.send(`{"device":"plant1/a","backlog":true,"readings":[{"metric":"m","value":1},{"metric":"m","value":2},{"metric":"m","value":3},{"metric":"m","value":4},{"metric":"m","value":5},{"metric":"m","value":6}]}`)
		return d.receipt()
	}
	if r := past(); r.Accepted != 6 {
		t.Fatalf("%+v", r)
	}
	if r := past(); codeOf(r) != wire.CodeLimitGlobal || r.RetryAfter < 1000 {
		t.Errorf("beyond its rate: %+v", r)
	}
	if n := s.count(`weir_ingest_limited_frames_total{limit="backlog"}`); n != 1 {
		t.Errorf("counted %d times", n)
	}
	for range 20 {
		if r := send("plant1/a", 6); r.Accepted != 6 {
			t.Fatalf("what is live is limited with it: %+v", r)
		}
	}
}

// mixed is a frame of n late readings and one that is live.
func mixed(device string, n int) string {
	old := time.Now().Add(-2 * time.Hour).UnixMilli()
	late := strings.Repeat(fmt.Sprintf(`{"metric":"m","ts":%d,"value":1},`, old), n)
	return fmt.Sprintf(`{"device":%q,"readings":[%s{"metric":"m","value":1}]}`, device, late)
}

func TestLateReadingsAreChargedToTheBacklogWhateverElseTheFrameHolds(t *testing.T) {
	s, p, send := limited(t, func(c *Config) {
		c.Lateness, c.Backlog = time.Hour, Backlog{Rate: 1, Burst: 10}
		c.Limits.Device = Limit{Rate: 1, Burst: 10}
	})
	d := s.dial(t, "", nil)
	d.send(mixed("plant1/a", 8))
	if r := d.receipt(); r.Late != 8 || r.Accepted != 1 {
		t.Fatalf("within the rate: %+v", r)
	}
	for range 3 {
		d.send(mixed("plant1/b", 8))
		if r := d.receipt(); codeOf(r) != wire.CodeLimitGlobal || r.Late != 0 || r.Accepted != 0 || r.RetryAfter < 1 || r.RetryAfter > 6000 {
			t.Fatalf("beyond it: %+v", r)
		}
	}
	if n := s.count(`weir_ingest_limited_frames_total{limit="backlog"}`); n != 3 {
		t.Errorf("counted %d times", n)
	}
	if n := len(p.columnsOf(t, wire.TopicBacklog)); n != 1 {
		t.Errorf("%d records in the backlog", n)
	}
	// What is late has cost the live lane nothing, and neither has what was refused.
	if r := send("plant1/a", 9); r.Accepted != 9 {
		t.Errorf("live, of the first device: %+v", r)
	}
	if r := send("plant1/b", 10); r.Accepted != 10 {
		t.Errorf("live, of the second: %+v", r)
	}
}

func TestLateReadingsBesideLiveOnesWaitForRoomInTheBacklog(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p, func(o *Options) { o.BufferBytes, o.Config.Lateness = 4000, time.Hour })
	d := s.dial(t, "", nil)
	d.send(mixed("plant1/a", 200)) // alone, it has room
	eventually(t, "taken", func() bool { return p.asked() == 2 })
	d.send(mixed("plant1/a", 200))
	eventually(t, "refused", func() bool { return s.count(`weir_ingest_limited_frames_total{limit="backlog"}`) == 1 })
	p.release()
	if r := d.receipt(); r.Late != 200 || r.Accepted != 1 {
		t.Errorf("the first: %+v", r)
	}
	if r := d.receipt(); codeOf(r) != wire.CodeLimitGlobal || r.RetryAfter == 0 {
		t.Errorf("the second: %+v", r)
	}
}

func TestWhatIsForTheBacklogIsStoredOnceThoughItIsSentAgainMeanwhile(t *testing.T) {
	past := time.Now().Add(-2 * time.Hour).UnixMilli()
	for name, frame := range map[string]string{
		"marked": `{"device":"plant1/a","session":"s","seq":7,"backlog":true,"metric":"m","value":1}`,
		"late":   fmt.Sprintf(`{"device":"plant1/a","session":"s","seq":7,"readings":[{"metric":"m","ts":%d,"value":1},{"metric":"m","value":1}]}`, past),
	} {
		t.Run(name, func(t *testing.T) {
			p := &logProducer{hold: true}
			s := start(t, p, func(o *Options) { o.Config.Lateness = time.Hour })
			first, second := s.dial(t, "", nil), s.dial(t, "", nil)
			first.send(frame)
			eventually(t, "produced", func() bool { return len(p.stored(wire.TopicBacklog)) == 1 })
			second.send(frame)
			if r := second.receipt(); codeOf(r) != wire.CodeNotStored || r.RetryAfter < 500 || r.Accepted+r.Late != 0 {
				t.Errorf("while the first is under way: %+v", r)
			}
			p.release()
			if r := first.receipt(); r.Err != nil || r.Accepted+r.Late == 0 {
				t.Errorf("the first: %+v", r)
			}
			second.send(frame)
			if r := second.receipt(); r.Duplicate == 0 || r.Err != nil {
				t.Errorf("after it: %+v", r)
			}
			if n := len(p.stored(wire.TopicBacklog)); n != 1 {
				t.Errorf("%d records in the backlog", n)
			}
		})
	}
}

func TestAFrameOfThePastThatWasNotStoredMayComeAgain(t *testing.T) {
	frame := `[{"device":"plant1/a","metric":"m","value":1},{"device":"plant1/b","metric":"m","value":1}]`
	frame = `{"session":"s","seq":7,"backlog":true,"readings":` + frame + `}`
	for name, c := range map[string]struct {
		config         func(*Config)
		broken, mended func(*logProducer)
	}{
		"Kafka fails": {nil, func(p *logProducer) { p.err = kafka.ErrTimeout }, func(p *logProducer) { p.err = nil }},
		"a panic":     {nil, func(p *logProducer) { p.panics = true }, func(p *logProducer) { p.panics = false }},
		"a limit": {func(c *Config) { c.Backlog = Backlog{Rate: 1000, Burst: 1} },
			func(*logProducer) {}, func(*logProducer) {}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &logProducer{}
			s := start(t, p, func(o *Options) {
				if c.config != nil {
					c.config(&o.Config)
				}
			})
			if c.config != nil { // another has used up what there is
				var q quota
				q.take(s.limits[backlog], nil, []charge{{"plant2/x", 10_000}}, s.monotonic())
			}
			p.set(c.broken)
			func() {
				defer func() { _ = recover() }()
				if r := submitAs(t, s.Server, nil, "", frame); r.Err == nil {
					t.Errorf("%+v", r.Receipt)
				}
			}()
			p.set(c.mended)
			for i := range s.limits {
				s.limits[i].all.full.Store(0)
			}
			if r := submitAs(t, s.Server, nil, "", frame); r.Accepted != 2 {
				t.Errorf("sent again: %+v", r.Receipt)
			}
		})
	}
}

func TestAFullBacklogDoesNotKeepWhatIsLive(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p, func(o *Options) { o.BufferBytes = 4000 })
	d := s.dial(t, "", nil)
	past := `{"device":"plant1/a","backlog":true,"readings":[{"metric":"m","value":1}]}`
	refused := -1
	for i := range 30 {
		d.send(past)
		eventually(t, "taken", func() bool { return s.inflight.Load() == int64(i+1) })
		if s.count(`weir_ingest_limited_frames_total{limit="backlog"}`) > 0 {
			refused = i
			break
		}
	}
	if refused < 5 || refused > 20 {
		t.Fatalf("the first of %d frames is refused with room for 1,000 bytes", refused+1)
	}
	calls := p.asked()
	d.send(oneReading)
	eventually(t, "what is live is produced", func() bool { return p.asked() == calls+1 })
	p.release()
	for range refused {
		if r := d.receipt(); r.Accepted != 1 {
			t.Fatalf("%+v", r)
		}
	}
	if r := d.receipt(); codeOf(r) != wire.CodeLimitGlobal || r.RetryAfter < 500 || r.RetryAfter > 1500 || r.Credit > 10 {
		t.Errorf("%+v", r)
	}
	if r := d.receipt(); r.Accepted != 1 || r.Credit != 64 {
		t.Errorf("live: %+v", r)
	}
	d.send(past)
	if r := d.receipt(); r.Accepted != 1 {
		t.Errorf("with room again: %+v", r)
	}
}

func TestAFrameLargerThanTheBacklogsRoomPassesAlone(t *testing.T) {
	p := &logProducer{}
	s := start(t, p, func(o *Options) { o.BufferBytes = 400 })
	d := s.dial(t, "", nil)
	for range 2 {
		d.send(strings.Replace(frameOf("plant1/a", 100), "{", `{"backlog":true,`, 1))
		if r := d.receipt(); r.Accepted != 100 {
			t.Fatalf("%+v", r)
		}
	}
}

// The pipeline does not read the backlog, so its lag is no reason to refuse it.
func TestALagDoesNotKeepTheBacklog(t *testing.T) {
	l, p := new(lagging), new(logProducer)
	for partition := range 4 {
		l.set(partition, Lag{Age: time.Hour})
	}
	s := start(t, p, func(o *Options) { o.Lags = l })
	eventually(t, "the lag is seen", func() bool { _, n := s.admission.highest(); return n == 4 })
	d := s.dial(t, "", nil)
	d.send(`{"device":"plant1/a","backlog":true,"readings":[{"metric":"m","value":1}]}`)
	if r := d.receipt(); r.Accepted != 1 || r.Credit != 64 {
		t.Errorf("%+v", r)
	}
}

// log is a Tracker that keeps what it is told.
type log struct {
	mu   sync.Mutex
	seen map[string][]devices.FrameInfo
}

func (l *log) Frame(device string, info *devices.FrameInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = make(map[string][]devices.FrameInfo)
	}
	kept := *info
	kept.Rejections = append([]wire.Rejection(nil), info.Rejections...)
	l.seen[device] = append(l.seen[device], kept)
}

func (l *log) of(device string) []devices.FrameInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]devices.FrameInfo(nil), l.seen[device]...)
}

func TestTheTrackerIsToldOfEachDeviceWhenTheFrameIsSettled(t *testing.T) {
	p, l := &logProducer{hold: true}, new(log)
	s := start(t, p, func(o *Options) {
		o.Tracker = l
		o.Config.Lateness = time.Hour
		o.Config.Limits = Limits{Device: Limit{Rate: 1, Burst: 8}, Remembered: 1 << 10}
	})
	d := s.dial(t, "?device=plant1/own", nil)
	now := time.Now().UnixMilli()
	d.send(fmt.Sprintf(`{"device":"plant1/a","session":"s","seq":4,"readings":[{"metric":"m","ts":%d,"value":1},{"metric":"m","ts":%d,"value":1},{"metric":"m","value":1},{"metric":"m","value":"x"},{"metric":"m","ts":%d,"value":1}]}`,
		now-1000, now-3000, now-2*3600*1000))
	d.silent("not acknowledged")
	if n := len(l.of("plant1/a")); n != 0 {
		t.Fatalf("told %d times before the acknowledgement", n)
	}
	p.release()
	d.receipt()
	a := l.of("plant1/a")
	if len(a) != 1 {
		t.Fatalf("told %d times", len(a))
	}
	i := a[0]
	if i.Accepted != 3 || i.Late != 1 || i.Backlog != 1 || i.Rejected != 1 || i.Code != wire.CodeValueType || i.Path != "readings[3].value" || len(i.Rejections) != 1 {
		t.Errorf("counts: %+v", i)
	}
	if i.Session != "s" || i.Seq != 4 || !i.HasSeq || i.OutOfOrder != 2 || i.Newest != (now-1000)*1000 || i.Now < now*1000 || i.HTTP {
		t.Errorf("times: %+v", i)
	}

	d.send(`nonsense`)
	d.receipt()
	if own := l.of("plant1/own"); len(own) != 1 || own[0].Code == "" || own[0].Accepted != 0 {
		t.Errorf("a frame that is not understood: %+v", own)
	}
	d.send(frameOf("plant1/b", 8))
	d.receipt()
	d.send(frameOf("plant1/b", 3))
	d.receipt()
	if b := l.of("plant1/b"); len(b) != 2 || b[0].Accepted != 8 || b[0].Newest != 0 || b[1].Limited != wire.CodeLimitDevice || b[1].LimitedN != 3 || b[1].Accepted != 0 {
		t.Errorf("limited: %+v", b)
	}
	p.set(func(p *logProducer) { p.err = kafka.ErrTimeout })
	d.send(`[{"device":"plant1/c","metric":"m","value":1},{"device":"plant1/d","metric":"m","value":1}]`)
	d.receipt()
	for _, device := range []string{"plant1/c", "plant1/d"} {
		if got := l.of(device); len(got) != 1 || got[0].Accepted != 0 || got[0].Code != wire.CodeNotStored {
			t.Errorf("%s, not stored: %+v", device, got)
		}
	}
}

// writer is who may write what the patterns say.
func writerOf(t testing.TB, tenant string, patterns ...string) *auth.Principal {
	t.Helper()
	p := &auth.Principal{Subject: "w", Method: auth.MethodKey, KeyID: "w", Tenant: tenant, Roles: []string{auth.RoleDevice}}
	for _, text := range patterns {
		pattern, err := telemetry.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		p.Write = append(p.Write, pattern)
	}
	return p
}

// submitAs is the receipt for a frame of a principal, over a connection that names a device or none.
func submitAs(t testing.TB, s *Server, who *auth.Principal, device, frame string) *receipt {
	t.Helper()
	e := newEncoder(s, dialect{device: device})
	e.principal = who
	settled := make(chan struct{})
	r := newReceipt(func() { close(settled) })
	r.begin(1, 64, nowMicros())
	e.submit(t.Context(), []byte(frame), r)
	r.release()
	<-settled
	return r
}

func TestReadingsOfDevicesThatAreNotOnesOwnAreForbidden(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	who := writerOf(t, "plant1", "plant1/+", "plant2/#")
	for _, c := range []struct {
		device, frame string
		accepted      int
		forbidden     []string
		letter        string
	}{
		{"", `[{"device":"plant1/a","metric":"m","value":1},{"device":"plant2/b","metric":"m","value":1},{"device":"plant1/x/y","metric":"m","value":1},{"device":"plant2/b","metric":"n","value":1}]`,
			1, []string{"[1].device", "[3].device", "[2].device"}, "plant1/a"},
		{"", `{"device":"plant2/b","metric":"m","value":1}`, 0, []string{"device"}, ""},
		{"", `{"device":"plant2/b","readings":[{"metric":"m","value":1},{"metric":"n","value":1}]}`, 0, []string{"readings[0].device", "readings[1].device"}, ""},
		{"plant2/own", `{"metric":"m","value":1}`, 0, []string{"device"}, ""},
		{"plant1/own", `{"device":"plant2/b","metric":"m","value":1}`, 0, []string{"device"}, "plant1/own"},
	} {
		before := len(p.stored(wire.TopicDeadLetters))
		r := submitAs(t, s.Server, who, c.device, c.frame)
		var paths []string
		for _, rejection := range r.Rejected {
			if rejection.Code != wire.CodeForbidden {
				t.Errorf("%s: code %s", c.frame, rejection.Code)
			}
			paths = append(paths, rejection.Path)
		}
		if r.Accepted != c.accepted || fmt.Sprint(paths) != fmt.Sprint(c.forbidden) {
			t.Errorf("%s: accepted %d, forbidden %v", c.frame, r.Accepted, paths)
		}
		letters := p.stored(wire.TopicDeadLetters)
		if len(letters) != before+1 {
			t.Fatalf("%s: %d dead letters", c.frame, len(letters)-before)
		}
		letter, err := wire.DecodeDeadLetter(letters[before].Value)
		if err != nil || letter.Device != c.letter || string(letters[before].Key) != c.letter || letter.Subject != "w" || letter.Size != len(c.frame) {
			t.Errorf("%s: letter %+v, %v", c.frame, letter, err)
		}
	}
	if n := len(p.readings(t)); n != 1 {
		t.Errorf("%d readings stored", n)
	}
}

func TestOverHTTPWhatIsForbiddenAltogetherIs403(t *testing.T) {
	s := start(t, &logProducer{}, func(o *Options) { o.Gate = gateFor{writerOf(t, "plant1", "plant1/+")} })
	for body, want := range map[string]int{
		`{"device":"plant2/b","metric":"m","value":1}`:                                                  http.StatusForbidden,
		`{"device":"plant1/a","metric":"m","value":1}`:                                                  http.StatusOK,
		`[{"device":"plant2/b","metric":"m","value":1},{"device":"plant1/a","metric":"m","value":"x"}]`: http.StatusUnprocessableEntity,
	} {
		res, err := http.Post(s.url+"/v1/readings", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", body, res.StatusCode, want)
		}
	}
	if n := s.count(`weir_ingest_readings_rejected_total{code="forbidden"}`); n != 2 {
		t.Errorf("%d counted as forbidden", n)
	}
}

// gateFor lets everybody in as one principal.
type gateFor struct{ who *auth.Principal }

func (g gateFor) Request(*http.Request) (*auth.Principal, error)         { return g.who, nil }
func (g gateFor) Token(context.Context, string) (*auth.Principal, error) { return g.who, nil }
func (g gateFor) Watch(*auth.Principal, func(*wire.Error)) (stop func()) { return func() {} }

func TestAKeyForOneDeviceNeedsNoNameForIt(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	const nameless = `{"metric":"m","value":1}`
	for _, c := range []struct {
		who  *auth.Principal
		want string
	}{
		{writerOf(t, "plant1", "plant1/a"), "plant1/a"},
		{writerOf(t, "plant1", "plant1/a", "plant1/b"), ""},
		{writerOf(t, "plant1", "plant1/+"), ""},
		{writerOf(t, "plant2", "plant1/a"), ""}, // it may not write even that
		{nil, ""},
	} {
		before := len(p.stored(wire.TopicReadings))
		r := submitAs(t, s.Server, c.who, "", nameless)
		stored := p.stored(wire.TopicReadings)[before:]
		switch {
		case c.want == "" && (len(r.Rejected) != 1 || r.Rejected[0].Code != wire.CodeDeviceMissing):
			t.Errorf("%+v: %+v", c.who, r.Receipt)
		case c.want != "" && (len(stored) != 1 || string(stored[0].Key) != c.want):
			t.Errorf("%+v: %+v", c.who, r.Receipt)
		}
	}
	// New credentials on the same connection count from the next frame on.
	e, r := newEncoder(s.Server, dialect{}), newReceipt(func() {})
	for _, step := range []struct {
		who      *auth.Principal
		accepted int
	}{{writerOf(t, "plant1", "plant1/a"), 1}, {writerOf(t, "plant1", "plant1/+"), 0}, {writerOf(t, "", "plant1/b"), 1}} {
		e.principal = step.who
		r.begin(1, 64, nowMicros())
		e.submit(t.Context(), []byte(nameless), r)
		r.release()
		eventually(t, "settled", r.ready.Load)
		if r.Accepted != step.accepted {
			t.Errorf("%+v: %+v", step.who, r.Receipt)
		}
	}
}
