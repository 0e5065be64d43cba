//go:build soak

package soak

import (
	"context"
	"sync"
	"syscall"
	"time"
)

// storm lets devices count and people talk, and breaks things, for so long.
func (p *pushSoak) storm(d time.Duration) {
	began, before := time.Now(), p.state.Seconds
	ctx, stop := context.WithTimeout(p.Context(), d)
	defer stop()
	var work sync.WaitGroup
	for _, c := range p.counters {
		work.Go(func() { c.run(ctx) })
	}
	work.Go(func() { p.talk.run(ctx) })
	work.Go(func() { p.exchange.run(ctx) })
	work.Go(func() { p.runPost(ctx) })
	work.Go(func() { p.node.run(ctx, d/4) })
	for ctx.Err() == nil {
		n, away := p.rng.IntN(20), time.Duration(50+p.rng.IntN(1500))*time.Millisecond
		switch s := p.servers[p.rng.IntN(len(p.servers))]; {
		case n == 0 && s.busy.CompareAndSwap(false, true):
			p.fault("servers killed")
			work.Go(func() { p.restart(s, away, syscall.SIGKILL) })
		case n == 1 && s.busy.CompareAndSwap(false, true):
			p.fault("servers that left and came back")
			work.Go(func() { p.restart(s, away, syscall.SIGTERM) })
		case n < 6:
			p.fault("stalls")
			p.disturb(func(l *line) { l.stall(3 * away) }, nodeOrder{Do: "stall", MS: (3 * away).Milliseconds()})
		default:
			p.fault("cuts")
			p.disturb((*line).cut, nodeOrder{Do: "cut"})
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(p.rng.IntN(200)) * time.Millisecond):
		}
		p.note(before + time.Since(began).Seconds())
	}
	work.Wait()
}

// few are the ways of the clients of which there are few: they are cut as often as all others together are, almost.
func (p *pushSoak) few() (out []*line) {
	for _, v := range p.streams {
		out = append(out, v.line)
	}
	for _, a := range p.absent {
		out = append(out, a.line)
	}
	for _, l := range p.late {
		out = append(out, l.line)
	}
	for _, r := range p.returners {
		out = append(out, r.line)
	}
	return out
}

// disturb cuts or stalls one of the clients.
func (p *pushSoak) disturb(hit func(l *line), order nodeOrder) {
	if few := p.few(); p.rng.IntN(3) == 0 {
		hit(few[p.rng.IntN(len(few))])
		return
	}
	if client := p.rng.IntN(soakViewers + soakNodeViewers); client < soakViewers {
		hit(p.viewers[client].line)
	} else {
		order.Client = client - soakViewers
		p.node.order(order)
	}
}

func (p *pushSoak) restart(s *server, away time.Duration, sig syscall.Signal) {
	defer s.busy.Store(false)
	select {
	case s.away <- away:
		s.signal(sig)
	default:
	}
	if err := s.revived(); err != nil {
		p.Error(err)
	}
	time.Sleep(2 * time.Second) // some time to work
}
