//go:build soak

package soak

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	device "weir/sdk/go"
	"weir/wire"
)

// soakStreams is how many clients read server-sent events.
const soakStreams = 10

// streamViewer is a client of GET /v1/events that checks all it is told, as a viewer does. What came after the newest id is told
// again when it comes back with that: rows it takes back, so that these must continue what the id stands for; alerts it knows.
type streamViewer struct {
	ledger
	callee
	way    way
	line   *line
	stream *eventStream

	// Of the goroutine that reads.
	undo    map[string]chainEnd // by series with rows since the newest id
	session string
	room    int64 // version of the newest message of its room
	entered bool
}

// chainEnd is where a series stood.
type chainEnd struct {
	version device.Version
	known   bool // there was one
	counted bool
	count   uint64
}

func (p *pushSoak) viewStream(i int) *streamViewer {
	w := p.wayOf(i)
	w.Name, w.Rooms = fmt.Sprint("stream", i), w.Rooms[:1]
	v := &streamViewer{ledger: newLedger(w), way: w, line: &line{addrs: p.inSomeOrder}, undo: map[string]chainEnd{}}
	v.name = w.Name
	v.told.Said[w.Rooms[0]] = nil
	v.stream = newEventStream(v.line, p.admin)
	return v
}

// watch follows until ctx ends.
func (v *streamViewer) watch(ctx context.Context) {
	if err := v.stream.run(ctx, v.ask, v.event); err != nil {
		v.wrong("%v", err)
	}
}

func (v *streamViewer) ask() url.Values {
	v.hangUp()
	q := url.Values{"subscribe": v.way.Patterns, "max_hz": {strconv.FormatFloat(v.way.MaxHz, 'g', -1, 64)}, "join": v.way.Rooms}
	if len(v.way.Fields) > 0 {
		q.Set("fields", strings.Join(v.way.Fields, ","))
	}
	if v.entered {
		q.Set("after", strconv.FormatInt(v.room, 10))
	}
	return q
}

func (v *streamViewer) event(m wire.ServerMessage, id string) {
	switch m := m.(type) {
	case *wire.Welcome:
		v.session = m.Session
		v.open(m.Session, time.Now())
	case *wire.Subscribed:
		v.subscribed(m)
		v.at(id, m.Cursor)
	case *wire.Updates:
		v.rows(m.Rows)
		v.take(&device.Changes{Rows: updatesOf(m.Rows)})
		v.at(id, m.Cursor)
	case *wire.AlertMsg:
		v.take(&device.Changes{Alerts: []device.Alert{m.Alert}})
	case *wire.Resync:
		v.stream.last = ""
	case *wire.Joined:
		if m.Gap {
			v.wrong("%s: messages were missed", m.Room)
		}
		for _, said := range m.Messages {
			v.hear(m.Room, said)
		}
		v.entered, v.room = true, max(v.room, m.Version)
	case *wire.RoomMessage:
		if m.Room == "" {
			v.called(v.session, m)
			return
		}
		v.hear(m.Room, m)
		v.room = m.Version
	case *wire.ErrorMsg:
		v.wrong("the server: %s: %s", m.Code, m.Message)
	}
}

func (v *streamViewer) subscribed(m *wire.Subscribed) {
	c := &device.Changes{Resumed: m.Resumed, Reset: !m.Resumed, Rows: updatesOf(m.Rows), Alerts: m.Alerts}
	if m.Resumed {
		c.Alerts = v.goBack(m.Alerts)
	}
	clear(v.undo)
	v.rows(m.Rows)
	v.take(c)
}

// rows notes where series stood that are about to be told of.
func (v *streamViewer) rows(rows []wire.Row) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range rows {
		series := r.Update.Series
		if _, noted := v.undo[series]; noted {
			continue
		}
		var e chainEnd
		e.version, e.known = v.told.Versions[series]
		e.count, e.counted = v.told.Known[series]
		v.undo[series] = e
	}
}

// goBack takes back the rows since the newest id, and returns the alerts of those told that are new.
func (v *streamViewer) goBack(told []device.Alert) (alerts []device.Alert) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for series, e := range v.undo {
		delete(v.told.Versions, series)
		delete(v.told.Known, series)
		if e.known {
			v.told.Versions[series] = e.version
		}
		if e.counted {
			v.told.Known[series] = e.count
		}
	}
	for _, a := range told {
		if at, known := v.newest[a.ID]; !known || a.Version > at {
			alerts = append(alerts, a)
		}
	}
	return alerts
}

// at notes that nothing is pending, if the event has an id.
func (v *streamViewer) at(id, cursor string) {
	if id != cursor {
		v.wrong("an event has the id %q and the cursor %q", id, cursor)
	}
	if id != "" {
		clear(v.undo)
	}
}

func updatesOf(rows []wire.Row) []device.Update {
	out := make([]device.Update, len(rows))
	for i, r := range rows {
		out[i] = *r.Update
	}
	return out
}

// look shows what it was told so far.
func (v *streamViewer) look(see func(*told) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.told.Cuts, v.told.State = v.line.cuts.Load(), "follows events"
	return see(&v.told)
}

func (v *streamViewer) beginsLocked() error {
	if !v.begun {
		return fmt.Errorf("%s has no snapshot", v.told.Name)
	}
	return nil
}
