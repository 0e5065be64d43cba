package device

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// add writes an update of n readings that continues its series, and returns its version.
func (s *liveServer) add(series string, n int, value float64) Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := telemetry.NoVersion
	if before := s.state[series]; before != nil {
		since = before.Version
	} else {
		s.order = append(s.order, series)
	}
	at := int64(len(s.log)+1) * 1000
	u := &Update{
		Series: series, Since: since, Version: Version(len(s.log)+1) * 10, N: uint64(n),
		FirstTime: at, LastTime: at, Last: value, Min: value, Max: value, Sum: value * float64(n), EmitTime: at, IngestTime: at,
	}
	s.log = append(s.log, logged{update: u})
	s.state[series] = u
	return u.Version
}

// alert writes a transition.
func (s *liveServer) alert(id, series string, phase telemetry.Phase) {
	s.mu.Lock()
	a := Alert{ID: id, Series: series, Phase: phase, Version: Version(len(s.log)+1) * 10}
	s.log = append(s.log, logged{alert: &a})
	if s.alerts[id] = a; phase == telemetry.Resolved {
		delete(s.alerts, id)
	}
	s.mu.Unlock()
	for _, p := range s.open() {
		p.mu.Lock()
		hears := slices.ContainsFunc(mapKeys(p.subs), func(id string) bool { return matches(p.want[id], series) })
		p.mu.Unlock()
		if hears {
			p.write(&wire.AlertMsg{Alert: a})
		}
	}
}

func mapKeys[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func matches(pattern, series string) bool {
	p, err := telemetry.ParsePattern(pattern)
	return err == nil && p.Match(series)
}

func (s *liveServer) open() (out []*livePeer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		select {
		case <-p.ended:
		default:
			out = append(out, p)
		}
	}
	return out
}

func (s *liveServer) indexLocked(series string) int { return slices.Index(s.order, series) }

func (s *liveServer) cursorLocked(at int) string { return s.epoch + ":" + strconv.Itoa(at) }

// mergedLocked are rows of what came from a place of the log on, and the transitions.
func (s *liveServer) mergedLocked(pattern string, from int) (rows []wire.Row, alerts []Alert) {
	at := make(map[string]int)
	for _, e := range s.log[from:] {
		switch {
		case e.alert != nil:
			if matches(pattern, e.alert.Series) {
				alerts = append(alerts, *e.alert)
			}
		case !matches(pattern, e.update.Series):
		default:
			u := *e.update
			i, known := at[u.Series]
			if !known {
				at[u.Series] = len(rows)
				rows = append(rows, wire.Row{I: s.indexLocked(u.Series), Update: &u})
				continue
			}
			if err := rows[i].Update.Merge(&u); err != nil {
				panic(err)
			}
		}
	}
	return rows, alerts
}

func modelEntry(i int, series string) wire.Entry {
	return wire.Entry{I: i, Series: series, Meta: &SeriesMeta{Unit: "°C", Tags: map[string]string{"of": series}}}
}

func (p *livePeer) subscribe(r *wire.Subscribe) {
	s := p.s
	pattern := r.Patterns[0].String()
	s.mu.Lock()
	epoch, offset, _ := strings.Cut(r.Cursor, ":")
	from, err := strconv.Atoi(offset)
	m := &wire.Subscribed{ID: r.ID, View: p.next(), MaxHz: 20, Cursor: s.cursorLocked(len(s.log)), PushTime: 1}
	for i, series := range s.order {
		if matches(pattern, series) {
			m.Dictionary = append(m.Dictionary, modelEntry(i, series))
		}
	}
	reason := ""
	switch {
	case r.Cursor == "":
	case epoch != s.epoch:
		reason = "epoch_changed"
	case err != nil || from < s.oldest:
		reason = "cursor_too_old"
	default:
		m.Resumed = true
		m.Rows, m.Alerts = s.mergedLocked(pattern, from)
	}
	if !m.Resumed {
		for i, series := range s.order {
			if matches(pattern, series) {
				m.Rows = append(m.Rows, wire.Row{I: i, Update: s.state[series]})
			}
		}
		for _, id := range mapKeys(s.alerts) {
			if matches(pattern, s.alerts[id].Series) {
				m.Alerts = append(m.Alerts, s.alerts[id])
			}
		}
	}
	p.mu.Lock()
	p.subs[r.ID], p.view[r.ID], p.want[r.ID] = len(s.log), m.View, pattern
	p.told[m.View] = make(map[string]bool)
	for _, e := range m.Dictionary {
		p.told[m.View][e.Series] = true
	}
	p.mu.Unlock()
	s.mu.Unlock()
	if reason != "" {
		p.write(&wire.Resync{View: m.View, ID: r.ID, Reason: reason})
	}
	p.write(m)
}

// flush tells the connections what is new.
func (s *liveServer) flush() {
	for _, p := range s.open() {
		p.flush()
	}
}

func (p *livePeer) flush() {
	s := p.s
	var out []wire.ServerMessage
	s.mu.Lock()
	p.mu.Lock()
	for _, id := range mapKeys(p.subs) {
		rows, _ := s.mergedLocked(p.want[id], p.subs[id])
		p.subs[id] = len(s.log)
		added := &wire.SeriesMsg{View: p.view[id]}
		for _, r := range rows {
			if told := p.told[added.View]; !told[r.Update.Series] {
				told[r.Update.Series] = true
				added.Added = append(added.Added, modelEntry(r.I, r.Update.Series))
			}
		}
		if len(added.Added) > 0 {
			out = append(out, added)
		}
		if len(rows) > 0 {
			out = append(out, &wire.Updates{View: p.view[id], Cursor: s.cursorLocked(len(s.log)), PushTime: time.Now().UnixMicro(), Rows: rows})
		}
	}
	p.mu.Unlock()
	s.mu.Unlock()
	for _, m := range out {
		p.write(m)
	}
}
