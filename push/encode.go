package push

import (
	"encoding/json"
	"slices"

	"weir/telemetry"
	"weir/wire"
)

// rows is what an updates frame says.
type rows struct {
	view       uint32
	columns    wire.ColumnSet
	dictionary []wire.Entry // entries from on are news to the reader
	from       int
	gathered   *gathered
	cursor     string
	pushed     int64
	size       int       // guess
	members    []*series // by index, of a frame that is encoded under hub.mu; nil: its rows are nobody else's
}

// rowBytes is a guess at the length of an encoded row.
const rowBytes = 192

// frame encodes rows as text or protobuf: see variants.frame.
func (r *rows) frame(e encoding) frame {
	if e == asProto {
		return r.proto()
	}
	return updatesFrame(*r)
}

// series is what goes before: entries of the dictionary; nil if there are none to tell.
func (r *rows) series() *wire.SeriesMsg {
	if r.from == len(r.dictionary) && len(r.gathered.changed)+len(r.gathered.removed) == 0 {
		return nil
	}
	news := r.dictionary[r.from:]
	m := &wire.SeriesMsg{View: int(r.view), Added: named(news)}
	for _, idx := range r.gathered.removed {
		if !slices.ContainsFunc(news, func(e wire.Entry) bool { return e.I == int(idx) }) { // it was told of
			m.Removed = append(m.Removed, int(idx))
		}
	}
	if m.Changed = changedOf(r.dictionary, r.gathered.changed, r.from); len(m.Added)+len(m.Changed)+len(m.Removed) == 0 {
		return nil
	}
	return m
}

// updatesFrame encodes rows as text messages, preceded by the series that they may name for the first time.
func updatesFrame(r rows) frame {
	f := frame{rows: r.gathered.len()}
	if s := r.series(); s != nil {
		f.head = message(opText, s.Append(newPayload(64*len(s.Added))), 0)
	}
	b := newPayload(max(r.size, rowBytes*f.rows) + rowBytes)
	b = wire.AppendUpdatesHead(b, int(r.view), r.cursor, r.pushed)
	for i := range r.gathered.rows {
		b = r.appendRow(b, r.gathered.index[i], &r.gathered.rows[i])
	}
	f.body = message(opText, wire.AppendUpdatesTail(b, r.gathered.left...), 0)
	return f
}

func alertFrame(a *telemetry.Alert) frame {
	return forMany(textFrame((&wire.AlertMsg{Alert: *a}).Append(nil)))
}

func resyncFrame(view uint32, reason string) frame {
	return forMany(textFrame((&wire.Resync{View: int(view), Reason: reason}).Append(nil)))
}

// resumeFailedFrame says that a subscription begins anew instead of going on from its cursor.
func resumeFailedFrame(view uint32, id, reason string) frame {
	return textFrame((&wire.Resync{View: int(view), ID: id, Reason: reason}).Append(nil))
}

func errorFrame(err *wire.Error, id string) frame {
	return textFrame((&wire.ErrorMsg{Error: *err, ID: id}).Append(nil))
}

// snapshot is the state of a view at the moment some subscribers join it.
type snapshot struct {
	view       uint32
	hz         float64
	columns    wire.ColumnSet
	dictionary []wire.Entry // also with those that are gone
	rows       []telemetry.Update
	index      []uint32 // of the rows; nil: each its own
	alerts     []telemetry.Alert
	cursor     string
	pushed     int64
	resumed    bool // rows and alerts are what was missed, not the state
	// alertsResumed: of alerts those are missed transitions that come first.
	alertsResumed bool
}

// answer is what subscriptions that join together are told, encoded once for each encoding. It is shared but for the id.
type answer struct {
	snap     *snapshot
	deflater *deflater
	shared   [encodings][]byte
}

// What every subscribed message, and the data of such an event, begins with; the id follows.
const (
	subscribedStart = `{"type":"` + wire.TypeSubscribed + `","payload":` + subscribedData
	subscribedData  = `{"id":`
)

// encode makes the part that all share: all but the id.
func (a *answer) encode(e encoding) []byte {
	if a.shared[e] == nil {
		switch e {
		case asJSON:
			b := a.snap.message().Append(make([]byte, 0, 512+(rowBytes+64)*len(a.snap.rows)))
			a.shared[e] = b[len(subscribedStart)+len(`""`):]
		case asProto:
			a.shared[e] = a.snap.message().AppendProtoShared(nil)
		case asJSONDeflate, asProtoDeflate:
			a.shared[e] = a.deflater.append(nil, a.encode(e.plain()))
		case asEvents:
			text := a.encode(asJSON)
			text = text[:len(text)-len("}")] // of the message
			a.shared[e] = append(append(make([]byte, 0, len(text)+2), text...), "\n\n"...)
		}
	}
	return a.shared[e]
}

// message is the snapshot as a message for nobody yet.
func (s *snapshot) message() *wire.Subscribed {
	msg := &wire.Subscribed{
		View: int(s.view), MaxHz: s.hz, Resumed: s.resumed, AlertsResumed: s.alertsResumed, Cursor: s.cursor, PushTime: s.pushed,
		Columns: s.columns, Dictionary: named(s.dictionary), Rows: wireRows(s.rows), Alerts: s.alerts,
	}
	for i := range msg.Rows {
		msg.Rows[i].I = int(s.place(i))
	}
	return msg
}

// place is the index of the i-th row's series.
func (s *snapshot) place(i int) uint32 {
	if s.index == nil {
		return uint32(i)
	}
	return s.index[i]
}

// frame completes the shared part for the subscription of that id.
func (a *answer) frame(id string, e encoding) frame {
	f := frame{body: a.encode(e), rows: len(a.snap.rows)}
	op, start := opText, newPayload(len(subscribedStart)+len(id)+8)
	switch e.plain() {
	case asProto:
		op, start = opBinary, wire.AppendProtoSubscribed(start, id, len(a.encode(asProto)))
	case asEvents:
		f.head = append(append(appendEventHead(nil, a.snap.cursor, wire.TypeSubscribed), subscribedData...), quoted(id)...)
		return f
	default:
		start = append(append(start, subscribedStart...), quoted(id)...)
	}
	if e.deflates() {
		op, start = op|compressed, storedBlock(newPayload(len(start)), start[headerRoom:])
	}
	f.head = message(op, start, len(f.body))
	return f
}

// quoted is a string in JSON.
func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("push: a string does not marshal: " + err.Error())
	}
	return b
}

func wireRows(us []telemetry.Update) []wire.Row {
	out := make([]wire.Row, len(us))
	for i := range us {
		out[i] = wire.Row{I: i, Update: &us[i]}
	}
	return out
}
