package push

import (
	"weir/telemetry"
)

// maxEnded is how many alerts that ended are remembered, so that who asks for one is told how it ended.
const maxEnded = 1000

// ended remembers alerts that have ended, the newest maxEnded. Guarded by hub.mu.
type ended struct {
	alerts map[string]telemetry.Alert
	order  []string // ids, oldest first
}

func (e *ended) add(a *telemetry.Alert) {
	if _, known := e.alerts[a.ID]; !known {
		e.order = append(e.order, a.ID)
	}
	e.alerts[a.ID] = *a
	if len(e.order) > maxEnded {
		delete(e.alerts, e.order[0])
		e.order = e.order[1:]
	}
}

// Alert returns the newest transition of an alert that is open, or ended lately.
func (s *Server) Alert(id string) (telemetry.Alert, bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if a, ok := s.hub.store.alerts[id]; ok {
		return a.Alert, true
	}
	a, ok := s.hub.store.ended.alerts[id]
	return a, ok
}

// Alerts returns the newest transitions of the alerts that are open, in no order; with ended also of those that
// ended lately.
func (s *Server) Alerts(ended bool) []telemetry.Alert {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	st := &s.hub.store
	out := make([]telemetry.Alert, 0, len(st.alerts))
	for _, a := range st.alerts {
		out = append(out, a.Alert)
	}
	if ended {
		for _, a := range st.ended.alerts {
			out = append(out, a)
		}
	}
	return out
}

// WatchAlert has fn called for each transition of an alert until stop. fn must not block, nor call the Server.
func (s *Server) WatchAlert(id string, fn func(*telemetry.Alert)) (stop func()) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watches == nil {
		h.watches = make(map[string]map[*func(*telemetry.Alert)]struct{})
	}
	if h.watches[id] == nil {
		h.watches[id] = make(map[*func(*telemetry.Alert)]struct{})
	}
	h.watches[id][&fn] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watches[id], &fn)
		if len(h.watches[id]) == 0 {
			delete(h.watches, id)
		}
	}
}
