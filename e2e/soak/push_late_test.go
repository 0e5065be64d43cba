//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"time"

	device "weir/sdk/go"
	"weir/wire"
)

const (
	// soakLate is how many clients of each kind come to the busy room later, or come back to it.
	soakLate = 3
	// busyEvery is how often something is said there; soakHistory is how many messages the servers keep of a room, which they are
	// told. Who stays away for seconds misses more than that.
	busyEvery   = 70 * time.Millisecond
	soakHistory = 40
)

// latecomer joins the busy room again and again: with `last`, as one that knows nothing, or with `after`, as one that has been
// away. By server-sent events what a join told can be told from what followed.
type latecomer struct {
	*pushSoak
	name   string
	rng    *rand.Rand
	line   *line
	token  string
	after  bool // it knows something, when it comes back
	newest int64

	mu     sync.Mutex // guards the following
	visits []*visit
}

// visit is one stay in the busy room.
type visit struct {
	last     int
	after    int64
	hasAfter bool
	receipts int64 // the version up to which there were receipts before
	begun    int   // messages that were begun when the join was answered

	joined bool
	gap    bool
	at     int64  // the room's version
	first  []said // what the join told
	then   []said
	err    error
}

func (p *pushSoak) newLatecomer(i int) *latecomer {
	return &latecomer{
		pushSoak: p, name: fmt.Sprint("late", i), rng: rand.New(rand.NewPCG(*soakSeed, uint64(300+i))),
		line: &line{addrs: p.inSomeOrder}, token: p.guest, after: i%2 == 1,
	}
}

// run visits until ctx ends.
func (l *latecomer) run(ctx context.Context) {
	for ctx.Err() == nil {
		stay := time.Duration(300+l.rng.IntN(1200)) * time.Millisecond
		l.visit(ctx, stay)
		away := time.Duration(100+l.rng.IntN(900)) * time.Millisecond
		if l.after && l.rng.IntN(2) == 0 {
			away += soakHistory*busyEvery + time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(away):
		}
	}
}

// visit joins, stays for a while and goes. A stay whose connection is lost is over.
func (l *latecomer) visit(ctx context.Context, stay time.Duration) {
	v := &visit{last: 1 + l.rng.IntN(soakHistory+20), receipts: l.busy.newest()}
	q := url.Values{"join": {l.busy.to.Room}}
	if l.after && l.newest > 0 {
		v.after, v.hasAfter, v.last = l.newest, true, wire.MaxLast
		q.Set("after", strconv.FormatInt(v.after, 10))
	} else {
		q.Set("last", strconv.Itoa(v.last))
	}
	l.mu.Lock()
	l.visits = append(l.visits, v)
	l.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := newEventStream(l.line, l.token).once(ctx, q, func(m wire.ServerMessage, _ string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if v.event(m, l.busy) {
			time.AfterFunc(stay, cancel)
		}
		l.newest = max(l.newest, v.newest())
	})
	if errors.Is(err, errRefusedStream) {
		l.mu.Lock()
		defer l.mu.Unlock()
		v.err = err
	}
}

// event takes what the visit is told, and reports whether it was the answer to the join.
func (v *visit) event(m wire.ServerMessage, busy *letters) bool {
	switch m := m.(type) {
	case *wire.Joined:
		v.joined, v.gap, v.at, v.begun = true, m.Gap, m.Version, busy.count()
		for _, message := range m.Messages {
			v.hear(&v.first, message)
		}
		return true
	case *wire.RoomMessage:
		switch {
		case m.Room == "":
		case !v.joined:
			v.err = fmt.Errorf("%s came before the answer to the join", m.ID)
		default:
			v.hear(&v.then, m)
		}
	case *wire.ErrorMsg:
		v.err = fmt.Errorf("%s: %s", m.Code, m.Message)
	}
	return false
}

func (v *visit) hear(to *[]said, m *device.Message) {
	word, err := saidOf(m)
	if err != nil {
		v.err = err
	}
	*to = append(*to, word)
}

func (v *visit) newest() int64 {
	for _, told := range [][]said{v.then, v.first} {
		if len(told) > 0 {
			return told[len(told)-1].Version
		}
	}
	return v.at
}

// judge compares each visit with what was said in the busy room.
func (l *latecomer) judge(all []letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, v := range l.visits {
		if err := v.judge(all); err != nil {
			return fmt.Errorf("%s, visit %d of %d (last %d, after %d): %w", l.name, i+1, len(l.visits), v.last, v.after, err)
		}
	}
	return nil
}

func (v *visit) judge(all []letter) error {
	if v.err != nil || !v.joined {
		return v.err
	}
	n := upTo(all, v.at) // messages in the room when it was joined
	if n < upTo(all, v.receipts) || n > v.begun {
		return fmt.Errorf("the join was answered as of message %d, when %d had receipts and %d were begun", n, upTo(all, v.receipts), v.begun)
	}
	first, err := runOf(v.first, all)
	if err != nil {
		return fmt.Errorf("told by the join: %w", err)
	}
	if len(v.first) == 0 {
		first = n
	}
	due := max(0, n-min(v.last, soakHistory))
	if v.hasAfter {
		due = upTo(all, v.after)
	}
	switch {
	case first+len(v.first) != n:
		return fmt.Errorf("the join told up to message %d of %d", first+len(v.first), n)
	case v.gap && (!v.hasAfter || n-due <= soakHistory):
		return fmt.Errorf("a gap is told, and memory has messages %d to %d", due+1, n)
	case v.gap && len(v.first) < min(n, soakHistory):
		return fmt.Errorf("beside a gap %d messages are told, and memory has %d", len(v.first), soakHistory)
	case !v.gap && first != due:
		return fmt.Errorf("the join told from message %d on, not %d, and of no gap", first+1, due+1)
	}
	if first, err = runOf(v.then, all); err != nil {
		return fmt.Errorf("told after the join: %w", err)
	}
	if len(v.then) > 0 && first != n {
		return fmt.Errorf("the join told up to message %d, and what followed begins with %d", n, first+1)
	}
	return nil
}

// lateSums count visits of those who came late or came back.
type lateSums struct {
	Joins   int64 `json:"late_joins"`
	Returns int64 `json:"returns_to_a_room"`
	Beyond  int64 `json:"returns_beyond_the_history"`
	Gaps    int64 `json:"returns_told_of_a_gap"`
	Told    int64 `json:"busy_room_messages_told"`
	Said    int64 `json:"busy_room_messages"`
}

func (p *pushSoak) lateSums() (total lateSums) {
	if p.busy == nil {
		return total
	}
	all := p.busy.sorted()
	total.Said = int64(len(all))
	for _, l := range p.late {
		l.mu.Lock()
		for _, v := range l.visits {
			switch {
			case !v.joined:
				continue
			case v.hasAfter:
				total.Returns++
				if upTo(all, v.at)-upTo(all, v.after) > soakHistory {
					total.Beyond++
				}
				if v.gap {
					total.Gaps++
				}
			default:
				total.Joins++
			}
			total.Told += int64(len(v.first) + len(v.then))
		}
		l.mu.Unlock()
	}
	return total
}
