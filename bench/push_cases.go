package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// baseTime is how long at most the server is measured with the devices alone.
const baseTime = 3 * time.Second

// load are the devices: each sends all its metrics in one frame.
func (p *Push) load() E2E {
	return E2E{Devices: p.Devices, Metrics: p.Metrics, FrameReadings: p.Metrics, Rate: float64(p.Devices*p.Metrics) * p.Hz}
}

// expected is how many rows a second one dashboard is to get.
func (p *Push) expected() float64 {
	hz := p.Hz
	if p.MaxHz > 0 {
		hz = min(hz, p.MaxHz)
	}
	return hz * float64(p.Devices*p.Metrics)
}

// settled serves a load until it is known what the server takes with the devices alone.
func (p *Push) settled(ctx context.Context, load E2E) (*tested, error) {
	t, err := p.serve(ctx, load)
	if err != nil {
		return nil, err
	}
	if err := t.settle(ctx, p.Warm, min(baseTime, p.Measure)); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

// fanOut is many dashboards of the same series, in one view or many.
func (p *Push) fanOut(ctx context.Context, r *PushResult) error {
	for _, conns := range p.Conns {
		for _, views := range p.Views {
			if views == 0 {
				views = conns
			}
			run := PushRun{
				Name: fmt.Sprintf("%d dashboards, %d views", conns, views), Conns: conns, Views: views, Series: p.Devices * p.Metrics,
				MaxHz: p.MaxHz, Offered: p.expected() * float64(conns),
			}
			p.say("%s", run.Name)
			if err := p.fan(ctx, &run); err != nil {
				return fmt.Errorf("%s: %w", run.Name, err)
			}
			r.FanOut = append(r.FanOut, run)
		}
	}
	return nil
}

func (p *Push) fan(ctx context.Context, run *PushRun) error {
	t, err := p.settled(ctx, p.load())
	if err != nil {
		return err
	}
	defer t.end()
	swarm, err := Dial(ctx, liveSwarm(t.server, run.Conns, p.MaxHz, inViews(run.Views)))
	if err != nil {
		return err
	}
	defer swarm.Close()
	return p.measure(ctx, t, swarm, run)
}

// isolation measures the same dashboards twice: alone, and while a fifth of all do not read.
func (p *Push) isolation(ctx context.Context, r *PushResult) error {
	t, err := p.settled(ctx, p.load())
	if err != nil {
		return err
	}
	defer t.end()
	const all, stalledShare = 1000, 5
	healthy := all - all/stalledShare
	swarm, err := Dial(ctx, liveSwarm(t.server, healthy, p.MaxHz, inViews(1)))
	if err != nil {
		return err
	}
	defer swarm.Close()
	run := func(name string, stalled int) error {
		p.say("%s", name)
		run := PushRun{
			Name: name, Conns: healthy, Stalled: stalled, Views: 1, Series: p.Devices * p.Metrics, MaxHz: p.MaxHz,
			Offered: p.expected() * float64(healthy),
		}
		err := p.measure(ctx, t, swarm, &run)
		r.Isolation = append(r.Isolation, run)
		return err
	}
	if err := run("no dashboard stalls", 0); err != nil {
		return err
	}
	options := liveSwarm(t.server, all/stalledShare, p.MaxHz, inViews(1))
	options.Stalled, options.Probes, options.ReceiveBuffer = true, 0, stalledBuffer
	stalled, err := Dial(ctx, options)
	if err != nil {
		return err
	}
	defer stalled.Close()
	return run("a fifth of the dashboards stall", all/stalledShare)
}

// stalledBuffer is a small receive buffer, so that one who does not read is soon felt by the server.
const stalledBuffer = 4096

// glass is few dashboards that show few series, under a large load.
func (p *Push) glass(ctx context.Context, r *PushResult) error {
	const frame, devices, dashboards = 100, 50, 100
	load := E2E{Devices: devices, Metrics: 4, FrameReadings: frame, Rate: p.Readings}
	t, err := p.settled(ctx, load)
	if err != nil {
		return err
	}
	defer t.end()
	for _, hz := range []float64{0, 60, 20} {
		run := PushRun{
			Name:  fmt.Sprintf("%.0f readings/s, %d dashboards of %d series", p.Readings, dashboards, 4),
			Conns: dashboards, Views: devices, Series: 4, MaxHz: hz,
		}
		p.say("%s, max_hz %g", run.Name, hz)
		one := func(i int) []string { return []string{fmt.Sprintf("bench/d%d/#", i%devices)} }
		swarm, err := Dial(ctx, liveSwarm(t.server, dashboards, hz, one))
		if err != nil {
			return err
		}
		err = p.measure(ctx, t, swarm, &run)
		swarm.Close()
		if err != nil {
			return err
		}
		r.Glass = append(r.Glass, run)
	}
	return nil
}

// profile writes a CPU profile of the next d to a file.
func (t *tested) profile(ctx context.Context, file string, d time.Duration) <-chan error {
	done := make(chan error, 1)
	if file == "" {
		done <- nil
		return done
	}
	seconds := strconv.Itoa(max(1, int(d.Seconds())))
	go func() {
		text, err := get(ctx, "http://"+t.admin+"/debug/pprof/profile?seconds="+seconds)
		if err == nil {
			err = os.WriteFile(filepath.Clean(file), text, 0o600)
		}
		done <- err
	}()
	return done
}
