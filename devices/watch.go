package devices

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"
)

const (
	// tick is how often what changed is written, sweep how often all devices are looked at.
	tick  = 250 * time.Millisecond
	sweep = 5 * time.Second
	// startGrace is how long after a start devices may take to come back before they are called lost.
	startGrace = 30 * time.Second
	// maxWills is how many last wills wait to be carried out.
	maxWills = 1024
)

// queue holds the devices whose state is to be written, and those that are leaving.
type queue struct {
	mu      sync.Mutex
	changed map[string]struct{}
	leaving map[string]struct{}
}

func (q *queue) init() {
	q.changed, q.leaving = make(map[string]struct{}), make(map[string]struct{})
}

// announce has the state of a device written soon.
func (r *Registry) announce(device string) {
	r.queue.mu.Lock()
	r.queue.changed[device] = struct{}{}
	r.queue.mu.Unlock()
}

// leave has a device looked at until its grace is over.
func (r *Registry) leave(device string) {
	r.queue.mu.Lock()
	r.queue.leaving[device] = struct{}{}
	r.queue.mu.Unlock()
}

// takeLeaving empties the set of those that are leaving; keepLeaving gives back those that still are.
func (q *queue) takeLeaving() map[string]struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.leaving) == 0 {
		return nil
	}
	all := q.leaving
	q.leaving = make(map[string]struct{})
	return all
}

func (q *queue) keepLeaving(all map[string]struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(all) == 0 {
		return
	}
	maps.Copy(all, q.leaving) // the few that came meanwhile
	q.leaving = all
}

func (q *queue) takeChanged(most int) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	some := make([]string, 0, min(most, len(q.changed)))
	for d := range q.changed {
		if len(some) == most {
			break
		}
		some = append(some, d)
		delete(q.changed, d)
	}
	return some
}

func (q *queue) keepChanged(some []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range some {
		q.changed[d] = struct{}{}
	}
}

// Run looks after presence until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	select {
	case <-r.table.Ready():
	case <-ctx.Done():
		return nil
	}
	var all sync.WaitGroup
	all.Go(func() { r.carryOut(ctx) })
	defer all.Wait()
	short, long := time.NewTicker(tick), time.NewTicker(sweep)
	defer short.Stop()
	defer long.Stop()
	budget := max(1, r.cfg.PresenceWrites*int(tick/time.Millisecond)/1000)
	for {
		select {
		case <-short.C:
			r.step(ctx, budget)
		case <-long.C:
			r.judgeAll()
			r.look()
			if r.up() >= startGrace.Microseconds() {
				r.bury()
				r.shed(ctx)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// looks is at how many devices is looked for each record that may be written: of some there is nothing to be said yet.
const looks = 4

// step looks at those that are leaving and writes what has changed, at most budget records.
func (r *Registry) step(ctx context.Context, budget int) {
	leaving := r.queue.takeLeaving()
	for device := range leaving {
		if r.judge(device) {
			delete(leaving, device)
		}
	}
	r.queue.keepLeaving(leaving)
	changed := r.queue.takeChanged(looks * budget)
	for i, device := range changed {
		if budget == 0 {
			r.queue.keepChanged(changed[i:])
			return
		}
		if r.write(ctx, device) {
			budget--
		}
	}
}

// judge brings a device's state up to date and reports whether it is not leaving (any more).
func (r *Registry) judge(device string) (settled bool) {
	interval, now := r.interval(device), r.instant()
	s := r.shards.of(device)
	s.mu.Lock()
	e := s.entries[device]
	if e == nil {
		s.mu.Unlock()
		return true
	}
	changed, will := e.presence.judge(now, interval)
	settled = e.presence.leaving == nil
	s.mu.Unlock()
	if will != nil {
		r.execute(device, will)
	}
	if changed {
		r.announce(device)
	}
	return settled
}

// judgeAll looks at every device that could have become silent.
func (r *Registry) judgeAll() {
	for i := range r.shards.all {
		s := &r.shards.all[i]
		var alive []string
		s.mu.Lock()
		for device, e := range s.entries {
			if p := &e.presence; p.leaving == nil && (p.state == Online || p.state == Stale) {
				alive = append(alive, device)
			}
		}
		s.mu.Unlock()
		for _, device := range alive {
			r.judge(device)
		}
	}
}

// write tells the others how a device is. It may be too early to say anything new, and it may be for another
// instance to say: that a device is gone is said only by who had it, or when that one is gone itself. wrote is false
// when there was no record to be written.
func (r *Registry) write(ctx context.Context, device string) (wrote bool) {
	known := r.storedPresence(device)
	now := r.up()
	s := r.shards.of(device)
	s.mu.Lock()
	e := s.entries[device]
	if e == nil || e.presence.quiet || e.presence.state == Unknown {
		quiet := e != nil && e.presence.quiet
		s.mu.Unlock()
		if known != nil {
			r.correct(ctx, device, known, quiet)
		}
		return known != nil
	}
	p := &e.presence
	foreign := known != nil && known.Node != r.opts.Node
	orphan := foreign && r.dead(known.Node)
	if foreign && !orphan && p.yields(known) {
		p.told = p.state // the device is the other's
		s.mu.Unlock()
		return false
	}
	if p.told == p.state && known != nil && known.state == p.state && !orphan {
		s.mu.Unlock()
		return false
	}
	if p.toldAt != 0 && now-p.toldAt < r.cfg.ReconnectGrace.Microseconds() {
		s.mu.Unlock()
		r.announce(device)
		return false
	}
	p.told, p.toldAt = p.state, now
	record := storedPresence{V: layout, State: p.state.String(), Since: p.since, Node: r.opts.Node}
	if p.peer != nil {
		record.Transport, record.Principal, record.Remote = p.peer.Transport, p.peer.Principal, p.peer.Remote
	} else {
		record.Transport = transportHTTP
	}
	if p.state == Offline {
		record.Text = p.text
	}
	s.mu.Unlock()
	r.put(ctx, device, &record)
	return true
}

func (r *Registry) put(ctx context.Context, device string, record *storedPresence) {
	value, err := json.Marshal(record)
	if err != nil {
		r.log.Error("presence not written", "error", err)
		return
	}
	r.m.written.Inc()
	r.table.PutAsync(ctx, connPrefix+device, value, func(err error) {
		if err == nil {
			return
		}
		r.m.writeErrors.Inc()
		s := r.shards.of(device)
		s.mu.Lock()
		if e := s.entries[device]; e != nil {
			e.presence.told = Unknown
		}
		s.mu.Unlock()
		r.announce(device)
	})
}

// contradict has a device's state written again when another instance took it for lost although it is here, and when
// this one's record was under way while the device was deleted.
func (r *Registry) contradict(device string, p *storedPresence) {
	own := p.Node == r.opts.Node
	s := r.shards.of(device)
	s.mu.Lock()
	e := s.entries[device]
	wrong := e != nil && (own && e.presence.quiet ||
		!own && p.state != Online && e.presence.here() && !e.presence.yields(p))
	s.mu.Unlock()
	if wrong {
		r.announce(device)
	}
}
