package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Watch follows work that is measured from outside: how far it is, and what the processes use that do it.
type Watch struct {
	// Until is the progress at which the work is done.
	Until int64
	// Progress tells how far the work is.
	Progress func(context.Context) (int64, error)
	// Pids are the processes by name.
	Pids map[string]int
	// Stalled bounds how long there may be no progress.
	Stalled time.Duration
}

// Span is what was measured between two samples.
type Span struct {
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"readings_per_s"`
	// CPU is in seconds per million readings, by process; Cores is the share of one core.
	CPU   map[string]float64 `json:"cpu_s_per_million"`
	Cores map[string]float64 `json:"cores"`
}

// Watched is a whole run.
type Watched struct {
	// Whole is from the first progress seen to the last; Warm is its last two thirds.
	Whole Span `json:"whole"`
	Warm  Span `json:"warm"`
	// First is the time from the start of watching to the first progress.
	First float64            `json:"first_s"`
	RSS   map[string]float64 `json:"rss_mib"`
	// Others is the CPU time, in cores, that the machine spent on anything else.
	Others float64 `json:"others_cores"`
}

type sampled struct {
	at       time.Time
	progress int64
	cpu      map[string]float64
	busy     float64
}

const watchStep = 50 * time.Millisecond

// Run returns when the work is done.
func (w Watch) Run(ctx context.Context) (*Watched, error) {
	begun, moved := time.Now(), time.Now()
	out := &Watched{RSS: make(map[string]float64)}
	var samples []sampled
	ticker := time.NewTicker(watchStep)
	defer ticker.Stop()
	for last := int64(0); last < w.Until; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
		s, err := w.sample(ctx)
		if err != nil {
			return nil, err
		}
		if s.progress > last {
			if last == 0 {
				out.First = s.at.Sub(begun).Seconds()
			}
			last, moved = s.progress, s.at
			samples = append(samples, s)
		}
		if time.Since(moved) > w.Stalled {
			return nil, fmt.Errorf("no progress for %v: %d of %d readings", w.Stalled, last, w.Until)
		}
		for name, pid := range w.Pids {
			mib, err := residentMiB(pid)
			if err != nil {
				return nil, err
			}
			out.RSS[name] = max(out.RSS[name], mib)
		}
	}
	if len(samples) < 4 {
		return nil, errors.New("the run was too short to be measured: take more readings")
	}
	// The last sample may be late: what it adds is idle time. The first is what the run begins with.
	whole := samples[:len(samples)-1]
	out.Whole = span(whole[0], whole[len(whole)-1])
	out.Warm = span(whole[len(whole)/3], whole[len(whole)-1])
	out.Others = (whole[len(whole)-1].busy - whole[0].busy) / out.Whole.Seconds
	for _, cores := range out.Whole.Cores {
		out.Others -= cores
	}
	return out, nil
}

func (w Watch) sample(ctx context.Context) (s sampled, err error) {
	if s.progress, err = w.Progress(ctx); err != nil {
		return s, err
	}
	s.at, s.cpu = time.Now(), make(map[string]float64)
	for name, pid := range w.Pids {
		if s.cpu[name], err = cpuSeconds(pid); err != nil {
			return s, err
		}
	}
	s.busy, err = busySeconds()
	return s, err
}

func span(from, to sampled) Span {
	s := Span{Seconds: to.at.Sub(from.at).Seconds(), CPU: make(map[string]float64), Cores: make(map[string]float64)}
	n := float64(to.progress - from.progress)
	s.PerSecond = n / s.Seconds
	for name := range to.cpu {
		used := to.cpu[name] - from.cpu[name]
		s.CPU[name], s.Cores[name] = used/n*1e6, used/s.Seconds
	}
	return s
}

// total is the sum over all processes.
func total(by map[string]float64) (sum float64) {
	for _, v := range by {
		sum += v
	}
	return sum
}
