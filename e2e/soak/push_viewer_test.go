//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	device "weir/sdk/go"
)

// viewer is a live client that checks all it is told. The n-th reading of a device's "count" has the value n, so a row of
// (known, last] has n = last − known readings, from known+1 to last; anything lost, told twice or out of order is seen at once.
type viewer struct {
	name string
	live *device.Live
	sub  *device.Subscription
	line *line

	mu       sync.Mutex
	known    map[string]uint64 // value by series of counts
	versions map[string]device.Version
	heard    map[transition]int
	newest   map[string]device.Version // of alerts by id
	reset    time.Time                 // when it last had to begin anew
	fault    error                     // the first thing that was wrong

	rows, readings, resumes, resets atomic.Int64
}

type transition struct {
	id, series string
	version    device.Version
}

// watch reads until ctx ends.
func (v *viewer) watch(ctx context.Context) {
	for {
		changes, err := v.sub.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			v.wrong(fmt.Errorf("the subscription has ended: %w", err))
			return
		}
		v.take(changes)
	}
}

func (v *viewer) wrong(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fault == nil {
		v.fault = err
	}
}

func (v *viewer) take(c *device.Changes) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.Resumed {
		v.resumes.Add(1)
	}
	if c.Reset {
		v.resets.Add(1)
		v.reset = time.Now()
		clear(v.known)
		clear(v.versions)
		clear(v.heard)
		clear(v.newest)
	}
	for i := range c.Rows {
		if err := v.row(&c.Rows[i], c.Reset); err != nil && v.fault == nil {
			v.fault = err
		}
	}
	for i := range c.Alerts {
		a := &c.Alerts[i]
		if at, told := v.newest[a.ID]; told && a.Version <= at && v.fault == nil {
			v.fault = fmt.Errorf("alert %s: version %d after %d", a.ID, a.Version, at)
		}
		v.newest[a.ID] = a.Version
		v.heard[transition{a.ID, a.Series, a.Version}]++
	}
}

func (v *viewer) row(u *device.Update, state bool) error {
	v.rows.Add(1)
	before, told := v.versions[u.Series]
	v.versions[u.Series] = u.Version
	if told && u.Since != before {
		return fmt.Errorf("%s: row (%d, %d] after %d", u.Series, u.Since, u.Version, before)
	}
	if !isCount(u.Series) {
		return nil
	}
	known := v.known[u.Series]
	last := uint64(u.Last)
	v.known[u.Series] = last
	if state && !told {
		return nil
	}
	v.readings.Add(int64(u.N))
	sum := float64(last*(last+1)/2) - float64(known*(known+1)/2)
	if u.N != last-known || u.Min != float64(known+1) || u.Max != float64(last) || math.Abs(u.Sum-sum) > 1e-9*sum {
		return fmt.Errorf("%s: after %d came n %d, min %v, max %v, last %v, sum %v", u.Series, known, u.N, u.Min, u.Max, u.Last, u.Sum)
	}
	return nil
}

func isCount(series string) bool { return len(series) > 6 && series[len(series)-6:] == "/count" }

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

// view makes a viewer of some series, in one of the ways there are.
func (p *pushSoak) view(i int, rng *rand.Rand) *viewer {
	p.Helper()
	v := &viewer{
		name: fmt.Sprint("viewer", i), known: map[string]uint64{}, versions: map[string]device.Version{},
		heard: map[transition]int{}, newest: map[string]device.Version{},
	}
	v.line = &line{addrs: func() []string { return p.inSomeOrder() }}
	credit := 0
	if i%5 == 0 {
		credit = 1 + rng.IntN(4)
	}
	var err error
	v.live, err = device.NewLive(device.LiveOptions{
		URL: "ws://127.0.0.1/v1/live", Token: p.admin, Dial: v.line.dial, Credit: credit, Compress: i%7 == 0, Heartbeat: 2 * time.Second,
		Retry: device.Retry{First: 50 * time.Millisecond, Max: time.Second},
	})
	if err != nil {
		p.Fatal(err)
	}
	pattern := []string{"plant/#", "plant/line0/+/count", "plant/line1/#", "plant/+/press2/+", "+/line2/+/+"}[i%5]
	o := device.SubscribeOptions{Patterns: []string{pattern}, MaxHz: []float64{2, 5, 10, device.Unlimited}[rng.IntN(4)]}
	if i%3 == 1 {
		o.Fields = []string{"last", "min", "max", "sum"}
	}
	if v.sub, err = v.live.Subscribe(o); err != nil {
		p.Fatal(err)
	}
	return v
}
