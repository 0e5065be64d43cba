package rooms

import (
	"context"
	"time"

	"weir/wire"
)

// A member leaves with a record. Where none came, because its instance is gone or could not store it, sweep writes it: so the
// members are what the log says, for all instances, also for those that read it later.

const (
	sweepEvery = time.Second
	// orphanAgain is how long it takes at most until a record is stored and read: then it is written again.
	orphanAgain = 5 * time.Second
	// maxOrphans bounds the records of one sweep.
	maxOrphans = 1000
)

// orphan is a member of this instance that no session stands behind, or, if none is named, all members of an instance that
// is not heard of.
type orphan struct{ room, node, session string }

func (o orphan) record() *wire.RoomRecord {
	if o.session != "" {
		return &wire.RoomRecord{Kind: wire.RecordLeave, Room: o.room, Session: o.session}
	}
	return &wire.RoomRecord{Kind: wire.RecordGone, Room: o.room, Node: o.node}
}

// sweep has members leave that cannot do so themselves.
func (h *Hub) sweep(ctx context.Context, now time.Time) {
	if !h.isReady() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	for _, o := range h.orphansDue(now) {
		h.write(ctx, o.record(), nil)
	}
}

// orphansDue are those for which a record is to be written now.
func (h *Hub) orphansDue(now time.Time) (due []orphan) {
	up := map[string]bool{}
	alive := func(node string) bool {
		is, known := up[node]
		if !known {
			is = h.opts.Alive(node)
			up[node] = is
		}
		return is
	}
	then := make(map[orphan]time.Time)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, st := range h.states {
		for name, r := range st.rooms {
			for session, m := range r.members {
				o := orphan{room: name, node: m.node}
				switch here := m.node == h.opts.Node; {
				case here && h.sessions[session] == nil:
					o.session = session
				case here || alive(m.node):
					continue
				}
				if _, seen := then[o]; seen {
					continue
				}
				at, known := h.orphans[o]
				if !known && o.session != "" {
					at = now.Add(orphanAgain) // it may just be leaving
				}
				if !at.After(now) && len(due) < maxOrphans {
					due, at = append(due, o), now.Add(orphanAgain)
				}
				then[o] = at
			}
		}
	}
	h.orphans = then
	return due
}

// takenForGone has this instance say again which sessions are in rooms here, if others have taken it for gone.
func (h *Hub) takenForGone(r *wire.RoomRecord) {
	if r.Node != h.opts.Node {
		return
	}
	select {
	case h.missed <- struct{}{}:
	default:
	}
}
