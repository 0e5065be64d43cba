package device

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// follower checks what a subscription tells.
type follower struct {
	t        testing.TB
	versions map[string]Version
	latest   map[string]Update
	readings uint64
	told     map[string]int // transitions, by id and version
	newest   map[string]Version
	resets   int
	open     map[string]Version
}

func newFollower(t testing.TB) *follower {
	return &follower{t: t, versions: map[string]Version{}, latest: map[string]Update{}, told: map[string]int{}, newest: map[string]Version{}, open: map[string]Version{}}
}

func (f *follower) take(c *Changes) {
	if c.Reset {
		f.resets++
		clear(f.versions)
		clear(f.latest)
		clear(f.open)
	}
	for i := range c.Rows {
		u := &c.Rows[i]
		seen, known := f.versions[u.Series]
		if !known {
			seen = telemetry.NoVersion
		}
		if u.Follow(seen) != telemetry.Contiguous && (known || !c.Reset) {
			f.t.Errorf("%s: (%d, %d] after %d", u.Series, u.Since, u.Version, seen)
		}
		f.versions[u.Series], f.latest[u.Series] = u.Version, *u
		f.readings += u.N
	}
	for _, a := range c.Alerts {
		if f.told[fmt.Sprint(a.ID, a.Version)]++; a.Version <= f.newest[a.ID] {
			f.t.Errorf("alert %s: %d after %d", a.ID, a.Version, f.newest[a.ID])
		}
		f.newest[a.ID] = a.Version
		if !c.Reset {
			f.openOrNot(&a)
		}
	}
	for i := range c.Open {
		f.openOrNot(&c.Open[i])
	}
}

func (f *follower) openOrNot(a *Alert) {
	if f.open[a.ID] = a.Version; a.Phase == telemetry.Resolved {
		delete(f.open, a.ID)
	}
}

// run reads until the subscription ends, slowly if pause says so.
func (f *follower) run(sub *Subscription, pause func() time.Duration) {
	for {
		c, err := sub.Next(context.Background())
		if err != nil {
			return
		}
		f.take(c)
		if d := pause(); d > 0 {
			time.Sleep(d)
		}
	}
}

