//go:build soak

package soak

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// chaos breaks things until its time is over.
type chaos struct {
	t       *testing.T
	rng     *rand.Rand
	servers []*server
	devices []*program
	uplinks []*link // between devices and ingest
	broker  *link   // between servers and Kafka; nil: the broker is in the server

	work sync.WaitGroup
	done map[string]int // faults by kind
}

// fault is one thing to be done, all of it decided when it is drawn.
type fault struct {
	name string
	busy interface{ CompareAndSwap(old, new bool) bool }
	do   func()
	undo func() error
	hold time.Duration
}

// run draws a fault every second or so. Several are at work at the same time, but one on each victim.
func (c *chaos) run(ctx context.Context) {
	c.done = make(map[string]int)
	for {
		f := c.draw()
		wait := time.Duration(200+c.rng.IntN(1000)) * time.Millisecond
		select {
		case <-ctx.Done():
			c.work.Wait()
			return
		case <-time.After(wait):
		}
		if !f.busy.CompareAndSwap(false, true) {
			continue
		}
		c.done[f.name]++
		c.work.Go(func() {
			defer f.busy.CompareAndSwap(true, false)
			f.do()
			select {
			case <-time.After(f.hold):
			case <-ctx.Done():
			}
			if err := f.undo(); err != nil {
				c.t.Errorf("undo %s: %v", f.name, err)
			}
		})
	}
}

func (c *chaos) draw() fault {
	hold := time.Duration(300+c.rng.IntN(3000)) * time.Millisecond
	switch n := c.rng.IntN(10); {
	case n < 3:
		return c.killOf("device killed", c.devices[c.rng.IntN(len(c.devices))], hold)
	case n < 6:
		s := c.servers[c.rng.IntN(len(c.servers))]
		return c.killOf(s.name+" killed", s.program, hold)
	case n < 8 || c.broker == nil:
		return c.linkFault("devices", c.uplinks[c.rng.IntN(len(c.uplinks))], hold)
	default:
		return c.linkFault("broker", c.broker, hold)
	}
}

func (c *chaos) killOf(name string, p *program, hold time.Duration) fault {
	away := time.Duration(c.rng.IntN(2500)) * time.Millisecond
	// Held until it is back and has had some time to work.
	return fault{name: name, busy: &p.busy, do: func() { p.kill(away) }, undo: p.revived, hold: away + hold}
}

// linkFault breaks a link in one of the ways that networks know.
func (c *chaos) linkFault(what string, l *link, hold time.Duration) fault {
	toxics := []toxic{
		{"reset_peer", `"timeout":0`},
		{"latency", `"latency":800,"jitter":600`},
		{"bandwidth", `"rate":16`}, // KB/s
		{"timeout", `"timeout":0`}, // what is sent disappears
		{"slicer", `"average_size":64,"size_variation":32,"delay":500`},
	}
	n := c.rng.IntN(len(toxics) + 1)
	if l == c.broker && c.rng.IntN(3) == 0 {
		hold += 4 * time.Second // longer than ingest waits for Kafka
	}
	if n == len(toxics) {
		return fault{name: what + " link down", busy: &l.busy, do: l.down, undo: l.up, hold: hold}
	}
	x := toxics[n]
	return fault{name: what + " link " + x.kind, busy: &l.busy, hold: hold,
		do: func() {
			if err := l.poison(x); err != nil {
				c.t.Error(err)
			}
		},
		undo: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			l.clear(ctx)
			return nil
		}}
}
