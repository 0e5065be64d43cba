package devices

import (
	"container/heap"
	"context"
)

// shed deletes the presence of devices that are offline and have no metadata: when that has been so for longer than
// the retention, and the oldest when there are more than MaxTracked. One sweep deletes a bounded number.
func (r *Registry) shed(ctx context.Context) {
	for _, device := range r.stalest(r.sweepWrites()) {
		if r.present(device) {
			continue
		}
		r.known.Lock()
		r.known.shed[device] = struct{}{}
		r.known.Unlock()
		r.m.shed.Inc()
		r.table.PutAsync(ctx, connPrefix+device, nil, func(err error) {
			if err != nil {
				r.unshed(device)
			}
		})
	}
}

// unshed reports whether a deletion of the device's presence was by this instance, for its age, and is done.
func (r *Registry) unshed(device string) bool {
	r.known.Lock()
	defer r.known.Unlock()
	_, ok := r.known.shed[device]
	delete(r.known.shed, device)
	return ok
}

// present: this instance has the device, or is about to say something of it.
func (r *Registry) present(device string) bool {
	s := r.shards.of(device)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[device]
	return e != nil && e.presence.alive()
}

// stalest finds up to most devices whose presence may go.
func (r *Registry) stalest(most int) []string {
	before := r.micros() - r.cfg.PresenceRetention.Microseconds()
	r.known.RLock()
	defer r.known.RUnlock()
	excess := len(r.known.conns) - r.cfg.MaxTracked
	aged := 0
	var oldest latest
	for device, p := range r.known.conns {
		if p.state != Offline || r.known.metas[device] != nil || !r.mine(p) {
			continue
		}
		if _, under := r.known.shed[device]; under {
			excess-- // its deletion is on its way
			continue
		}
		if old := p.Since < before; old {
			aged++
		} else if excess <= 0 {
			continue
		}
		switch {
		case len(oldest) < most:
			heap.Push(&oldest, offline{device, p.Since})
		case p.Since < oldest[0].since:
			oldest[0] = offline{device, p.Since}
			heap.Fix(&oldest, 0)
		}
	}
	for len(oldest) > max(aged, excess) {
		heap.Pop(&oldest)
	}
	devices := make([]string, len(oldest))
	for i := range oldest {
		devices[i] = oldest[i].device
	}
	return devices
}

type offline struct {
	device string
	since  int64
}

// latest is a heap with the device on top that has been offline for the shortest time.
type latest []offline

func (l latest) Len() int           { return len(l) }
func (l latest) Less(i, j int) bool { return l[i].since > l[j].since }
func (l latest) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *latest) Push(x any)        { *l = append(*l, x.(offline)) }
func (l *latest) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}
