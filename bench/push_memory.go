package bench

import (
	"context"
	"fmt"
	"time"
)

const (
	// firstConns are connected before what is counted, so that pools and tables are there.
	firstConns = 200
	// laggingSeries is how many series a laggard holds, told at laggingHz.
	laggingDevices, laggingMetrics, laggingHz = 100, 10, 2
	// spareFiles are open besides connections, or kept from them: a server keeps 1,024 for its broker.
	spareFiles = 1024 + 200
	// perSource is how many connections one local address makes, of the ports that there are.
	perSource = 20_000
)

// memory is what connections cost that have nothing to do, and those that do not read.
func (p *Push) memory(ctx context.Context, r *PushResult) error {
	idle := min(p.Idle, r.OpenFiles-spareFiles-firstConns)
	if idle < p.Idle {
		p.say("%d idle connections instead of %d: a process may open %d files here", idle, p.Idle, r.OpenFiles)
	}
	quiet := E2E{Devices: 1, Metrics: 1, FrameReadings: 1, Rate: 1}
	one := func(int) []string { return []string{"bench/none"} }
	for _, c := range []struct {
		name     string
		patterns func(int) []string
	}{{"idle, no subscription", nil}, {"idle, a subscription", one}} {
		m, err := p.grow(ctx, PushMemory{Name: c.name, Conns: idle}, quiet, func(t *tested, conns int) SwarmOptions {
			return liveSwarm(t.server, conns, 0, c.patterns)
		})
		if err != nil {
			return err
		}
		r.Memory = append(r.Memory, m)
	}
	if p.Laggards == 0 {
		return nil
	}
	busy := E2E{Devices: laggingDevices, Metrics: laggingMetrics, FrameReadings: laggingMetrics, Rate: laggingDevices * laggingMetrics * laggingHz}
	name := fmt.Sprintf("does not read, %d series", laggingDevices*laggingMetrics)
	m, err := p.grow(ctx, PushMemory{Name: name, Conns: p.Laggards}, busy, func(t *tested, conns int) SwarmOptions {
		o := liveSwarm(t.server, conns, laggingHz, inViews(1))
		o.Stalled, o.ReceiveBuffer = true, stalledBuffer
		return o
	})
	r.Memory = append(r.Memory, m)
	return err
}

// grow measures how the server grows by connections.
func (p *Push) grow(ctx context.Context, m PushMemory, load E2E, options func(t *tested, conns int) SwarmOptions) (PushMemory, error) {
	p.say("%s: %d connections", m.Name, m.Conns)
	t, err := p.serve(ctx, load)
	if err != nil {
		return m, err
	}
	defer t.end()
	open := func(conns int) (*Swarm, error) {
		o := options(t, conns)
		o.Probes = 0
		o.Sources = sources(m.Conns)
		m.Sources = len(o.Sources)
		return Dial(ctx, o)
	}
	if err := pause(ctx, p.Warm, t.paced); err != nil {
		return m, err
	}
	few, err := open(min(firstConns, m.Conns))
	if err != nil {
		return m, err
	}
	defer few.Close()
	before, err := t.size(ctx, p.Warm)
	if err != nil {
		return m, err
	}
	many, err := open(m.Conns)
	if err != nil {
		return m, err
	}
	defer many.Close()
	after, err := t.size(ctx, p.Measure)
	if err != nil {
		return m, err
	}
	perConn := func(bytes float64) float64 { return bytes / 1024 / float64(m.Conns) }
	m.RSS = after.rss / (1 << 20)
	m.PerConn, m.HeapPerConn, m.StackPerConn = perConn(after.rss-before.rss), perConn(after.heap-before.heap), perConn(after.stacks-before.stacks)
	m.Laggards, m.LaggingRows = after.laggards, after.laggingRows
	m.Lost = int(few.ended.Load() + many.ended.Load())
	return m, nil
}

// size is what a server holds, in bytes.
type size struct{ rss, heap, stacks, laggards, laggingRows float64 }

// size waits for d, so that handshakes are forgotten, and then reads.
func (t *tested) size(ctx context.Context, d time.Duration) (s size, err error) {
	if err := pause(ctx, d, t.paced); err != nil {
		return s, err
	}
	mib, err := residentMiB(t.pid())
	if err != nil {
		return s, err
	}
	s.rss = mib * (1 << 20)
	if s.heap, err = t.liveHeap(ctx); err != nil {
		return s, err
	}
	m, err := t.metrics(ctx)
	s.stacks, s.laggards, s.laggingRows = m["go_memstats_stack_inuse_bytes"], m["weir_push_laggards"], m["weir_push_laggard_rows"]
	return s, err
}

// sources are as many loopback addresses as so many connections need.
func sources(conns int) []string {
	var all []string
	for i := range (conns + firstConns + perSource - 1) / perSource {
		all = append(all, fmt.Sprintf("127.0.0.%d", 1+i))
	}
	return all
}
