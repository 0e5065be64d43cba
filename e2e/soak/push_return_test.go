//go:build soak

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	device "weir/sdk/go"
)

// soakReturners is how many members of the busy room, of sdk/go, are interrupted for longer than the history lasts.
const soakReturners = 2

// returner is a member of the busy room whose client comes back by itself: it is told all, or that some is missing.
type returner struct {
	*pushSoak
	name string
	rng  *rand.Rand
	line *line
	live *device.Live
	room *device.Room

	last     int
	receipts int64 // the version up to which there were receipts before it joined
	begun    int   // messages begun when it had joined

	mu   sync.Mutex // guards the following
	runs [][]said   // what was told between what may be missing
	away int64      // times
	err  error
}

func (p *pushSoak) newReturner(i int) *returner {
	p.Helper()
	r := &returner{
		pushSoak: p, name: fmt.Sprint("returner", i), rng: rand.New(rand.NewPCG(*soakSeed, uint64(400+i))),
		line: &line{addrs: p.inSomeOrder}, runs: [][]said{nil},
	}
	r.last = 1 + r.rng.IntN(soakHistory)
	var err error
	r.live, err = device.NewLive(device.LiveOptions{
		URL: "ws://127.0.0.1/v1/live", Token: p.guest, Dial: r.line.dial, Heartbeat: 2 * time.Second,
		Retry: device.Retry{First: 50 * time.Millisecond, Max: time.Second},
	})
	if err != nil {
		p.Fatal(err)
	}
	return r
}

// enter joins the busy room.
func (r *returner) enter(ctx context.Context) (err error) {
	r.receipts = r.busy.newest()
	if r.room, err = r.live.Join(ctx, r.busy.to.Room, device.JoinOptions{Last: r.last}); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	r.begun = r.busy.count()
	return nil
}

// listen takes what is told until ctx ends.
func (r *returner) listen(ctx context.Context) {
	for {
		e, err := r.room.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		if err == nil && e.Message != nil {
			var word said
			word, err = saidOf(e.Message)
			run := &r.runs[len(r.runs)-1]
			*run = append(*run, word)
		}
		if e.Missed {
			r.runs = append(r.runs, nil)
		}
		if err != nil && r.err == nil {
			r.err = err
		}
		ended := r.err != nil
		r.mu.Unlock()
		if ended {
			return
		}
	}
}

// run is away again and again until ctx ends.
func (r *returner) run(ctx context.Context) {
	for {
		away := time.Duration(r.rng.IntN(700)) * time.Millisecond
		if r.rng.IntN(3) == 0 {
			away += soakHistory*busyEvery + time.Second
		}
		here := time.Duration(500+r.rng.IntN(2000)) * time.Millisecond
		r.live.Interrupt(away)
		r.mu.Lock()
		r.away++
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(away + here):
		}
	}
}

// judge compares what was told with what was said in the busy room. It must have come to the newest.
func (r *returner) judge(all []letter) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return fmt.Errorf("%s: %w", r.name, r.err)
	}
	end := 0
	for i, run := range r.runs {
		first, err := runOf(run, all)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		least, most := max(0, upTo(all, r.receipts)-r.last), max(0, r.begun-r.last)
		switch {
		case len(run) == 0:
			continue
		case i == 0 && (first < least || first > most):
			return fmt.Errorf("%s: with last %d it was told from message %d on, not one of %d to %d", r.name, r.last, first+1, least+1, most+1)
		case first < end:
			return fmt.Errorf("%s: after message %d came %d", r.name, end, first+1)
		}
		end = first + len(run)
	}
	if end < len(all) {
		return fmt.Errorf("%s: told up to message %d of %d; %v", r.name, end, len(all), r.live.State())
	}
	return nil
}

// returnSums count how often they were away, and were told that something may be missing.
type returnSums struct {
	Away int64 `json:"members_away"`
	Gaps int64 `json:"members_told_of_a_gap"`
	Told int64 `json:"members_told"`
}

func (p *pushSoak) returnSums() (total returnSums) {
	for _, r := range p.returners {
		r.mu.Lock()
		total.Away += r.away
		total.Gaps += int64(len(r.runs) - 1)
		for _, run := range r.runs {
			total.Told += int64(len(run))
		}
		r.mu.Unlock()
	}
	return total
}
