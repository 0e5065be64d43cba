package push

import (
	"math/rand/v2"
	"testing"

	"weir/telemetry"
	"weir/wire"
)

// traveller is a client that is cut off and comes back: what it knows of a series by name outlives its connections.
type traveller struct {
	t       *testing.T
	seen    map[string]telemetry.Version
	n       map[string]uint64
	max     map[string]float64
	alerts  map[string]int
	cursor  string
	resumed int
	anew    int
	decoder wire.LiveDecoder
}

func newTraveller(t *testing.T) *traveller {
	return &traveller{t: t, seen: map[string]telemetry.Version{}, n: map[string]uint64{}, max: map[string]float64{}, alerts: map[string]int{}}
}

func (f *traveller) take(raw []byte) wire.ServerMessage {
	f.t.Helper()
	msg, err := f.decoder.Decode(raw)
	if err != nil {
		f.t.Fatalf("message %q: %v", raw, err)
	}
	switch m := msg.(type) {
	case *wire.Subscribed:
		f.cursor = m.Cursor
		if m.Resumed {
			f.resumed++
		} else {
			f.anew++
			clear(f.seen)
			clear(f.n)
			clear(f.max)
		}
		for _, r := range m.Rows {
			f.row(r.Update, !m.Resumed)
		}
		for i := range m.Alerts {
			f.alerts[m.Alerts[i].ID]++
		}
	case *wire.Updates:
		if m.Cursor != "" {
			f.cursor = m.Cursor
		}
		for _, r := range m.Rows {
			f.row(r.Update, false)
		}
	case *wire.AlertMsg:
		f.alerts[m.ID]++
	case *wire.ErrorMsg:
		f.t.Fatalf("%+v", m.Error)
	}
	return msg
}

func (f *traveller) row(u *telemetry.Update, state bool) {
	f.t.Helper()
	seen, known := f.seen[u.Series]
	if !known {
		seen = telemetry.NoVersion
	}
	if !state {
		if r := u.Follow(seen); r != telemetry.Contiguous {
			f.t.Fatalf("%s: row (%d, %d] after %d is relation %d", u.Series, u.Since, u.Version, seen, r)
		}
		f.n[u.Series] += u.N
		f.max[u.Series] = max(f.max[u.Series], u.Max)
	} else {
		f.n[u.Series] = uint64(u.Version) + 1 // those of the tests count up by one reading
	}
	f.seen[u.Series] = u.Version
}

func TestAClientThatIsCutOffMissesNothing(t *testing.T) {
	s := startServer(t, nil)
	s.tailed()
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"p/a/m", "p/b/m", "p/c/m"}
	last := map[string]telemetry.Version{}
	write := func() {
		name := names[r.IntN(len(names))]
		s.write(single(name, last[name], float64(r.IntN(1000))))
		last[name]++
	}
	f := newTraveller(t)
	alerts := 0
	f.cursor = "none" // answered by the snapshot
	for range 60 {
		for range r.IntN(20) { // while it is away
			write()
		}
		if r.IntN(3) == 0 {
			alerts++
			s.alert(alert(string(rune('A'+alerts)), "p/a/m", telemetry.Firing, 1))
		}
		c := s.dial(dialOptions{})
		c.send(`{"type":"subscribe","payload":{"id":"x","patterns":["p/#"],"max_hz":0,"cursor":%q}}`, f.cursor)
		for {
			if _, ok := f.take(c.message("subscribed")).(*wire.Subscribed); ok {
				break
			}
		}
		for range r.IntN(10) {
			write()
		}
		if r.IntN(2) == 0 { // or it is cut off before it has any of that
			for f.newest(names) < s.newest(names) {
				f.take(c.message("an update"))
			}
		}
		_ = c.conn.NetConn().Close()
	}
	c := s.dial(dialOptions{})
	c.send(`{"type":"subscribe","payload":{"id":"x","patterns":["p/#"],"cursor":%q}}`, f.cursor)
	for f.resumed < 60 {
		f.take(c.message("subscribed"))
	}
	for _, name := range names {
		if f.seen[name] != last[name]-1 || f.n[name] != uint64(last[name]) {
			t.Errorf("%s: version %d and %d readings, want %d", name, f.seen[name], f.n[name], last[name])
		}
	}
	if f.anew != 1 || len(f.alerts) != alerts {
		t.Errorf("began anew %d times, heard of %d alerts of %d", f.anew, len(f.alerts), alerts)
	}
}

