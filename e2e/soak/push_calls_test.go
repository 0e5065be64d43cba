//go:build soak

package soak

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	device "weir/sdk/go"
)

const (
	// callEvery is how often something is said to all, and to one session.
	callEvery = 400 * time.Millisecond
	// attachTime is within what a session that was welcomed is told all that is said to it.
	attachTime = time.Second
	// tellTime is within what a session is told what is stored, though its client is stalled for some seconds.
	tellTime = 10 * time.Second
	// soakRung is of how many clients sessions are told something by themselves: few, so that it is much.
	soakRung = 20
)

// Messages to all and to sessions are for those who are there. What is promised of them is judged by the order of the log, which
// is one for all: a session is told one run of it, without a hole, from the first message on that was begun when it was there.
// One that is still there has all; of one that was lost it is known what was stored well before.

// callee is what a client was told, by session, that was said to all or to it alone.
type callee struct {
	name string

	callsMu  sync.Mutex // guards the following
	sessions map[string]*calls
	stray    error
}

// calls are those of a session.
type calls struct {
	since time.Time // when it was welcomed
	lost  time.Time // zero: it is there
	all   []said
	own   []said
}

// open notes that a session was welcomed.
func (c *callee) open(session string, now time.Time) {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	c.ofLocked(session).since = now
}

// ofLocked are those of a session: it may be told something before its client says that it is there.
func (c *callee) ofLocked(session string) *calls {
	if c.sessions == nil {
		c.sessions = map[string]*calls{}
	}
	if c.sessions[session] == nil {
		c.sessions[session] = &calls{}
	}
	return c.sessions[session]
}

// hangUp notes that the connection was lost, or is about to be.
func (c *callee) hangUp() {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	for _, s := range c.sessions {
		if s.lost.IsZero() {
			s.lost = time.Now()
		}
	}
}

// called takes a message that came on a session.
func (c *callee) called(session string, m *device.Message) {
	word, err := saidOf(m)
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	s := c.ofLocked(session)
	switch {
	case err != nil:
	case m.Broadcast:
		s.all = append(s.all, word)
	case m.Session == session:
		s.own = append(s.own, word)
	default:
		err = fmt.Errorf("session %s was told what is for %+v", session, m.Target)
	}
	c.stray = cmp.Or(c.stray, err)
}

// exchange is what is said to all and to sessions.
type exchange struct {
	*pushSoak
	all letters

	mu  sync.Mutex // guards the following
	rng *rand.Rand
	own map[string]*letters // by session
}

func (p *pushSoak) newExchange() *exchange {
	return &exchange{
		pushSoak: p, rng: rand.New(rand.NewPCG(*soakSeed, 67)), own: map[string]*letters{},
		all: letters{to: device.Target{Broadcast: true}},
	}
}

// run calls until ctx ends, and waits for all receipts.
func (x *exchange) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { x.pump(ctx, callEvery, func() func(context.Context) error { return x.mail(&x.all, "caller") }) })
	x.pump(ctx, callEvery/2, func() func(context.Context) error {
		l := x.someSession()
		if l == nil {
			return nil
		}
		return x.mail(l, "ring")
	})
}

// someSession draws one that has been there for a while.
func (x *exchange) someSession() *letters {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.callees()
	rung := all[len(all)-soakRung:]
	session := ""
	for i, from := 0, x.rng.IntN(soakRung); i < soakRung && session == ""; i++ {
		session = rung[(from+i)%soakRung].present()
	}
	if session == "" {
		return nil
	}
	if x.own[session] == nil {
		x.own[session] = &letters{to: device.Target{Session: session}}
	}
	return x.own[session]
}

// present is the session that is there now, or empty.
func (c *callee) present() string {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	for name, s := range c.sessions {
		if s.lost.IsZero() && !s.since.IsZero() && time.Since(s.since) > attachTime {
			return name
		}
	}
	return ""
}

func (p *pushSoak) callees() (out []*callee) {
	for _, v := range p.viewers {
		out = append(out, &v.callee)
	}
	for _, v := range p.streams {
		out = append(out, &v.callee)
	}
	return out
}

// judge compares what each client was told with what was said; err is of the first that lacks something, or was told too much.
func (x *exchange) judge() error {
	all := x.all.sorted()
	own := map[string][]letter{}
	x.mu.Lock()
	for session, l := range x.own {
		own[session] = l.sorted()
	}
	x.mu.Unlock()
	for _, c := range x.callees() {
		if err := c.judge(all, own); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (c *callee) judge(all []letter, own map[string][]letter) error {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	err := c.stray
	for name, s := range c.sessions {
		if why := s.judge(s.all, all); why != nil {
			err = errors.Join(err, fmt.Errorf("session %s, said to all: %w", name, why))
		}
		if why := s.judge(s.own, own[name]); why != nil {
			err = errors.Join(err, fmt.Errorf("session %s, said to it: %w", name, why))
		}
	}
	return err
}

// judge compares what the session was told of all messages to a target.
func (s *calls) judge(got []said, all []letter) error {
	first, err := runOf(got, all)
	if err != nil {
		return err
	}
	end := first + len(got)
	for i, m := range all {
		if i >= first && i < end || !s.owes(m) {
			continue
		}
		return fmt.Errorf("told %d messages from the %d. of %d on, and not %+v, which was sent when it was there", len(got), first+1, len(all), m.said)
	}
	return nil
}

// owes reports whether a message must have been told. Of a session that was lost it is known only of what was stored a while
// before: its client may not have read for some seconds.
func (s *calls) owes(m letter) bool {
	there := !s.since.IsZero() && m.begun.After(s.since.Add(attachTime))
	return there && (s.lost.IsZero() || m.stored.Before(s.lost.Add(-tellTime)))
}

// callSums count what was said to all and to sessions, and told.
type callSums struct {
	Broadcasts int64 `json:"broadcasts"`
	Told       int64 `json:"broadcasts_told"`
	// Twice are broadcasts that a client was told in two sessions: it came back to an instance that had not come so far.
	Twice  int64 `json:"broadcasts_told_in_two_sessions"`
	Rings  int64 `json:"session_messages"`
	Heard  int64 `json:"session_messages_told"`
	Unread int64 `json:"session_messages_to_sessions_that_ended"`
}

func (x *exchange) sums() (total callSums) {
	total.Broadcasts = int64(x.all.count())
	x.mu.Lock()
	for _, l := range x.own {
		total.Rings += int64(l.count())
	}
	x.mu.Unlock()
	for _, c := range x.callees() {
		c.callsMu.Lock()
		known := map[said]bool{}
		for _, s := range c.sessions {
			total.Told, total.Heard = total.Told+int64(len(s.all)), total.Heard+int64(len(s.own))
			for _, m := range s.all {
				if known[m] {
					total.Twice++
				}
				known[m] = true
			}
		}
		c.callsMu.Unlock()
	}
	total.Unread = total.Rings - total.Heard
	return total
}
