package device_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"weir/auth"
	"weir/config"
	device "weir/sdk/go"
	"weir/wire"
)

// press sends readings of the temperature of one device, and waits until they are stored.
type press struct {
	t *testing.T
	c *device.Client
}

func newPress(t *testing.T, w *weir, number int) *press {
	t.Helper()
	c, err := device.New(device.Options{URL: w.url("/v1/ingest"), Device: fmt.Sprintf("plant1/press%d", number)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &press{t, c}
}

func (p *press) send(values ...float64) {
	p.t.Helper()
	for _, v := range values {
		if err := p.c.Publish("temperature", v, time.Now()); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := p.c.Flush(within(p.t)); err != nil {
		p.t.Fatal(err)
	}
}

// view is what a display would show of a subscription.
type view struct {
	sub   *device.Subscription
	shown map[string]device.Update
	rows  int
}

func newView(t *testing.T, l *device.Live, o device.SubscribeOptions) *view {
	t.Helper()
	o.Patterns = []string{"plant1/#"}
	sub, err := l.Subscribe(o)
	if err != nil {
		t.Fatal(err)
	}
	return &view{sub: sub, shown: make(map[string]device.Update)}
}

// until reads until what is shown is as wanted.
func (v *view) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for ctx := within(t); !ok(); {
		c, err := v.sub.Next(ctx)
		if err != nil {
			t.Fatalf("%s: %v; shown %+v", what, err, v.shown)
		}
		if c.Reset {
			clear(v.shown)
		}
		for _, rows := range [][]device.Update{c.Rows, c.Back} {
			for _, u := range rows {
				v.shown[u.Series] = u
			}
		}
		v.rows += len(c.Rows)
		for _, series := range c.Left {
			delete(v.shown, series)
		}
	}
}

func (v *view) has(series ...string) func() bool {
	return func() bool {
		for _, s := range series {
			if _, there := v.shown[s]; !there {
				return false
			}
		}
		return len(v.shown) == len(series)
	}
}

const temperature1, temperature2 = "plant1/press1/temperature", "plant1/press2/temperature"

func TestViewsOfARealServer(t *testing.T) {
	w := startWeir(t, config.Default())
	for name, change := range map[string]func(o *device.LiveOptions){
		"JSON":                 nil,
		"protobuf, compressed": func(o *device.LiveOptions) { o.Protobuf, o.Compress, o.Credit = true, true, 100 },
	} {
		t.Run(name, func(t *testing.T) {
			one, two := newPress(t, w, 1), newPress(t, w, 2)
			l := w.live(change)
			all := newView(t, l, device.SubscribeOptions{MaxHz: device.Unlimited})
			hot := newView(t, l, device.SubscribeOptions{Filter: "last > 90", MaxHz: device.Unlimited})
			top := newView(t, l, device.SubscribeOptions{Order: "-last", Limit: 1, Fields: []string{"last", "max"}, MaxHz: device.Unlimited})
			one.send(20)
			two.send(30)
			all.until(t, "both series", all.has(temperature1, temperature2))
			top.until(t, "the hotter", func() bool { return top.has(temperature2)() && top.shown[temperature2].Last == 30 })
			one.send(95)
			hot.until(t, "the one that is hot", hot.has(temperature1))
			top.until(t, "the one that is hotter now", top.has(temperature1))
			// However briefly it was hot: the row has all since the one before.
			if u := hot.shown[temperature1]; u.Max != 95 || u.Last != 95 {
				t.Errorf("%+v", u)
			}
			one.send(21)
			hot.until(t, "it has cooled", hot.has())
			top.until(t, "the other again", top.has(temperature2))
			for _, v := range []*view{all, hot, top} {
				if n := v.sub.Stats(); n.Gaps > 0 || n.Resyncs > 0 {
					t.Errorf("%+v", n)
				}
			}
		})
	}
}

func TestPointsBoundHowManyRowsCome(t *testing.T) {
	w := startWeir(t, config.Default())
	p := newPress(t, w, 1)
	p.send(0.5)
	l := w.live(nil)
	fine := newView(t, l, device.SubscribeOptions{MaxHz: device.Unlimited})
	fine.until(t, "the first reading", fine.has(temperature1))
	coarse := newView(t, l, device.SubscribeOptions{Points: 2, Window: 10 * time.Minute})
	coarse.until(t, "the snapshot", coarse.has(temperature1))
	const readings = 20
	for n := range readings {
		fine.until(t, "each reading", func() bool { return fine.shown[temperature1].Last == float64(n)+0.5 })
		p.send(float64(n) + 1.5)
	}
	fine.until(t, "each reading", func() bool { return fine.shown[temperature1].Last == readings+0.5 })
	if fine.rows != readings+1 {
		t.Errorf("%d rows of %d readings", fine.rows, readings+1)
	}
	figures, err := l.ServerStats(within(t))
	if err != nil {
		t.Fatal(err)
	}
	// The next row comes in five minutes.
	if n := coarse.sub.Stats(); n.Rows != 1 || !(n.Rate > 0 && n.Rate <= 2.0/600) || len(figures.Subscriptions) != 2 {
		t.Errorf("%+v; the server says %+v", n, figures)
	}
	fine.sub.Close()
	if _, err := fine.sub.Next(within(t)); err == nil {
		t.Error("read on after Close")
	}
	coarse.sub.Close()
}

func TestFiguresAndTheWayToTheServerAreMeasured(t *testing.T) {
	w := startWeir(t, config.Default())
	p := newPress(t, w, 1)
	l := w.live(nil)
	p.send(0.5)
	v := newView(t, l, device.SubscribeOptions{MaxHz: device.Unlimited})
	v.until(t, "the first reading", v.has(temperature1))
	before, known := v.sub.Stats(), served(t, l) // its figures do not tell of what was in the snapshot
	p.send(1, 2, 3)
	v.until(t, "all readings", func() bool { return v.shown[temperature1].Last == 3 })
	n := v.sub.Stats()
	for deadline := time.Now().Add(patience); l.Stats().RTT == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	s := served(t, l)
	if s.Readings-known.Readings != 3 || n.Readings-before.Readings != 3 || s.Rows-known.Rows != n.Rows-before.Rows || n.Lag <= 0 {
		t.Errorf("%+v after %+v; the server says %+v after %+v", n, before, s, known)
	}
	if l.Stats().RTT <= 0 {
		t.Errorf("%+v", l.Stats())
	}
}

// served is what the server says of the only subscription.
func served(t *testing.T, l *device.Live) wire.SubscriptionStats {
	t.Helper()
	figures, err := l.ServerStats(within(t))
	if err != nil || len(figures.Subscriptions) != 1 {
		t.Fatal(figures, err)
	}
	return figures.Subscriptions[0]
}

// What the new token permits holds for the connection there is.
func TestANewTokenKeepsTheConnection(t *testing.T) {
	s := startSecured(t)
	var mu sync.Mutex
	var told []time.Time
	tokens := 0
	l := s.live(func(o *device.LiveOptions) {
		o.TokenSource = func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			if tokens++; tokens == 1 {
				return s.token("alice", auth.RoleViewer, 30*time.Second), nil // within the minute in which one is asked for the next
			}
			return s.token("alice", auth.RoleOperator, time.Hour), nil
		}
		o.OnExpiring = func(at time.Time) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, at)
		}
	})
	r := joined(t, l, ops, 0)
	var err error
	for ctx := within(t); ; {
		if _, err = r.Send(ctx, "chat", 1); code(err) != wire.CodeForbidden {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	if n := l.Stats(); err != nil || tokens != 2 || n.Connects != 1 || len(told) != 1 || time.Until(told[0]) > 30*time.Second {
		t.Errorf("%v; %d tokens, told %v, %+v", err, tokens, told, n)
	}
	if m := message(t, r); string(m.Payload) != "1" {
		t.Errorf("%+v", m)
	}
}

func TestClientsOfARealServerThatStopsComeBackSpreadOut(t *testing.T) {
	c := config.Default()
	c.Data = t.TempDir()
	w := startWeir(t, c)
	const clients = 16
	var mu sync.Mutex
	attempts := make(map[int]time.Time) // the first after the connection was lost
	reasons := make(map[string]int)
	var views []*view
	for i := range clients {
		lost := false
		l := w.live(func(o *device.LiveOptions) {
			o.OnConnection = func(e device.Connection) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case e.Dialled && e.Err != nil && !lost:
					lost = true
					var closed *device.ClosedError
					if errors.As(e.Err, &closed) {
						reasons[closed.Reason]++
					}
				case lost && attempts[i].IsZero():
					attempts[i] = time.Now()
				}
			}
		})
		views = append(views, newView(t, l, device.SubscribeOptions{}))
	}
	p := newPress(t, w, 1)
	p.send(1)
	for _, v := range views {
		v.until(t, "the first", v.has(temperature1))
	}
	stopping := time.Now()
	w.stop()
	w.start()
	p.send(2)
	for _, v := range views {
		v.until(t, "the second", func() bool { return v.shown[temperature1].Last == 2 })
		if n := v.sub.Stats(); n.Resumes != 1 || n.Resyncs > 0 || n.Gaps > 0 || n.Readings != 2 {
			t.Errorf("%+v", n)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	first, last := time.Hour, time.Duration(0)
	for _, at := range attempts {
		first, last = min(first, at.Sub(stopping)), max(last, at.Sub(stopping))
	}
	// Load makes the spread greater, not smaller: the server asks for half a second and a random part of two.
	if len(attempts) != clients || first < 500*time.Millisecond || last-first < 500*time.Millisecond {
		t.Errorf("%d clients came back after %v to %v", len(attempts), first, last)
	}
	if reasons[wire.ReasonDraining] != clients {
		t.Errorf("%v", reasons)
	}
}
