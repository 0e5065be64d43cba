package push

import (
	"context"
	"errors"
)

// returning is where a subscription wants to go on, until it has been answered.
type returning struct {
	cursor string
	at     *positions // nil: cursor is none
}

// comeBack reads the cursor that a subscription brings; without one there is nothing to come back to.
func comeBack(cursor string) *returning {
	if cursor == "" {
		return nil
	}
	at, err := parseCursor(cursor)
	if err != nil {
		at = nil
	}
	return &returning{cursor: cursor, at: at}
}

// refusal is why a cursor cannot be gone on from, as far as that is known without reading anything.
func (r *returning) refusal(now *positions) string {
	switch {
	case r.at == nil:
		return resyncInvalid
	case r.at.epoch != now.epoch:
		return resyncEpoch
	case !r.at.reached(now):
		return resyncInvalid // of another number of partitions, or from a log that was longer
	}
	return ""
}

// greetings are the answers to those who join a view together: the snapshot, and for those who come back what they have
// missed. Each is encoded once, when the first needs it. Made under hub.mu, used without.
type greetings struct {
	hub   *hub
	snap  *snapshot
	state *answer // by the snapshot

	returns []*returning // by subscription; nil: a new one
	refused []string     // why a return is answered by the snapshot
	back    *catchUp     // nil: nobody comes back
	missed  map[string]*answer
}

func (v *view) greetings(snap *snapshot, joined []*subscription) *greetings {
	g := &greetings{hub: v.hub, snap: snap, state: &answer{snap: snap, deflater: &v.hub.deflater}, returns: make([]*returning, len(joined)), refused: make([]string, len(joined))}
	for i, s := range joined {
		r := s.returning
		if r == nil {
			continue
		}
		s.returning = nil
		g.returns[i], g.refused[i] = r, r.refusal(&v.hub.at)
		if v.selection != nil && g.refused[i] == "" {
			g.refused[i] = resyncTooOld // which series the client has in is not known
		}
		if g.refused[i] == "" && g.back == nil {
			g.back = &catchUp{
				window: v.hub.window, readBack: v.hub.readBack, to: v.hub.at.clone(), patterns: v.patterns, rows: snap.rows,
			}
		}
	}
	return g
}

// catchUp merges what those who come back have missed, once for each cursor.
func (g *greetings) catchUp() {
	if g.back == nil {
		return
	}
	cursors := make(map[string]*positions)
	var all []*positions
	for i, r := range g.returns {
		if r != nil && g.refused[i] == "" && cursors[r.cursor] == nil {
			cursors[r.cursor] = r.at
			all = append(all, r.at)
		}
	}
	g.missed = make(map[string]*answer, len(cursors))
	failure := g.back.load(context.Background(), all)
	for text, at := range cursors {
		err := failure
		if err == nil {
			err = g.tellMissed(text, at)
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, errTooOld) {
			g.hub.log.Warn("cannot tell what was missed; clients begin anew", "view", g.snap.view, "error", err)
		}
		for i, r := range g.returns {
			if r != nil && r.cursor == text {
				g.refused[i] = resyncTooOld
			}
		}
	}
}

func (g *greetings) tellMissed(cursor string, at *positions) error {
	m, err := g.back.since(at)
	if err != nil {
		return err
	}
	resumed := *g.snap
	resumed.resumed, resumed.rows, resumed.index, resumed.alerts = true, m.rows, m.index, m.alerts
	g.missed[cursor] = &answer{snap: &resumed, deflater: &g.hub.deflater}
	return nil
}

// frame is the answer to the i-th of those who join, whose subscription has that id.
func (g *greetings) frame(i int, id string, e encoding) frame {
	r := g.returns[i]
	if r != nil && g.refused[i] == "" {
		g.hub.m.returns[resumed].Inc()
		return g.missed[r.cursor].frame(id, e)
	}
	f := g.state.frame(id, e)
	if r != nil {
		g.hub.m.returns[g.refused[i]].Inc()
		again := resumeFailedFrame(g.snap.view, id, g.refused[i]).in(e)
		f.head = append(again.body, f.head...)
	}
	return f
}
