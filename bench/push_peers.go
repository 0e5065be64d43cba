package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"
)

// PushPeers measures Weir and Centrifugo one after the other, with the same readers, rates and sizes of what is told.
type PushPeers struct {
	// Weir and Centrifugo are the programs.
	Weir, Centrifugo string
	// Idle is how many idle connections there are to be.
	Idle          int
	Warm, Measure time.Duration
	Log, Progress io.Writer
}

// PeerRun is a PushRun of one of the two.
type PeerRun struct {
	Who string `json:"who"`
	PushRun
}

// SlowReader is what became of one who reads a fifth of what there is.
type SlowReader struct {
	Who string `json:"who"`
	// BytesPerSecond is how much it reads, Offered how much there is.
	BytesPerSecond int     `json:"bytes_per_s"`
	Offered        float64 `json:"offered_bytes_per_s"`
	// Rows it was told in the last quarter, Readings for how many readings or publications they stand, of Published.
	Rows      int64   `json:"rows"`
	Readings  int64   `json:"readings"`
	Published float64 `json:"published"`
	// P50 and Max are how old what it read in the last quarter was, in s; 0: it read nothing.
	P50 float64 `json:"age_p50_s"`
	Max float64 `json:"age_max_s"`
	// Endings are how it was cut, if it was.
	Endings map[string]int `json:"endings"`
	Faults  Faults         `json:"faults"`
}

// Crash is how long it takes until a reader sees something that was made after the server was killed, in s.
type Crash struct {
	Who   string  `json:"who"`
	Fresh float64 `json:"fresh_after_s"`
}

// Outcomes are the results of PushPeers.
type Outcomes struct {
	Runs    []PeerRun    `json:"runs"`
	Slow    []SlowReader `json:"slow"`
	Crashes []Crash      `json:"crashes"`
	Idle    []PushMemory `json:"idle"`
	Machine string       `json:"machine"`
}

// peerCase is a fan-out of both.
type peerCase struct {
	name             string
	conns            int
	devices, metrics int // of Weir; as many channels as series, but for one large publication instead of the rows of a frame
	channels, size   int
	hz               float64
	maxHz            []float64 // of Weir, in turn
}

var peerCases = []peerCase{
	{name: "200 clients × 50 series × 20/s", conns: 200, devices: 5, metrics: 10, channels: 50, size: 180, hz: 20, maxHz: []float64{0, 20}},
	{name: "5,000 clients × 10/s × 1 KB", conns: 5000, devices: 1, metrics: 5, channels: 1, size: 1000, hz: 10, maxHz: []float64{0}},
}

