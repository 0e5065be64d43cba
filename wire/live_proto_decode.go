package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"weir/telemetry"
)

var errLiveProto = errors.New("no weir.v1.ServerMessage")

// DecodeProto reads one message of the subprotocol weir.v1.proto, as Decode does one of weir.v1.json. The result does not
// refer to frame.
func (d *LiveDecoder) DecodeProto(frame []byte) (m ServerMessage, err error) {
	for r := (protoReader{rest: frame}); len(r.rest) > 0; {
		f, ok := r.next()
		if !ok || f.field <= serverJSON && f.wire != wireBytes {
			return nil, wrapLive("", errLiveProto)
		}
		switch f.field {
		case serverJSON:
			m, err = d.Decode(f.bytes)
		case serverUpdates:
			m, err = d.protoUpdates(f.bytes)
			err = wrapLive(TypeUpdates, err)
		case serverSeries:
			m, err = d.protoSeries(f.bytes)
			err = wrapLive(TypeSeries, err)
		case serverSubscribed:
			m, err = d.protoSubscribed(f.bytes)
			err = wrapLive(TypeSubscribed, err)
		}
		if err != nil {
			return nil, err
		}
	}
	if m == nil {
		return nil, wrapLive("", errLiveProto)
	}
	return m, nil
}

// fieldsOf calls field for each field of a message. Fields it does not know it leaves alone.
func fieldsOf(b []byte, field func(f *protoField) error) error {
	for r := (protoReader{rest: b}); len(r.rest) > 0; {
		f, ok := r.next()
		if !ok {
			return errLiveProto
		}
		if err := field(&f); err != nil {
			return err
		}
	}
	return nil
}

// text is a field's string.
func (f *protoField) text(into *string) error {
	if f.wire != wireBytes || !utf8.Valid(f.bytes) {
		return fmt.Errorf("field %d is no string", f.field)
	}
	*into = string(f.bytes)
	return nil
}

// whole is a field's number.
func (f *protoField) whole(into *int64) error {
	if f.wire != wireVarint {
		return fmt.Errorf("field %d is no number", f.field)
	}
	*into = int64(f.number)
	return nil
}

func (f *protoField) index(into *int) error {
	if f.wire != wireVarint || f.number > math.MaxUint32 {
		return fmt.Errorf("field %d is no index", f.field)
	}
	*into = int(f.number)
	return nil
}

// indexes appends a packed field's numbers, or the one of a field that is not packed.
func (f *protoField) indexes(into *[]uint32) error {
	c := column(f.bytes)
	if f.wire == wireVarint {
		c = binary.AppendUvarint(nil, f.number)
	}
	for len(c) > 0 {
		n, ok := c.uvarint()
		if !ok || n > math.MaxUint32 {
			return fmt.Errorf("field %d has what is no index", f.field)
		}
		*into = append(*into, uint32(n))
	}
	return nil
}

func (f *protoField) entry(into *[]Entry) error {
	var e Entry
	err := fieldsOf(f.bytes, func(f *protoField) error {
		switch f.field {
		case entryIndex:
			return f.index(&e.I)
		case entrySeries:
			return f.text(&e.Series)
		case entryMeta:
			return json.Unmarshal(f.bytes, &e.Meta)
		}
		return nil
	})
	*into = append(*into, e)
	return err
}

