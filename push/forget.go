package push

import (
	"slices"
	"strings"

	"weir/telemetry"
)

// forget removes the series of a device that was deleted, but those that have gone on since. The views that showed
// them begin anew without them. next is the offset of weir.updates after the word of it.
func (h *hub) forget(partition int, device string, deleted telemetry.Version, next int64) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	var views []*view
	for _, s := range h.store.remove(device, deleted) {
		for _, m := range s.members {
			if !slices.Contains(views, m.view) {
				views = append(views, m.view)
			}
		}
	}
	for _, v := range views {
		v.shrink()
		v.broken = resyncRemoved
		h.touchLocked(v)
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

// shrink makes the view's dictionary anew without the series that are gone. Readers keep the one they have; all
// subscribers have to begin anew.
func (v *view) shrink() {
	before := v.members
	v.dictionary, v.members, v.told = nil, nil, 0
	if v.selection != nil { // it has a row for each; restart fills it
		v.selection = v.hub.selection(&v.key)
	}
	for _, s := range before {
		if s.gone {
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
	v.hub.m.viewRows.Add(int64(len(v.members) - len(before)))
}
