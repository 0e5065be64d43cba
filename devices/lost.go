package devices

import (
	"context"
	"time"
)

// missed is for how long, beyond the grace, an instance has to be missing until its devices are called offline: so
// much time they have to come to another one, and the instance to be heard again after a standstill.
const missed = 10 * time.Second

// look notes which of the instances that presence was written by are missing.
func (r *Registry) look() {
	missing := make(map[string]int64)
	seen := make(map[string]bool) // whether it is missing
	now := r.up()
	r.known.RLock()
	for _, p := range r.known.conns {
		if _, done := seen[p.Node]; !done {
			seen[p.Node] = p.Node != r.opts.Node && r.opts.Alive != nil && !r.opts.Alive(p.Node)
		}
	}
	r.known.RUnlock()
	for node, gone := range seen {
		if !gone {
			continue
		}
		since, before := r.missing[node]
		if !before {
			since = now
		}
		missing[node] = since
	}
	r.missing = missing
}

// dead reports whether an instance has been missing for so long that its devices are nobody's.
func (r *Registry) dead(node string) bool {
	since, missing := r.missing[node]
	return missing && r.up()-since >= (r.cfg.ReconnectGrace+missed).Microseconds()
}

// mine: it is for this instance to correct a record, as it wrote it, or as who did is gone.
func (r *Registry) mine(p *storedPresence) bool { return p.Node == r.opts.Node || r.dead(p.Node) }

// sweepWrites is how many records may be written for one sweep.
func (r *Registry) sweepWrites() int { return r.cfg.PresenceWrites * int(sweep/time.Second) }

// bury has those records corrected that say of devices that they are there: of instances that are gone, and of this
// one if it knows otherwise, as after a start that they have not come back after.
func (r *Registry) bury() {
	type claim struct {
		device string
		p      *storedPresence
	}
	var claims []claim
	r.known.RLock()
	for device, p := range r.known.conns {
		if p.state != Offline && r.mine(p) {
			claims = append(claims, claim{device, p})
		}
	}
	r.known.RUnlock()
	left := r.sweepWrites()
	for _, c := range claims {
		if left == 0 {
			return
		}
		if c.p.Node != r.opts.Node || r.differs(c.device, c.p) {
			r.announce(c.device)
			left--
		}
	}
}

// differs reports whether a device is otherwise than this instance wrote.
func (r *Registry) differs(device string, p *storedPresence) bool {
	s := r.shards.of(device)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[device]
	return e == nil || e.presence.quiet || e.presence.state != p.state
}

// correct ends what a record says of a device that this instance knows nothing of (any more). When it was deleted
// (quiet), the record was under way and is deleted, too; otherwise the device is lost.
func (r *Registry) correct(ctx context.Context, device string, p *storedPresence, quiet bool) {
	switch {
	case quiet && p.Node == r.opts.Node:
		r.table.PutAsync(ctx, connPrefix+device, nil, nil)
	case quiet, p.state != Online && p.state != Stale, !r.mine(p), r.up() < startGrace.Microseconds():
	default:
		r.put(ctx, device, &storedPresence{
			V: layout, State: Offline.String(), Since: r.micros(), Node: r.opts.Node, Transport: p.Transport})
	}
}
