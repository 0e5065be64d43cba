//go:build soak

package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	device "weir/sdk/go"
)

// viewer is a live client that checks all it is told. The n-th reading of a device's "count" has the value n, so a row of
// (known, last] has n = last − known readings, from known+1 to last; anything lost, told twice or out of order is seen at once.
type viewer struct {
	name  string
	live  *device.Live
	sub   *device.Subscription
	line  *line
	rooms []*device.Room

	sends atomic.Int64

	mu     sync.Mutex // guards the following
	told   told
	newest map[string]device.Version // of alerts by id
	begun  bool
}

// look shows what the viewer was told so far.
func (v *viewer) look(see func(*told) error) error {
	stats, state := v.sub.Stats(), v.live.State()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.told.Gaps, v.told.Cuts, v.told.State = stats.Gaps, v.line.cuts.Load(), state.String()
	return see(&v.told)
}

// watch reads until ctx ends.
func (v *viewer) watch(ctx context.Context) {
	for {
		changes, err := v.sub.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			v.wrong("the subscription has ended: %v", err)
			return
		}
		v.take(changes)
	}
}

// listen reads a room until ctx ends.
func (v *viewer) listen(ctx context.Context, room *device.Room) {
	for {
		event, err := room.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			v.wrong("%s: the stay has ended: %v", room.Name(), err)
			return
		case event.Missed:
			v.wrong("%s: messages were missed", room.Name())
		case event.Message != nil:
			v.hear(room.Name(), event.Message)
		}
	}
}

func (v *viewer) hear(room string, m *device.Message) {
	var body struct{ N int }
	if err := json.Unmarshal(m.Payload, &body); err != nil {
		v.wrong("%s: message %s: %v", room, m.ID, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.told.Said[room] = append(v.told.Said[room], said{m.ID, m.Version, body.N})
}

func (v *viewer) wrong(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wrongLocked(fmt.Errorf(format, args...))
}

func (v *viewer) wrongLocked(err error) {
	if v.told.Fault == "" {
		v.told.Fault = err.Error()
	}
}

func (v *viewer) take(c *device.Changes) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.Resumed {
		v.told.Resumes++
	}
	if c.Reset {
		if v.begun {
			v.told.Resets++
		}
		v.begun = true
		clear(v.told.Known)
		clear(v.told.Versions)
		clear(v.told.Heard)
		clear(v.newest)
	}
	for i := range c.Rows {
		if err := v.row(&c.Rows[i], c.Reset); err != nil {
			v.wrongLocked(err)
		}
	}
	for i := range c.Alerts {
		a := &c.Alerts[i]
		if at, known := v.newest[a.ID]; known && a.Version <= at {
			v.wrongLocked(fmt.Errorf("alert %s: version %d after %d", a.ID, a.Version, at))
		}
		v.newest[a.ID] = a.Version
		v.told.Heard[transition{a.ID, a.Series, a.Version}]++
	}
}

func (v *viewer) row(u *device.Update, state bool) error {
	v.told.Rows++
	before, known := v.told.Versions[u.Series]
	v.told.Versions[u.Series] = u.Version
	if known && u.Since != before {
		return fmt.Errorf("%s: row (%d, %d] after %d", u.Series, u.Since, u.Version, before)
	}
	if !strings.HasSuffix(u.Series, "/count") {
		return nil
	}
	from, last := v.told.Known[u.Series], uint64(u.Last)
	v.told.Known[u.Series] = last
	if state && !known {
		return nil
	}
	v.told.Readings += int64(u.N)
	sum := float64(last*(last+1)/2) - float64(from*(from+1)/2)
	if u.N != last-from || u.Min != float64(from+1) || u.Max != float64(last) || math.Abs(u.Sum-sum) > 1e-9*sum {
		return fmt.Errorf("%s: after %d came n %d, min %v, max %v, last %v, sum %v", u.Series, from, u.N, u.Min, u.Max, u.Last, u.Sum)
	}
	return nil
}

// line is a viewer's way to the servers: it can be cut, and stalled so that the socket is not read.
type line struct {
	addrs func() []string // servers, in the order to try
	cuts  atomic.Int64

	mu    sync.Mutex
	conn  *stalling
	until time.Time // stalled
}

func (l *line) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var failure error
	for _, addr := range l.addrs() {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			s := &stalling{Conn: conn, line: l}
			l.mu.Lock()
			l.conn = s
			l.mu.Unlock()
			return s, nil
		}
		failure = errors.Join(failure, err)
	}
	return nil, failure
}

