package push

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"weir/telemetry"
	"weir/wire"
)

// returning is where a subscription wants to go on, until it has been answered.
type returning struct {
	cursor string
	at     *positions // nil: cursor is none
	// told: the client knows that its view broke, and only its alerts go on.
	told bool
	// of is who asks; nil: nobody's reading of the log is counted.
	of *account
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

// stayLocked is for a subscription whose view breaks for a reason: up to now it has heard all transitions of its alerts,
// unless it is the log of these that went on without us.
func (h *hub) stayLocked(reason string) *returning {
	if reason == resyncLog {
		return nil
	}
	return &returning{cursor: h.at.cursor(), at: h.at.clone(), told: true}
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
// missed, or at least which transitions of alerts. Each is encoded once, when the first needs it. Made under hub.mu, used
// without.
type greetings struct {
	hub   *hub
	snap  *snapshot
	state *answer // by the snapshot

	returns []*returning // by subscription; nil: a new one
	refused []string     // why a return is answered by a snapshot
	back    *catchUp     // nil: nobody comes back
	// By cursor: what was missed, and the state with what was missed of alerts.
	missed, anew map[string]*answer
}

func (v *view) greetings(snap *snapshot, joined []*subscription) *greetings {
	g := &greetings{
		hub: v.hub, snap: snap, state: v.hub.answer(snap),
		returns: make([]*returning, len(joined)), refused: make([]string, len(joined)),
		missed: make(map[string]*answer), anew: make(map[string]*answer),
	}
	for i, s := range joined {
		r := s.returning
		if r == nil {
			continue
		}
		s.returning = nil
		g.returns[i], g.refused[i] = r, r.refusal(&v.hub.at)
		if g.refused[i] == "" && !v.hub.mayComeBack(r) {
			g.refused[i] = resyncTooOld
		}
		if g.refused[i] != "" {
			continue
		}
		if g.back == nil {
			g.back = v.hub.catchUpLocked(v.patterns, snap)
		}
		g.back.askedBy(r)
		if r.told || v.selection != nil { // which series the client has in is not known
			g.refused[i] = resyncTooOld
			g.anew[r.cursor] = nil
		}
	}
	return g
}

func (h *hub) answer(snap *snapshot) *answer { return &answer{snap: snap, deflater: &h.deflater} }

// catchUp finds out what those who come back have missed, once for each cursor. Nothing is told of rows without the
// alerts of the same time.
func (g *greetings) catchUp() {
	if g.back == nil {
		return
	}
	cursors, whole := make(map[string]*positions), make(map[string]*positions)
	for i, r := range g.returns {
		if r == nil {
			continue
		}
		if _, anew := g.anew[r.cursor]; anew || g.refused[i] == "" {
			cursors[r.cursor] = r.at
		}
		if g.refused[i] == "" {
			whole[r.cursor] = r.at
		}
	}
	if err := g.back.load(context.Background(), wire.TopicAlerts, cursors); err != nil {
		g.refuse(whole, err)
		return
	}
	g.catchUpRows(whole)
	same := make(map[string]*answer)
	for text := range g.anew {
		g.anew[text] = g.tellTransitions(cursors[text], same)
	}
}

// catchUpRows answers those whose rows go on by these and their alerts.
func (g *greetings) catchUpRows(cursors map[string]*positions) {
	if err := g.back.load(context.Background(), wire.TopicUpdates, cursors); err != nil {
		g.refuse(cursors, err)
		return
	}
	for text, at := range cursors {
		m, err := g.back.since(at)
		if err != nil {
			g.refuse(map[string]*positions{text: at}, err)
			continue
		}
		resumed := *g.snap
		resumed.resumed, resumed.rows, resumed.index, resumed.alerts = true, m.rows, m.index, m.alerts
		g.missed[text] = g.hub.answer(&resumed)
	}
}

// refuse has the returns from some cursors begin anew.
func (g *greetings) refuse(cursors map[string]*positions, err error) {
	if !errors.Is(err, errTooOld) {
		g.hub.log.Warn("cannot tell what was missed; clients begin anew", "view", g.snap.view, "error", err)
	}
	for i, r := range g.returns {
		if r != nil && cursors[r.cursor] != nil && g.refused[i] == "" {
			g.refused[i], g.anew[r.cursor] = resyncTooOld, nil
		}
	}
}

// tellTransitions answers those who begin anew by the state, with the transitions of alerts that they have missed before
// the other open ones. Who has missed the same shares the answer.
func (g *greetings) tellTransitions(at *positions, same map[string]*answer) *answer {
	missed := g.back.transitions(at)
	var key []byte
	for i := range missed {
		key = append(strconv.AppendInt(key, int64(missed[i].Version), 10), missed[i].ID...)
		key = append(key, 0)
	}
	if a := same[string(key)]; a != nil {
		return a
	}
	state := *g.snap
	state.alertsResumed, state.alerts = true, withOpen(missed, g.snap.alerts)
	same[string(key)] = g.hub.answer(&state)
	return same[string(key)]
}

// withOpen are transitions followed by the open alerts that are not among them.
func withOpen(transitions, open []telemetry.Alert) []telemetry.Alert {
	among := make(map[string]bool, len(transitions))
	for i := range transitions {
		among[transitions[i].ID] = true
	}
	out := slices.Clone(transitions)
	for i := range open {
		if !among[open[i].ID] {
			out = append(out, open[i])
		}
	}
	return out
}

// frame is the answer to the i-th of those who join, whose subscription has that id.
func (g *greetings) frame(i int, id string, e encoding) frame {
	r := g.returns[i]
	if r == nil {
		return g.state.frame(id, e)
	}
	if g.refused[i] == "" {
		g.hub.m.returns[resumed].Inc()
		return g.missed[r.cursor].frame(id, e)
	}
	answer := g.state
	if a := g.anew[r.cursor]; a != nil {
		answer = a
	}
	f := answer.frame(id, e)
	if !r.told {
		g.hub.m.returns[g.refused[i]].Inc()
		again := resumeFailedFrame(g.snap.view, id, g.refused[i]).in(e)
		f.head = append(again.body, f.head...)
	}
	return f
}
