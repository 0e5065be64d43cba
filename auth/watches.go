package auth

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"weir/wire"
)

// watches are the principals of live connections. Those whose credentials end wait in a heap, for which there is one
// timer.
type watches struct {
	now func() time.Time

	mu     sync.Mutex
	n      int                            // that are not gone
	byName map[string]map[*watch]struct{} // what a revocation can name of each: there are many more watches
	byTime deadlines
	wake   chan struct{} // something is due earlier than was known
}

type watch struct {
	principal *Principal
	ended     func(*wire.Error)
	until     time.Time   // zero: never
	why       *wire.Error // told then; nil: token_expired
	place     int         // in the heap; -1: not there
	gone      bool        // ended is or was called, or the watch was stopped
}

func newWatches(now func() time.Time) *watches {
	return &watches{now: now, byName: make(map[string]map[*watch]struct{}), wake: make(chan struct{}, 1)}
}

func (w *watches) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// verdict says until when credentials hold (zero: for ever), or why they do not.
type verdict func(*Principal) (until time.Time, over *wire.Error)

// add begins a watch. If the credentials are over already, run says so: ended must not be called before the watch is
// known to who asked for it.
func (w *watches) add(p *Principal, v verdict, ended func(*wire.Error)) *watch {
	one := &watch{principal: p, ended: ended, place: -1}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Under the lock: what is revoked from now on is told to this watch, too.
	until, over := v(p)
	if over != nil {
		one.why, until = over, w.now()
	}
	w.n++
	for _, name := range namesOfPrincipal(p) {
		if w.byName[name] == nil {
			w.byName[name] = make(map[*watch]struct{})
		}
		w.byName[name][one] = struct{}{}
	}
	w.scheduleLocked(one, until)
	return one
}

func (w *watches) scheduleLocked(one *watch, until time.Time) {
	one.until = until
	switch {
	case until.IsZero() && one.place >= 0:
		heap.Remove(&w.byTime, one.place)
	case until.IsZero():
	case one.place >= 0:
		heap.Fix(&w.byTime, one.place)
	default:
		heap.Push(&w.byTime, one)
	}
	if one.place == 0 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// stop ends a watch.
func (w *watches) stop(one *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removeLocked(one)
}

func (w *watches) removeLocked(one *watch) {
	if one.gone {
		return
	}
	one.gone = true
	w.n--
	for _, name := range namesOfPrincipal(one.principal) {
		delete(w.byName[name], one)
		if len(w.byName[name]) == 0 {
			delete(w.byName, name)
		}
	}
	if one.place >= 0 {
		heap.Remove(&w.byTime, one.place)
	}
}

// end is a call that is due.
type end struct {
	call func(*wire.Error)
	why  *wire.Error
}

// nameOf is what a revocation names.
func nameOf(kind, value string) string { return kind + "/" + value }

// namesOfPrincipal are those by which p can be revoked.
func namesOfPrincipal(p *Principal) []string {
	names := make([]string, 0, 5)
	for _, n := range [...][2]string{
		{revokeSubject, p.Subject}, {revokeKey, p.KeyID}, {revokeToken, p.TokenID}, {revokeToken, p.parent}, {revokeFamily, p.Family},
	} {
		if n[1] != "" {
			names = append(names, nameOf(n[0], n[1]))
		}
	}
	return names
}

// review looks anew at the watches that a name is one of.
func (w *watches) review(name string, v verdict) {
	var ends []end
	w.mu.Lock()
	for one := range w.byName[name] {
		until, over := v(one.principal)
		if over != nil {
			w.removeLocked(one)
			ends = append(ends, end{one.ended, over})
		} else if one.why == nil && !until.Equal(one.until) {
			w.scheduleLocked(one, until)
		}
	}
	w.mu.Unlock()
	// Not under the lock: ended may stop the watch.
	for _, e := range ends {
		e.call(e.why)
	}
}

// run ends watches as their time comes.
func (w *watches) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		timer.Reset(w.expire())
	}
}

// idle is how long the timer sleeps when nothing is due, and at most: clocks are set.
const idle = time.Minute

// expire calls those that are due, and tells how long it is to the next.
func (w *watches) expire() time.Duration {
	var due []end
	now := w.now()
	w.mu.Lock()
	for len(w.byTime) > 0 && !w.byTime[0].until.After(now) {
		first := w.byTime[0]
		why := first.why
		if why == nil {
			why = wire.NewError(wire.CodeTokenExpired, "")
		}
		w.removeLocked(first)
		due = append(due, end{first.ended, why})
	}
	next := idle
	if len(w.byTime) > 0 {
		next = min(idle, w.byTime[0].until.Sub(now))
	}
	w.mu.Unlock()
	for _, e := range due {
		e.call(e.why)
	}
	return next
}

// deadlines is a heap by time.
type deadlines []*watch

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].until.Before(d[j].until) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

// Push implements heap.Interface.
func (d *deadlines) Push(x any) {
	one := x.(*watch)
	one.place = len(*d)
	*d = append(*d, one)
}

// Pop implements heap.Interface.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	one := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	one.place = -1
	return one
}
