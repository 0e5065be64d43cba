package push

import (
	"slices"
	"strings"

	"weir/telemetry"
	"weir/wire"
)

// A view that has lost more series than this, and a quarter of its size, begins anew: their indices take memory.
const maxGone = 64

// forget removes the series of a device that was deleted, but those that have gone on since. The views that showed
// them tell so. next is the offset of weir.updates after the word of it.
func (h *hub) forget(partition int, device string, deleted telemetry.Version, next int64) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.store.remove(device, deleted) {
		for _, m := range s.members {
			m.view.remove(m.idx)
			h.touchLocked(m.view)
		}
	}
	h.at.move(&h.at.updates, partition, next)
	h.m.series.Store(int64(len(h.store.series)))
	h.flushDirtyLocked(now)
}

// remove takes the series of a device up to a version out of the store.
func (st *store) remove(device string, upTo telemetry.Version) (gone []*series) {
	for _, s := range st.withPrefix(device + "/") {
		if strings.IndexByte(s.name[len(device)+1:], '/') < 0 && s.last.Version <= upTo {
			s.gone = true
			delete(st.series, s.name)
			gone = append(gone, s)
		}
	}
	if len(gone) > 0 { // withPrefix has sorted all of them
		st.sorted = slices.DeleteFunc(st.sorted, func(s *series) bool { return s.gone })
		st.unsorted = len(st.sorted)
	}
	return gone
}

// count is how many series the view has.
func (v *view) count() int { return len(v.members) - v.gone }

// remove takes out a series that is gone, with what was not told of it. Its index is not used again: should the series
// come back, it gets another one, and begins as a new one.
func (v *view) remove(idx uint32) {
	at := int(idx)
	if v.selection != nil {
		at = v.selection.remove(idx)
	}
	v.members[idx] = nil
	v.gone++
	v.hub.m.viewRows.Add(-1)
	if v.gone > max(maxGone, v.count()/4) && v.broken == "" {
		v.broken = resyncRemoved
	}
	if at < 0 { // it is not in the dictionary
		return
	}
	v.own()
	v.dictionary[at] = wire.Entry{I: int(idx)}
	v.pending.forget(idx)
	if at < v.told {
		v.pending.removed = append(v.pending.removed, idx)
	}
}

// forget drops what there is of a series.
func (g *gathered) forget(idx uint32) {
	g.remove(idx)
	g.left = slices.DeleteFunc(g.left, func(other uint32) bool { return other == idx })
}

// named are the entries of a dictionary but those of series that are gone, which have no name.
func named(entries []wire.Entry) []wire.Entry {
	isGone := func(e wire.Entry) bool { return e.Series == "" }
	if !slices.ContainsFunc(entries, isGone) {
		return entries
	}
	return slices.DeleteFunc(slices.Clone(entries), isGone)
}

// shrink makes the view's dictionary anew without the series that are gone. Readers keep the one they have; all
// subscribers have to begin anew.
func (v *view) shrink() {
	before := v.members
	v.dictionary, v.members, v.told, v.gone = nil, nil, 0, 0
	for _, s := range before {
		if s == nil {
			continue
		}
		for i := range s.members {
			if s.members[i].view == v {
				s.members[i].idx = uint32(len(v.members))
			}
		}
		v.members = append(v.members, s)
		if v.selection == nil {
			v.enter(uint32(len(v.members) - 1))
		}
	}
}
