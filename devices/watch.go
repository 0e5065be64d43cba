package devices

import (
	"context"
	"encoding/json"
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

func (q *queue) lists(budget int) (leaving, changed []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for d := range q.leaving {
		leaving = append(leaving, d)
	}
	for d := range q.changed {
		if len(changed) >= budget {
			break
		}
		changed = append(changed, d)
		delete(q.changed, d)
	}
	return leaving, changed
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

// step looks at those that are leaving and writes what has changed.
func (r *Registry) step(ctx context.Context, budget int) {
	leaving, _ := r.queue.lists(0)
	for _, device := range leaving {
		if r.judge(device) {
			r.queue.mu.Lock()
			delete(r.queue.leaving, device)
			r.queue.mu.Unlock()
		}
	}
	_, changed := r.queue.lists(budget)
	for _, device := range changed {
		r.write(ctx, device)
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
// instance to say: that a device is gone is said only by who had it, or when that one is gone itself.
func (r *Registry) write(ctx context.Context, device string) {
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
		return
	}
	p := &e.presence
	foreign := known != nil && known.Node != r.opts.Node
	orphan := foreign && r.dead(known.Node)
	if foreign && !orphan && p.yields(known) {
		p.told = p.state // the device is the other's
		s.mu.Unlock()
		return
	}
	if p.told == p.state && known != nil && known.state == p.state && !orphan {
		s.mu.Unlock()
		return
	}
	if p.toldAt != 0 && now-p.toldAt < r.cfg.ReconnectGrace.Microseconds() {
		s.mu.Unlock()
		r.announce(device)
		return
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
