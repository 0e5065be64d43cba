package window

// A session is a pane that begins with its first reading and grows with the next ones. Sessions that may still
// grow or join are kept side by side until the watermark has passed the end of the first plus grace.

// addSession takes a reading of a session window, after closeSessions for the watermark.
func (s *State) addSession(w *Window, t int64, v float64, watermark int64, out []Result) []Result {
	if s.begun && t < s.next {
		s.missed++
		return out
	}
	i, _ := s.find(w, t)
	before := i > 0 && t-s.panes[i-1].LastTime < w.pane
	after := i < len(s.panes) && s.panes[i].Start-t < w.pane
	switch {
	case before && after: // the reading joins two sessions
		s.panes[i-1].add(t, v)
		s.panes[i-1].Merge(&s.panes[i])
		s.remove(i)
	case before:
		s.panes[i-1].add(t, v)
	case after:
		s.panes[i].Start = t
		s.panes[i].add(t, v)
	case t+w.pane <= clamp(watermark)-w.grace:
		s.missed++ // it would be a session of its own that is over
	default:
		for ; len(s.panes) >= w.maxPanes && i > 0; i-- {
			out = s.closeSessions(w, s.panes[0].LastTime+w.pane, false, out)
		}
		if len(s.panes) >= w.maxPanes {
			s.missed++
			return out
		}
		s.insert(w, i, t).add(t, v)
	}
	return out
}

// closeSessions closes the sessions whose last reading is a gap or more before until.
func (s *State) closeSessions(w *Window, until int64, gap bool, out []Result) []Result {
	n := 0
	for n < len(s.panes) && s.panes[n].LastTime+w.pane <= until {
		p := &s.panes[n]
		s.begun, s.next = true, p.LastTime+w.pane
		out = w.appendResult(out, p, p.Start, s.next, gap)
		n++
	}
	if n > 0 {
		s.dropBefore(s.next)
	}
	return out
}