// Run measures all. With an error comes what was measured before.
func (p PushPeers) Run(ctx context.Context) (*Outcomes, error) {
	r := &Outcomes{Machine: Machine()}
	for i := range peerCases {
		if err := p.fanOut(ctx, &peerCases[i], r); err != nil {
			return r, fmt.Errorf("%s: %w", peerCases[i].name, err)
		}
	}
	for _, part := range []struct {
		name string
		run  func(context.Context, *Outcomes) error
	}{{"idle connections", p.idle}, {"a slow reader", p.slow}, {"kill -9", p.crash}} {
		p.say("%s", part.name)
		if err := part.run(ctx, r); err != nil {
			return r, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return r, nil
}

func (p *PushPeers) say(format string, values ...any) {
	fmt.Fprintf(p.Progress, format+"\n", values...)
}

func (p *PushPeers) push() *Push {
	return &Push{Program: p.Weir, Warm: p.Warm, Measure: p.Measure, Log: p.Log, Progress: p.Progress}
}

// withCentrifugo runs something beside a fresh Centrifugo.
func (p *PushPeers) withCentrifugo(ctx context.Context, do func(context.Context, *centrifugo) error) (err error) {
	dir, err := os.MkdirTemp("", "weir-peers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := newCentrifugo(ctx, p.Centrifugo, dir, p.Log)
	if err != nil {
		return err
	}
	defer func() { c.kill() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return do(ctx, c)
}

func (p *PushPeers) fanOut(ctx context.Context, c *peerCase, r *Outcomes) error {
	for _, maxHz := range c.maxHz {
		p.say("%s: Weir, max_hz %g", c.name, maxHz)
		if err := p.weirs(ctx, c, maxHz, r); err != nil {
			return err
		}
	}
	p.say("%s: Centrifugo", c.name)
	return p.withCentrifugo(ctx, func(ctx context.Context, peer *centrifugo) error {
		run := PushRun{Name: c.name, Conns: c.conns, Views: c.channels, Series: c.channels, Offered: float64(c.conns*c.channels) * c.hz}
		go peer.publish(ctx, c.channels, c.hz, c.size)
		if err := peer.measure(ctx, p, c.channels, &run); err != nil {
			return err
		}
		r.Runs = append(r.Runs, PeerRun{"Centrifugo", run})
		return nil
	})
}

func (p *PushPeers) weirs(ctx context.Context, c *peerCase, maxHz float64, r *Outcomes) error {
	push := p.push()
	series := c.devices * c.metrics
	run := PushRun{Name: c.name, Conns: c.conns, Views: 1, Series: series, MaxHz: maxHz, Offered: float64(c.conns*series) * c.hz}
	load := E2E{Devices: c.devices, Metrics: c.metrics, FrameReadings: c.metrics, Rate: float64(series) * c.hz}
	t, err := push.serve(ctx, load)
	if err != nil {
		return err
	}
	defer t.end()
	if err := t.settle(ctx, p.Warm, baseTime); err != nil {
		return err
	}
	swarm, err := Dial(ctx, liveSwarm(t.server, c.conns, maxHz, inViews(1)))
	if err != nil {
		return err
	}
	err = push.measure(ctx, t, swarm, &run)
	swarm.Close()
	if err != nil {
		return err
	}
	who := "Weir, max_hz unlimited"
	if maxHz > 0 {
		who = fmt.Sprintf("Weir, max_hz %g", maxHz)
	}
	r.Runs = append(r.Runs, PeerRun{who, run})
	return nil
}

// measure counts what clients of Centrifugo receive.
func (c *centrifugo) measure(ctx context.Context, p *PushPeers, channels int, run *PushRun) error {
	if err := sleep(ctx, p.Warm); err != nil {
		return err
	}
	resident, err := residentMiB(c.pid())
	if err != nil {
		return err
	}
	first, err := use(c.pid())
	if err != nil {
		return err
	}
	if err := sleep(ctx, baseTime); err != nil {
		return err
	}
	second, err := use(c.pid())
	if err != nil {
		return err
	}
	swarm, err := Dial(ctx, c.swarm(run.Conns, channels))
	if err != nil {
		return err
	}
	defer swarm.Close()
	if err := sleep(ctx, p.Warm); err != nil {
		return err
	}
	before, err := use(c.pid())
	if err != nil {
		return err
	}
	swarm.Record()
	if err := sleep(ctx, p.Measure); err != nil {
		return err
	}
	got := swarm.Recorded()
	after, err := use(c.pid())
	if err != nil {
		return err
	}
	run.fill(before, after, &got)
	run.BaseCores = (second.server - first.server) / second.at.Sub(first.at).Seconds()
	if got.Rows > 0 {
		run.PushCPU = (run.ServerCores - run.BaseCores) / run.Deliveries * 1e6
	}
	if run.RSS, err = residentMiB(c.pid()); err != nil {
		return err
	}
	run.RSSPerConn = (run.RSS - resident) * 1024 / float64(run.Conns)
	return nil
}

func sleep(ctx context.Context, d time.Duration) error { return pause(ctx, d, nil) }

// idle are connections with one subscription and nothing to tell.
func (p *PushPeers) idle(ctx context.Context, r *Outcomes) error {
	push := p.push()
	m, err := push.grow(ctx, PushMemory{Name: "Weir", Conns: p.Idle}, E2E{Devices: 1, Metrics: 1, FrameReadings: 1, Rate: 1},
		func(t *tested, conns int) SwarmOptions {
			return liveSwarm(t.server, conns, 0, func(int) []string { return []string{"bench/none"} })
		})
	if err != nil {
		return err
	}
	r.Idle = append(r.Idle, m)
	return p.withCentrifugo(ctx, func(ctx context.Context, c *centrifugo) error {
		few, err := Dial(ctx, c.swarm(firstConns, 1))
		if err != nil {
			return err
		}
		defer few.Close()
		if err := sleep(ctx, p.Warm); err != nil {
			return err
		}
		before, err := residentMiB(c.pid())
		if err != nil {
			return err
		}
		many, err := Dial(ctx, c.swarm(p.Idle, 1))
		if err != nil {
			return err
		}
		defer many.Close()
		if err := sleep(ctx, p.Measure); err != nil {
			return err
		}
		after, err := residentMiB(c.pid())
		r.Idle = append(r.Idle, PushMemory{
			Name: "Centrifugo", Conns: p.Idle, Sources: 1, RSS: after, PerConn: (after - before) * 1024 / float64(p.Idle),
			Lost: int(few.ended.Load() + many.ended.Load()),
		})
		return err
	})
}

// A slow reader gets a fifth of slowHz × slowSeries rows of slowSize bytes a second.
const (
	slowSeries, slowHz, slowSize = 50, 20, 180
	slowShare                    = 5
	slowTime                     = 60 * time.Second
)

func (p *PushPeers) slow(ctx context.Context, r *Outcomes) error {
	const offered = slowSeries * slowHz * slowSize
	watch := func(who string, o SwarmOptions) error {
		o.Stalled, o.Probes, o.ReceiveBuffer = true, 1, stalledBuffer
		swarm, err := Dial(ctx, o)
		if err != nil {
			return err
		}
		defer swarm.Close()
		swarm.Trickle(offered / slowShare)
		if err := sleep(ctx, slowTime*3/4); err != nil {
			return err
		}
		swarm.Record()
		if err := sleep(ctx, slowTime/4); err != nil {
			return err
		}
		got := swarm.Recorded()
		r.Slow = append(r.Slow, SlowReader{
			Who: who, BytesPerSecond: offered / slowShare, Offered: offered, Rows: got.Probed, Readings: got.Readings,
			Published: slowSeries * slowHz * (slowTime / 4).Seconds(), Endings: got.Endings, Faults: got.Faults,
			P50: float64(got.Device.ValueAtQuantile(50)) / 1e6, Max: float64(got.Device.Max()) / 1e6,
		})
		return nil
	}
	t, err := p.push().serve(ctx, E2E{Devices: 5, Metrics: slowSeries / 5, FrameReadings: slowSeries / 5, Rate: slowSeries * slowHz})
	if err != nil {
		return err
	}
	defer t.end()
	if err := watch("Weir", liveSwarm(t.server, 1, 0, inViews(1))); err != nil {
		return err
	}
	return p.withCentrifugo(ctx, func(ctx context.Context, c *centrifugo) error {
		go c.publish(ctx, slowSeries, slowHz, slowSize)
		return watch("Centrifugo", c.swarm(1, slowSeries))
	})
}

// crash kills each server while something is told 50 times a second, starts it again at once, and has a reader come back.
func (p *PushPeers) crash(ctx context.Context, r *Outcomes) error {
	const hz = 50
	push := p.push()
	load := E2E{Devices: 1, Metrics: 1, FrameReadings: 1, Rate: hz}
	t, err := push.serve(ctx, load)
	if err != nil {
		return err
	}
	s := t.server
	defer func() { s.stop() }()
	if err := t.settle(ctx, p.Warm, p.Warm); err != nil {
		return err
	}
	killed := time.Now()
	_ = s.cmd.Process.Kill()
	<-s.done
	t.cancel()
	t.fleet.close()
	again := E2E{Log: p.Log, Server: []string{p.Weir, "serve", "--log-level", "warn"}}
	for _, key := range slices.Sorted(maps.Keys(outOfReach)) {
		again.Server = append(again.Server, "--set", key+"="+outOfReach[key])
	}
	if s, err = launch(ctx, again, s.addr, s.data); err != nil {
		return err
	}
	fleet, err := dialFleet(s.endpoint("ingest"), load)
	if err != nil {
		return err
	}
	defer fleet.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = fleet.run(ctx) }()
	fresh, err := freshAfter(ctx, killed, liveSwarm(s, 1, 0, inViews(1)))
	if err != nil {
		return err
	}
	r.Crashes = append(r.Crashes, Crash{"Weir", fresh})
	return p.withCentrifugo(ctx, func(ctx context.Context, c *centrifugo) error {
		go c.publish(ctx, 1, hz, slowSize)
		if err := sleep(ctx, p.Warm); err != nil {
			return err
		}
		killed := time.Now()
		c.kill()
		if err := c.start(ctx); err != nil {
			return err
		}
		fresh, err := freshAfter(ctx, killed, c.swarm(1, 1))
		r.Crashes = append(r.Crashes, Crash{"Centrifugo", fresh})
		return err
	})
}

// freshAfter connects until it works and waits for something made after the crash.
func freshAfter(ctx context.Context, killed time.Time, o SwarmOptions) (float64, error) {
	http.DefaultClient.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	swarm, err := Dial(ctx, o)
	for err != nil {
		if wait := sleep(ctx, 5*time.Millisecond); wait != nil {
			return 0, errors.Join(err, wait)
		}
		swarm, err = Dial(ctx, o)
	}
	defer swarm.Close()
	for swarm.newestReading() <= killed.UnixMicro() {
		if err := sleep(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	return time.Since(killed).Seconds(), nil
}
