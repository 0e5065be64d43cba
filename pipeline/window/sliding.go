package window

// addSliding takes a reading of a sliding window and appends the result as of it, unless a newer reading is
// there. Panes begin at multiples of their width, and the last 32 of them, that of t included, are the window:
// every reading in (t − 31/32·size, t], and none at or before t − size.
func (s *State) addSliding(w *Window, t int64, v float64, out []Result) []Result {
	n := len(s.panes)
	if n == 0 || t-s.panes[n-1].Start >= w.pane {
		start := w.paneStart(t)
		s.dropBefore(start - (paneShare-1)*w.pane)
		s.insert(w, len(s.panes), start).add(t, v)
		s.scratch().fresh = false
		return s.emitSliding(w, t, out)
	}
	if newest := &s.panes[n-1]; t >= newest.Start {
		late := t < newest.LastTime
		newest.add(t, v)
		if late {
			return out
		}
		return s.emitSliding(w, t, out)
	}
	start := w.paneStart(t)
	if start < s.panes[n-1].Start-(paneShare-1)*w.pane {
		s.missed++
		return out
	}
	if i, found := s.find(w, t); found {
		s.panes[i-1].add(t, v)
	} else {
		s.insert(w, i, start).add(t, v)
	}
	s.scratch().fresh = false
	return out
}

// emitSliding appends the result of the window that ends with the newest reading, at t. What all panes but the
// newest hold is merged once a pane.
func (s *State) emitSliding(w *Window, t int64, out []Result) []Result {
	newest := len(s.panes) - 1
	p := &s.panes[newest]
	if newest > 0 {
		work := s.scratch()
		if !work.fresh {
			work.older.assign(&s.panes[0])
			for i := 1; i < newest; i++ {
				work.older.Merge(&s.panes[i])
			}
			work.fresh = true
		}
		work.sum.assign(&work.older)
		work.sum.Merge(p)
		p = &work.sum
	}
	return w.appendResult(out, p, t-w.size, t, false)
}
