package push

import (
	"slices"
	"time"

	"weir/telemetry"
)

// welcomeOrQueue makes the snapshot now, or when an encoder is free.
func (v *view) welcomeOrQueue() {
	e := &v.hub.encoders
	if e.take() {
		v.welcome()
		return
	}
	v.queued = true
	e.queue = append(e.queue, func(now time.Time) {
		v.queued = false
		if len(v.waiting) > 0 {
			v.flush(now)
		}
	})
}

// welcome takes the view's snapshot for all who wait and makes them subscribers. Nothing is pending at
// this moment, so what the snapshot tells and what later frames tell meet exactly; so does what those are told who
// come back with a cursor. Encoding happens elsewhere; a place in each client's lossless lane is kept for it.
func (v *view) welcome() {
	snap := v.snapshot()
	places := make([]*item, len(v.waiting))
	for i, s := range v.waiting {
		places[i] = s.client.reserve(s, len(v.dictionary))
	}
	joined := v.waiting
	g := v.greetings(snap, joined)
	v.subs = append(v.subs, joined...)
	v.waiting = nil
	v.told = len(v.dictionary)

	h := v.hub
	h.wg.Go(func() {
		defer h.releaseEncoder()
		wanted := func(it *item) bool { return it.opens.client.wants(it) }
		if !slices.ContainsFunc(places, wanted) {
			return
		}
		g.catchUp()
		for i, s := range joined {
			s.client.fill(places[i], g.frame(i, s.id, s.client.encoding))
		}
	})
}

func (v *view) snapshot() *snapshot {
	snap := &snapshot{
		view: v.number, hz: v.key.hz, columns: v.key.columns, dictionary: v.lend(),
		alerts: v.hub.openAlertsLocked(v.patterns),
		cursor: v.hub.at.cursor(), pushed: v.flushed.UnixMicro(),
	}
	if v.selection != nil {
		snap.index, snap.rows = v.selection.told()
		return snap
	}
	snap.rows = make([]telemetry.Update, 0, v.count())
	for i, s := range v.members {
		if s == nil {
			continue
		}
		snap.rows = append(snap.rows, s.last)
		if v.gone > 0 {
			snap.index = append(snap.index, uint32(i))
		}
	}
	return snap
}

// openAlertsLocked returns the open alerts whose series one of the patterns selects.
func (h *hub) openAlertsLocked(patterns []telemetry.Pattern) []telemetry.Alert {
	var out []telemetry.Alert
	for id := range h.store.alerts {
		a := h.store.alerts[id]
		for _, p := range patterns {
			if p.Match(a.Series) {
				out = append(out, a.Alert)
				break
			}
		}
	}
	return out
}