// cut ends the connection as a network does.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.cuts.Add(1)
		_ = l.conn.Close()
	}
}

func (l *line) stall(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Now().Add(d)
}

// stalling is a connection that is not read for a while.
type stalling struct {
	net.Conn
	line *line
}

func (s *stalling) Read(b []byte) (int, error) {
	s.line.mu.Lock()
	wait := time.Until(s.line.until)
	s.line.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
	return s.Conn.Read(b)
}

// way is how a client, of whichever SDK, watches.
type way struct {
	Name     string   `json:"name"`
	Patterns []string `json:"patterns"`
	MaxHz    float64  `json:"max_hz"` // 0: unlimited
	Fields   []string `json:"fields,omitempty"`
	Rooms    []string `json:"rooms"`
	Credits  int      `json:"credits"` // 0: none are needed
	Proto    bool     `json:"proto"`
}

// wayOf draws one of the ways there are.
func (p *pushSoak) wayOf(i int) way {
	w := way{
		Name: fmt.Sprint("viewer", i), MaxHz: []float64{2, 5, 10, 0}[p.rng.IntN(4)], Proto: i%4 == 1,
		Rooms: []string{p.room(i % soakRooms), p.room((i + 1 + i/soakRooms) % soakRooms)},
	}
	pattern := []string{"/#", "/line0/+/count", "/line1/#", "/+/press2/+", "/line2/+/+"}[i%5]
	w.Patterns = []string{p.tenant + pattern}
	if i%5 == 0 {
		w.Credits = 1 + p.rng.IntN(4)
	}
	if i%3 == 1 {
		w.Fields = []string{"last", "min", "max", "sum"}
	}
	return w
}

// view makes a viewer of some series.
func (p *pushSoak) view(w way, compress bool) *viewer {
	p.Helper()
	v := &viewer{name: w.Name, newest: map[string]device.Version{}, told: told{
		Name: w.Name, Known: map[string]uint64{}, Versions: map[string]device.Version{}, Heard: map[transition]int{}, Said: map[string][]said{},
	}}
	v.line = &line{addrs: p.inSomeOrder}
	var err error
	v.live, err = device.NewLive(device.LiveOptions{
		URL: "ws://127.0.0.1/v1/live", Token: p.admin, Dial: v.line.dial, Credit: w.Credits, Compress: compress, Protobuf: w.Proto,
		Heartbeat: 2 * time.Second, Retry: device.Retry{First: 50 * time.Millisecond, Max: time.Second},
	})
	if err != nil {
		p.Fatal(err)
	}
	if w.MaxHz == 0 {
		w.MaxHz = device.Unlimited
	}
	if v.sub, err = v.live.Subscribe(device.SubscribeOptions{Patterns: w.Patterns, MaxHz: w.MaxHz, Fields: w.Fields}); err != nil {
		p.Fatal(err)
	}
	return v
}

// enter joins the rooms of the way that a viewer has.
func (v *viewer) enter(ctx context.Context, rooms []string) error {
	for _, name := range rooms {
		room, err := v.live.Join(ctx, name, device.JoinOptions{Last: 100})
		if err != nil {
			return fmt.Errorf("%s: join %s: %w", v.name, name, err)
		}
		v.rooms = append(v.rooms, room)
		v.mu.Lock()
		v.told.Said[name] = nil
		v.mu.Unlock()
	}
	return nil
}