// newest is the sum of the versions known, which grows with each.
func (f *traveller) newest(names []string) (sum telemetry.Version) {
	for _, name := range names {
		sum += f.seen[name]
	}
	return sum
}

func (ts *testServer) newest(names []string) (sum telemetry.Version) {
	for _, name := range names {
		sum += max(0, ts.hub.version(name))
	}
	return sum
}

func TestACursorThatIsNotOursIsAnsweredByTheReasonAndTheSnapshot(t *testing.T) {
	s := startServer(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1))
	other := positions{epoch: "another", updates: []int64{1}, alerts: []int64{0}}
	ahead := positions{epoch: "epoch-1", updates: []int64{9}, alerts: []int64{0}}
	for reason, cursor := range map[string]string{resyncEpoch: other.cursor(), resyncInvalid: ahead.cursor(), "": s.snapshotOf(t, "series=p/%23").Cursor} {
		c, f := s.dial(dialOptions{}), newTraveller(t)
		c.send(`{"type":"subscribe","payload":{"id":"x","patterns":["p/#"],"cursor":%q}}`, cursor)
		var heard string
		for f.anew+f.resumed == 0 {
			if m, ok := f.take(c.message("subscribed")).(*wire.Resync); ok && m.ID == "x" {
				heard = m.Reason
			}
		}
		if heard != reason || (f.anew == 1) != (reason != "") {
			t.Errorf("heard %q, want %q; began anew %d", heard, reason, f.anew)
		}
	}
}

// alert feeds a transition as a tail does.
func (ts *testServer) alert(a telemetry.Alert) {
	next := ts.alerted + 1
	ts.hub.window.add(wire.TopicAlerts, 0, []stored{{ts.alerted, wire.AppendAlert(nil, &a)}}, next)
	ts.hub.alerts(0, []telemetry.Alert{a}, next)
	ts.alerted = next
}

func TestWhatTheWindowDoesNotHaveIsReadFromTheLog(t *testing.T) {
	k := newKafka(t, 2)
	k.updates(1, 1, single("p/a/m", 0, 1))
	first := k.start(nil)
	eventually(t, "it is ready", first.Ready)
	eventually(t, "it has the update", func() bool { return versionIn(first.hub, "p/a/m") == 0 })
	first.hub.mu.Lock()
	cursor := first.hub.at.cursor()
	first.hub.mu.Unlock()

	k.updates(1, 1, single("p/a/m", 1, 7))
	next := k.updates(1, 1, single("p/a/m", 2, 3)) + 1
	k.latest(1, single("p/a/m", 2, 3))
	k.marker(1, wire.Marker{Updates: next})
	second := k.start(nil) // it begins at the marker
	eventually(t, "it is ready", second.Ready)
	v, refusal := second.hub.watchView(nil, patterns("p/#"), 20)
	if refusal != nil {
		t.Fatal(refusal)
	}
	defer second.hub.unwatchView(nil, v)
	body, err := second.hub.missedBy(t.Context(), v, comeBack(cursor), false)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := wire.DecodeSnapshot(body)
	if err != nil {
		t.Fatal(err)
	}
	if u := snap.Rows[0].Update; len(snap.Rows) != 1 || u.Since != 0 || u.Version != 2 || u.N != 2 || u.Max != 7 {
		t.Errorf("%+v", snap.Rows)
	}
}