func (d *LiveDecoder) protoUpdates(b []byte) (*Updates, error) {
	m := new(Updates)
	var rows []byte
	err := fieldsOf(b, func(f *protoField) error {
		switch f.field {
		case updatesMsgView:
			return f.index(&m.View)
		case updatesMsgCursor:
			return f.text(&m.Cursor)
		case updatesMsgPushTime:
			return f.whole(&m.PushTime)
		case updatesMsgRows:
			rows = f.bytes
		case updatesMsgLeft:
			return f.indexes(&m.Left)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	view := d.views[m.View]
	if view == nil {
		return nil, fmt.Errorf("view %d is not known", m.View)
	}
	if m.Rows, err = protoRows(rows, view.layout.has); err != nil {
		return nil, err
	}
	return m, nameRows(m.Rows, view.names)
}

func (d *LiveDecoder) protoSeries(b []byte) (*SeriesMsg, error) {
	m := new(SeriesMsg)
	var removed []uint32
	err := fieldsOf(b, func(f *protoField) error {
		switch f.field {
		case seriesView:
			return f.index(&m.View)
		case seriesAdded:
			return f.entry(&m.Added)
		case seriesChanged:
			return f.entry(&m.Changed)
		case seriesRemoved:
			return f.indexes(&removed)
		}
		return nil
	})
	for _, idx := range removed {
		m.Removed = append(m.Removed, int(idx))
	}
	d.learn(m.View, m.Added)
	d.learn(m.View, m.Changed)
	return m, err
}

func (d *LiveDecoder) protoSubscribed(b []byte) (*Subscribed, error) {
	m := new(Subscribed)
	var names []string
	var rows []byte
	err := fieldsOf(b, func(f *protoField) error { return m.protoField(f, &names, &rows) })
	if err != nil {
		return nil, err
	}
	l := wholeRows
	if len(names) > 0 {
		if l, err = layoutOf(names); err != nil {
			return nil, err
		}
	}
	d.begin(m.View, l, len(m.Dictionary))
	d.learn(m.View, m.Dictionary)
	m.Columns = l.has.canonical()
	if m.Rows, err = protoRows(rows, l.has); err != nil {
		return nil, err
	}
	return m, nameRows(m.Rows, d.views[m.View].names)
}

func (m *Subscribed) protoField(f *protoField, names *[]string, rows *[]byte) error {
	switch f.field {
	case subscribedID:
		return f.text(&m.ID)
	case subscribedView:
		return f.index(&m.View)
	case subscribedMaxHz:
		if f.wire != wireFixed64 {
			return errors.New("max_hz is no double")
		}
		m.MaxHz = math.Float64frombits(f.number)
	case subscribedResumed:
		m.Resumed = f.number != 0
	case subscribedColumns:
		var name string
		err := f.text(&name)
		*names = append(*names, name)
		return err
	case subscribedDictionary:
		return f.entry(&m.Dictionary)
	case subscribedRows:
		*rows = f.bytes
	case subscribedAlerts:
		a, err := DecodeAlertJSON(f.bytes)
		m.Alerts = append(m.Alerts, a)
		return err
	case subscribedLeft:
		return f.indexes(&m.Left)
	case subscribedCursor:
		return f.text(&m.Cursor)
	case subscribedPushTime:
		return f.whole(&m.PushTime)
	case subscribedAlertsResumed:
		m.AlertsResumed = f.number != 0
	}
	return nil
}

// liveReader holds the columns of a weir.v1.LiveRows while they are read.
type liveReader struct {
	chosen  ColumnSet
	columns [liveFields]column
	before  liveDeltas
	bad     bool
}

// protoRows reads a weir.v1.LiveRows; the series are yet to be named. What it has no columns for is zero, or NaN where that is
// unknown.
func protoRows(b []byte, chosen ColumnSet) ([]Row, error) {
	r := liveReader{chosen: chosen}
	err := fieldsOf(b, func(f *protoField) error {
		switch {
		case f.field >= liveFields:
		case f.wire != wireBytes:
			return fmt.Errorf("column %d is not packed", f.field)
		case len(r.columns[f.field]) > 0:
			return fmt.Errorf("column %d is in two parts", f.field)
		default:
			r.columns[f.field] = f.bytes
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	n := 0 // every row has an index, and takes one byte or more of the column
	for _, b := range r.columns[liveIndex] {
		if b < 0x80 {
			n++
		}
	}
	rows := make([]Row, n)
	updates := make([]telemetry.Update, n)
	for i := range rows {
		rows[i].Update = &updates[i]
		rows[i].I = r.row(&updates[i])
	}
	for field, c := range r.columns {
		if r.bad || len(c) > 0 {
			return nil, fmt.Errorf("the columns of %d rows do not have their lengths (%d)", n, field)
		}
	}
	return rows, nil
}

func (r *liveReader) row(u *telemetry.Update) int {
	index := r.uvarint(liveIndex)
	if index > math.MaxUint32 {
		r.bad = true
	}
	r.before.version += unzigzag(r.uvarint(liveVersion))
	u.Version = telemetry.Version(r.before.version)
	u.Since = u.Version - telemetry.Version(r.uvarint(liveSpan))
	u.N = r.uvarint(liveN)
	if len(r.columns[liveLate]) > 0 {
		u.Late = r.uvarint(liveLate)
	}
	if len(r.columns[liveInvalid]) > 0 {
		u.Invalid = r.uvarint(liveInvalid)
	}
	if u.N > 0 {
		r.readings(u)
	}
	u.Avg, u.Lo, u.Hi = r.double(colAvg, liveAvg), r.double(colLo, liveLo), r.double(colHi, liveHi)
	u.Score = r.double(colScore, liveScore)
	if r.chosen.Has(colState) || r.chosen.Has(colWorst) {
		states := r.byte(liveState)
		u.State, u.Worst = telemetry.State(states&15), telemetry.State(states>>4)
	}
	if r.chosen.Has(colIngestTime) {
		r.before.ingest += unzigzag(r.uvarint(liveIngest))
		u.IngestTime = r.before.ingest
	}
	if r.chosen.Has(colEmitTime) {
		r.before.emit += unzigzag(r.uvarint(liveEmit))
		u.EmitTime = r.before.emit
	}
	return int(index)
}

func (r *liveReader) readings(u *telemetry.Update) {
	if r.chosen.Has(colLastTime) {
		r.before.last += unzigzag(r.uvarint(liveLastTime))
		u.LastTime = r.before.last
	}
	if r.chosen.Has(colFirstTime) {
		u.FirstTime = u.LastTime - unzigzag(r.uvarint(liveAge))
	}
	u.Last = r.double(colLast, liveLast)
	for _, v := range [...]struct {
		to          *float64
		cell, field int
	}{{&u.Min, colMin, liveMin}, {&u.Max, colMax, liveMax}, {&u.Sum, colSum, liveSum}} {
		if u.N == 1 && r.chosen.Has(colLast) && r.chosen.Has(v.cell) {
			*v.to = u.Last
		} else {
			*v.to = r.double(v.cell, v.field)
		}
	}
}

func (r *liveReader) uvarint(field int) uint64 {
	v, ok := r.columns[field].uvarint()
	r.bad = r.bad || !ok
	return v
}

// double takes the next value of a column, which is NaN if that was not chosen.
func (r *liveReader) double(cell, field int) float64 {
	if !r.chosen.Has(cell) {
		return math.NaN()
	}
	v, ok := r.columns[field].float()
	r.bad = r.bad || !ok
	return v
}

func (r *liveReader) byte(field int) byte {
	c := r.columns[field]
	if len(c) == 0 {
		r.bad = true
		return 0
	}
	r.columns[field] = c[1:]
	return c[0]
}