// Whatever is cut, merged or begun anew: chains are contiguous, every reading is summed up once unless the server could
// not go on, every transition of an alert is told once, and in the end the state is the server's.
func TestNothingIsMissedOrToldTwice(t *testing.T) {
	for seed := range uint64(45) {
		synctest.Test(t, func(t *testing.T) { hostile(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func hostile(t *testing.T, seed uint64) {
	draw := rand.New(rand.NewPCG(seed, 7))
	forgetful := seed%3 == 2 // the server's memory is short, and it begins anew at times
	s := newLiveServer()
	total := uint64(0)
	write := func() {
		n := 1 + draw.IntN(3)
		s.add(fmt.Sprintf("p/d%d/t", draw.IntN(6)), n, draw.Float64())
		total += uint64(n)
	}
	l := startLive(t, s, func(o *LiveOptions) {
		o.Retry = Retry{First: 100 * time.Millisecond, Max: time.Second}
		if seed%2 == 1 {
			o.Credit = 3
		}
		o.Protobuf = seed%4 >= 2
	})
	followers := []*follower{newFollower(t), newFollower(t)}
	var subs []*Subscription
	var readers sync.WaitGroup
	for i, f := range followers {
		sub := follow(t, l, SubscribeOptions{Patterns: []string{[]string{"p/#", "p/+/t"}[i]}})
		subs = append(subs, sub)
		pauses := rand.New(rand.NewPCG(seed, uint64(i)))
		readers.Go(func() {
			f.run(sub, func() time.Duration { return time.Duration(pauses.IntN(300)) * time.Millisecond })
		})
	}
	synctest.Wait() // a snapshot tells of each series' newest update only
	transitions := alertsOf(s, draw)
	for range 400 {
		switch draw.IntN(12) {
		case 0, 1, 2, 3, 4:
			write()
		case 5, 6, 7:
			s.flush()
		case 8:
			transitions()
		case 9:
			if p := s.peer(); p != nil && draw.IntN(3) == 0 {
				p.cut()
			}
		case 10:
			time.Sleep(time.Duration(draw.IntN(500)) * time.Millisecond)
		case 11:
			if forgetful {
				s.mu.Lock()
				s.oldest = len(s.log) - draw.IntN(20)
				s.mu.Unlock()
				s.startOver(draw)
			}
		}
	}
	time.Sleep(10 * time.Second)
	s.flush()
	time.Sleep(10 * time.Second)
	for i, f := range followers {
		if n := subs[i].Stats(); !forgetful && (n.Resyncs > 0 || f.readings != total) {
			t.Errorf("%d readings told, %d written; %+v", f.readings, total, n)
		}
		checkFollower(t, s, f, subs[i].Stats())
	}
	finishLive(s, l)
	readers.Wait()
}

// Whichever encoding was chosen, the application is told the same.
func TestBothEncodingsTellTheSame(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) { encodings(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func encodings(t *testing.T, seed uint64) {
	draw := rand.New(rand.NewPCG(seed, 9))
	s := newLiveServer()
	var lives []*Live
	var subs []*Subscription
	for i := range 3 {
		l := startLive(t, s, func(o *LiveOptions) {
			o.Protobuf, o.Compress = i > 0, i > 1
			o.Retry = Retry{First: 100 * time.Millisecond, Max: time.Second}
		})
		lives, subs = append(lives, l), append(subs, follow(t, l, SubscribeOptions{Patterns: []string{"p/#"}}))
	}
	transitions := alertsOf(s, draw)
	told := 0
	for range 100 {
		for range draw.IntN(5) {
			s.add(fmt.Sprintf("p/d%d/t", draw.IntN(6)), 1+draw.IntN(3), []float64{0, 21.5, -1e300, 1e-300, draw.NormFloat64()}[draw.IntN(5)])
		}
		switch draw.IntN(6) {
		case 0:
			transitions()
		case 1:
			for _, p := range s.open() {
				p.cut()
			}
			time.Sleep(5 * time.Second) // all are back
		default:
			s.flush()
		}
		synctest.Wait()
		var all []*Changes
		for _, sub := range subs {
			c, err := sub.take()
			if err != nil {
				t.Fatal(err)
			}
			if c != nil {
				c.Received, c.PushTime = time.Time{}, 0
				told += len(c.Rows) + len(c.Alerts)
			}
			all = append(all, c)
		}
		if !reflect.DeepEqual(all[0], all[1]) || !reflect.DeepEqual(all[0], all[2]) {
			t.Fatalf("JSON\n%+v\nprotobuf\n%+v\ncompressed\n%+v", all[0], all[1], all[2])
		}
	}
	if told < 200 {
		t.Errorf("only %d rows and transitions were compared", told)
	}
	for _, l := range lives {
		l.Close()
	}
	s.wg.Wait()
}

func checkFollower(t *testing.T, s *liveServer, f *follower, n SubscriptionStats) {
	t.Helper()
	if n.Gaps > 0 || n.Replays > 0 {
		t.Errorf("%+v", n)
	}
	for series, u := range s.state {
		if f.versions[series] != u.Version || f.latest[series].Last != u.Last {
			t.Errorf("%s ends at %d, the server's at %d", series, f.versions[series], u.Version)
		}
	}
	if len(f.open) != len(s.alerts) {
		t.Errorf("open alerts %v, the server's %v", f.open, s.alerts)
	}
	for _, e := range s.log {
		if a := e.alert; a != nil {
			times := f.told[fmt.Sprint(a.ID, a.Version)]
			if times > 1 || times == 0 && n.Resyncs == 0 {
				t.Errorf("alert %s of %d was told %d times", a.ID, a.Version, times)
			}
		}
	}
}

// alertsOf returns what makes a transition.
func alertsOf(s *liveServer, draw *rand.Rand) func() {
	number := 0
	var open []string
	return func() {
		if len(open) > 0 && draw.IntN(2) == 0 {
			i := draw.IntN(len(open))
			s.alert(open[i], "p/d0/t", telemetry.Resolved)
			open = append(open[:i], open[i+1:]...)
			return
		}
		number++
		id := fmt.Sprintf("a%d", number)
		s.alert(id, "p/d0/t", telemetry.Firing)
		open = append(open, id)
	}
}

// startOver has the server begin a view anew.
func (s *liveServer) startOver(draw *rand.Rand) {
	p := s.peer()
	if p == nil || draw.IntN(2) == 0 {
		return
	}
	p.mu.Lock()
	ids := mapKeys(p.subs)
	p.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	id := ids[draw.IntN(len(ids))]
	p.write(&wire.Resync{View: p.view[id], Reason: "series_removed"})
	pattern, err := telemetry.ParsePattern(p.want[id])
	if err != nil {
		panic(err)
	}
	p.subscribe(&wire.Subscribe{ID: id, Patterns: []telemetry.Pattern{pattern}})
}
