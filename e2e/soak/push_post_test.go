//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"weir/config"
	device "weir/sdk/go"
)

// beginPost makes those who come and go.
func (p *pushSoak) beginPost(ctx, entering context.Context, watching *sync.WaitGroup) {
	p.Helper()
	p.partitions = config.DefaultPartitions
	p.guest = p.token("--tenant", p.tenant, "--role", "viewer", "--read", p.tenant+"/#", "guest")
	p.busy = &letters{to: device.Target{Room: p.tenant + "/busy"}}
	for i := range soakAbsent {
		p.absent = append(p.absent, p.newAbsentee(i))
	}
	for i := range 2 * soakLate {
		p.late = append(p.late, p.newLatecomer(i))
	}
	for i := range soakReturners {
		r := p.newReturner(i)
		p.returners = append(p.returners, r)
		if err := r.enter(entering); err != nil {
			p.Error(err)
			continue
		}
		watching.Go(func() { r.listen(ctx) })
	}
}

// runPost has letters and messages to the busy room sent, and users and members come and go, until ctx ends. When it returns
// all have their receipts.
func (p *pushSoak) runPost(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { p.pump(ctx, busyEvery, func() func(context.Context) error { return p.mail(p.busy, "busy") }) })
	turn := 0 // of the one goroutine that draws
	work.Go(func() {
		p.pump(ctx, letterEvery, func() func(context.Context) error {
			a := p.absent[0]
			if turn++; turn%2 == 0 {
				a = p.absent[1+turn/2%(soakAbsent-1)]
			}
			return p.mail(&a.letters, "letter")
		})
	})
	for _, a := range p.absent {
		work.Go(func() {
			if err := a.run(ctx); err != nil {
				p.Error(err)
			}
		})
	}
	for _, l := range p.late {
		work.Go(func() { l.run(ctx) })
	}
	for _, r := range p.returners {
		work.Go(func() { r.run(ctx) })
	}
}

// settlePost has the users read and acknowledge all.
func (p *pushSoak) settlePost() {
	p.Helper()
	var work sync.WaitGroup
	for _, a := range p.absent {
		work.Go(func() {
			if err := a.finish(); err != nil {
				p.Errorf("%s: %v", a.name, err)
			}
		})
	}
	work.Wait()
}

// judgePost compares what was told with what was sent. It is asked again: some may be on its way.
func (p *pushSoak) judgePost() error {
	err := p.exchange.judge()
	busy := p.busy.sorted()
	for _, a := range p.absent {
		err = errors.Join(err, a.judge())
	}
	for _, l := range p.late {
		err = errors.Join(err, l.judge(busy))
	}
	for _, r := range p.returners {
		err = errors.Join(err, r.judge(busy))
	}
	return err
}

// postSums are of those who come and go.
type postSums struct {
	callSums
	inboxSums
	lateSums
	returnSums
}

func (p *pushSoak) postSums() (total postSums) {
	if p.exchange != nil {
		total.callSums = p.exchange.sums()
	}
	total.inboxSums, total.lateSums, total.returnSums = p.inboxSums(), p.lateSums(), p.returnSums()
	return total
}

// rows are the lines of the result.
func (s *postSums) rows() [][2]string {
	c, in, l, r := &s.callSums, &s.inboxSums, &s.lateSums, &s.returnSums
	return [][2]string{
		{"messages to all; told to sessions, each a run of the log without a hole; of these in two sessions of a client", fmt.Sprintf("%d; %d; %d", c.Broadcasts, c.Told, c.Twice)},
		{"messages to one session; told to it; that it did not live to be told", fmt.Sprintf("%d; %d; %d", c.Rings, c.Heard, c.Unread)},
		{"letters to users that come and go; their stays", fmt.Sprintf("%d; %d", in.Letters, in.Stays)},
		{"letters told; of these again, not acknowledged before; never told, as newer ones filled the inbox", fmt.Sprintf("%d; %d; %d", in.Told, in.Again, in.Dropped)},
		{"messages to the busy room; told to who joins later or comes back", fmt.Sprintf("%d; %d", l.Said, l.Told)},
		{"late joins, each told exactly the newest; returns with what is known; beyond the history in memory; told of a gap", fmt.Sprintf("%d; %d; %d; %d", l.Joins, l.Returns, l.Beyond, l.Gaps)},
		{"absences of members of sdk/go; gaps they were told of; messages they were told", fmt.Sprintf("%d; %d; %d", r.Away, r.Gaps, r.Told)},
	}
}
