//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	device "weir/sdk/go"
)

// viewer is a live client of sdk/go that checks all it is told.
type viewer struct {
	name  string
	live  *device.Live
	sub   *device.Subscription
	line  *line
	rooms []*device.Room

	sends atomic.Int64
	callee
	ledger
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
	v := &viewer{name: w.Name, ledger: newLedger(w)}
	v.callee.name = w.Name
	made := make(chan struct{})
	defer close(made)
	v.line = &line{addrs: p.inSomeOrder}
	var err error
	v.live, err = device.NewLive(device.LiveOptions{
		URL: "ws://127.0.0.1/v1/live", Token: p.admin, Dial: v.line.dial, Credit: w.Credits, Compress: compress, Protobuf: w.Proto,
		Heartbeat: 2 * time.Second, Retry: device.Retry{First: 50 * time.Millisecond, Max: time.Second},
		OnConnection: func(c device.Connection) {
			<-made
			if v.hangUp(); c.Open {
				v.open(v.live.Welcome().Session, time.Now())
			}
		},
		OnMessage: func(m device.Message) {
			<-made
			v.called(v.live.Welcome().Session, &m)
		},
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
