package wire

import (
	"encoding/json"
	"fmt"
	"math"

	"weir/telemetry"
)

// ServerMessage is one of *Welcome, *Subscribed, *SeriesMsg, *Updates, *AlertMsg, *Resync, *ErrorMsg,
// *Draining, *Pong and *Other.
type ServerMessage interface{ Append(dst []byte) []byte }

// Other is a message of a type this package does not know.
type Other struct {
	Type    string
	Payload []byte
}

// Append appends the message.
func (m *Other) Append(dst []byte) []byte {
	dst = append(dst, `{"type":`...)
	dst = appendString(dst, m.Type)
	dst = append(dst, `,"payload":`...)
	dst = append(dst, m.Payload...)
	return append(dst, '}')
}

// LiveDecoder reads the messages of one live connection, for clients written in Go. It keeps the views'
// dictionaries, so that the updates it returns carry their series' names. Unknown fields, and columns behind
// the known ones, are skipped. It is not safe for concurrent use.
type LiveDecoder struct {
	scan  scanner
	views map[int]map[int]string
}

// Decode reads one message. The result does not refer to frame.
func (d *LiveDecoder) Decode(frame []byte) (ServerMessage, error) {
	s := &d.scan
	s.reset(frame)
	var kind string
	var payload []byte
	ok := s.object(func(name []byte) bool {
		switch string(name) {
		case "type":
			raw, ok := s.raw()
			if ok && json.Unmarshal(raw, &kind) != nil {
				return s.fail(CodeFieldType, "a type that is no string")
			}
			return ok
		case "payload":
			var ok bool
			payload, ok = s.raw()
			return ok
		}
		return s.skip()
	})
	if !ok || !s.end() {
		return nil, fmt.Errorf("decode live message: %s", s.message())
	}
	m, err := d.payload(kind, payload)
	if err != nil {
		return nil, fmt.Errorf("decode live message %q: %w", kind, err)
	}
	return m, nil
}

// DecodeSnapshot reads the body of GET /v1/snapshot.
func DecodeSnapshot(b []byte) (*Snapshot, error) {
	var d LiveDecoder
	m := new(Snapshot)
	d.scan.reset(b)
	st, err := d.state(func(name string, raw []byte) error {
		switch name {
		case "epoch":
			return json.Unmarshal(raw, &m.Epoch)
		case "cursor":
			return json.Unmarshal(raw, &m.Cursor)
		case "server_time":
			return json.Unmarshal(raw, &m.ServerTime)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	if !d.scan.end() {
		return nil, fmt.Errorf("decode snapshot: %s", d.scan.message())
	}
	m.Dictionary, m.Rows, m.Alerts = st.dictionary, st.rows, st.alerts
	return m, nil
}

func (d *LiveDecoder) payload(kind string, payload []byte) (ServerMessage, error) {
	switch kind {
	case TypeUpdates:
		return d.updates(payload)
	case TypeSubscribed:
		return d.subscribed(payload)
	case TypeSeries:
		m := new(SeriesMsg)
		if err := json.Unmarshal(payload, m); err != nil {
			return nil, err
		}
		d.learn(m.View, m.Added)
		return m, nil
	case TypeAlert:
		a, err := decodeAlertJSON(payload)
		return &AlertMsg{a}, err
	case TypeWelcome:
		return unmarshal(payload, new(Welcome))
	case TypeResync:
		return unmarshal(payload, new(Resync))
	case TypeError:
		return unmarshal(payload, new(ErrorMsg))
	case TypeDraining:
		return unmarshal(payload, new(Draining))
	case TypePong:
		return &Pong{Payload: append([]byte(nil), payload...)}, nil
	}
	return &Other{Type: kind, Payload: append([]byte(nil), payload...)}, nil
}

func unmarshal(payload []byte, m ServerMessage) (ServerMessage, error) {
	return m, json.Unmarshal(payload, m)
}

func (d *LiveDecoder) learn(view int, entries []Entry) {
	if d.views == nil {
		d.views = make(map[int]map[int]string)
	}
	if d.views[view] == nil {
		d.views[view] = make(map[int]string, len(entries))
	}
	for _, e := range entries {
		d.views[view][e.I] = e.Series
	}
}

func (d *LiveDecoder) updates(payload []byte) (*Updates, error) {
	m := new(Updates)
	s := &d.scan
	s.reset(payload)
	var rows []byte
	ok := s.object(func(name []byte) bool {
		switch string(name) {
		case "view":
			n, ok := s.integer()
			m.View = int(n)
			return ok
		case "push_ts":
			var ok bool
			m.PushTime, ok = s.integer()
			return ok
		case "cursor":
			raw, ok := s.raw()
			return ok && json.Unmarshal(raw, &m.Cursor) == nil
		case "rows":
			var ok bool
			rows, ok = s.raw()
			return ok
		}
		return s.skip()
	})
	if !ok {
		return nil, fmt.Errorf("%s", s.message())
	}
	var err error
	m.Rows, err = d.rows(rows, d.views[m.View])
	return m, err
}

func (d *LiveDecoder) subscribed(payload []byte) (*Subscribed, error) {
	m := new(Subscribed)
	d.scan.reset(payload)
	st, err := d.state(func(name string, raw []byte) error {
		switch name {
		case "id":
			return json.Unmarshal(raw, &m.ID)
		case "view":
			return json.Unmarshal(raw, &m.View)
		case "max_hz":
			return json.Unmarshal(raw, &m.MaxHz)
		case "cursor":
			return json.Unmarshal(raw, &m.Cursor)
		case "push_ts":
			return json.Unmarshal(raw, &m.PushTime)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	delete(d.views, m.View)
	d.learn(m.View, st.dictionary)
	m.Dictionary, m.Rows, m.Alerts = st.dictionary, st.rows, st.alerts
	return m, nil
}

// state holds the fields that Subscribed and Snapshot share.
type state struct {
	dictionary []Entry
	rows       []Row
	alerts     []telemetry.Alert
}

// state reads an object with the fields of state; field gets the others.
func (d *LiveDecoder) state(field func(name string, raw []byte) error) (state, error) {
	var st state
	var rows []byte
	var err error
	ok := d.scan.object(func(name []byte) bool {
		key := string(name)
		raw, ok := d.scan.raw()
		if !ok {
			return false
		}
		switch key {
		case "columns":
			err = checkColumns(raw)
		case "dictionary":
			err = json.Unmarshal(raw, &st.dictionary)
		case "rows":
			rows = raw
		case "alerts":
			st.alerts, err = decodeAlertsJSON(raw)
		default:
			err = field(key, raw)
		}
		return err == nil
	})
	switch {
	case err != nil:
		return st, err
	case !ok:
		return st, fmt.Errorf("%s", d.scan.message())
	}
	end := d.scan
	names := make(map[int]string, len(st.dictionary))
	for _, e := range st.dictionary {
		names[e.I] = e.Series
	}
	st.rows, err = d.rows(rows, names)
	d.scan = end
	return st, err
}

// checkColumns refuses rows of another layout. Columns that a newer server has added at the end are skipped.
func checkColumns(raw []byte) error {
	var got []string
	if err := json.Unmarshal(raw, &got); err != nil {
		return err
	}
	for i, want := range columns {
		if i >= len(got) || got[i] != want {
			return fmt.Errorf("column %d is not %q", i, want)
		}
	}
	return nil
}

// rows reads an array of rows, well-formed JSON, with the series' names.
func (d *LiveDecoder) rows(raw []byte, names map[int]string) ([]Row, error) {
	if raw == nil {
		return nil, nil
	}
	s := &d.scan
	s.reset(raw)
	if s.peek() != '[' || !s.open() {
		return nil, fmt.Errorf("rows are no array")
	}
	var rows []Row
	for {
		more, ok := s.more(len(rows) == 0, ']')
		if !more {
			if !ok {
				return nil, fmt.Errorf("%s", s.message())
			}
			return rows, nil
		}
		u := new(telemetry.Update)
		i, ok := s.row(u)
		if !ok {
			return nil, fmt.Errorf("row %d: %s", len(rows), s.message())
		}
		if u.Series, ok = names[i]; !ok {
			return nil, fmt.Errorf("row %d: series %d is not in the dictionary", len(rows), i)
		}
		rows = append(rows, Row{I: i, Update: u})
	}
}

// row reads one row into u and returns the series' index.
func (s *scanner) row(u *telemetry.Update) (int, bool) {
	if s.peek() != '[' || !s.open() {
		return 0, s.fail(CodeFieldType, "a row is no array")
	}
	var cells [rowCells]number
	for i := 0; ; i++ {
		more, ok := s.more(i == 0, ']')
		switch {
		case !more && ok && i < rowCells:
			return 0, s.fail(CodeFieldMissing, "a row is short")
		case !more:
			break
		case i >= rowCells:
			ok = s.skip()
		default:
			ok = s.cell(&cells[i])
		}
		if !ok {
			return 0, false
		}
		if !more {
			break
		}
	}
	return s.assign(u, &cells)
}

const rowCells = 20

// cell reads a number, or null as no number.
func (s *scanner) cell(n *number) (ok bool) {
	if s.peek() == 'n' {
		return s.literal("null")
	}
	*n, ok = s.number()
	return ok
}

func (s *scanner) assign(u *telemetry.Update, c *[rowCells]number) (int, bool) {
	var index, version, since, n, late, invalid, state, worst int64
	whole := [...]struct {
		to   *int64
		cell int
	}{
		{&index, 0}, {&version, 1}, {&since, 2}, {&n, 3}, {&late, 4}, {&invalid, 5},
		{&u.FirstTime, 6}, {&u.LastTime, 7}, {&state, 15}, {&worst, 17}, {&u.IngestTime, 18}, {&u.EmitTime, 19},
	}
	for _, w := range whole {
		var ok bool
		if *w.to, ok = c[w.cell].integer(); !ok {
			return 0, s.fail(CodeFieldType, "a cell is not a whole number: "+columns[w.cell])
		}
	}
	if min(index, n, late, invalid, state, worst) < 0 || max(state, worst) > math.MaxUint8 {
		return 0, s.fail(CodeFieldRange, "a cell is outside its range")
	}
	u.Version, u.Since = telemetry.Version(version), telemetry.Version(since)
	u.N, u.Late, u.Invalid = uint64(n), uint64(late), uint64(invalid)
	u.State, u.Worst = telemetry.State(state), telemetry.State(worst)
	if n > 0 {
		u.Last, u.Min, u.Max, u.Sum = s.orNaN(c[8]), s.orNaN(c[9]), s.orNaN(c[10]), s.orNaN(c[11])
	}
	u.Avg, u.Lo, u.Hi, u.Score = s.orNaN(c[12]), s.orNaN(c[13]), s.orNaN(c[14]), s.orNaN(c[16])
	return int(index), true
}

// integer is n as an int64, and 0 for null.
func (n number) integer() (int64, bool) {
	if n.end == 0 {
		return 0, true
	}
	if !n.whole || n.cut || n.mantissa > math.MaxInt64 {
		return 0, false
	}
	if n.negative {
		return -int64(n.mantissa), true
	}
	return int64(n.mantissa), true
}

// orNaN is n as a float64, and NaN for null.
func (s *scanner) orNaN(n number) float64 {
	if n.end == 0 {
		return math.NaN()
	}
	f, _ := s.float(n)
	return f
}

// integer reads a whole number.
func (s *scanner) integer() (int64, bool) {
	s.peek()
	n, ok := s.number()
	if !ok {
		return 0, false
	}
	i, ok := n.integer()
	if !ok {
		return 0, s.fail(CodeFieldType, "a number is not whole")
	}
	return i, true
}

// object calls field for each field of the object that follows.
func (s *scanner) object(field func(name []byte) bool) bool {
	if s.peek() != '{' {
		return s.fail(CodeFieldType, "no object")
	}
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		more, ok := s.more(first, '}')
		if !more {
			return ok
		}
		name, ok := s.key()
		if !ok || !field(name) {
			return false
		}
	}
}

// alertJSON reads null as NaN.
type alertJSON struct {
	telemetry.Alert
	Value *float64 `json:"value"`
	Score *float64 `json:"score"`
	Lo    *float64 `json:"lo"`
	Hi    *float64 `json:"hi"`
}

func (a *alertJSON) alert() telemetry.Alert {
	out := a.Alert
	out.Value, out.Score, out.Lo, out.Hi = deref(a.Value), deref(a.Score), deref(a.Lo), deref(a.Hi)
	return out
}

func deref(f *float64) float64 {
	if f == nil {
		return math.NaN()
	}
	return *f
}

func decodeAlertJSON(raw []byte) (telemetry.Alert, error) {
	var a alertJSON
	err := json.Unmarshal(raw, &a)
	return a.alert(), err
}

func decodeAlertsJSON(raw []byte) ([]telemetry.Alert, error) {
	var list []alertJSON
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		return nil, err
	}
	alerts := make([]telemetry.Alert, len(list))
	for i := range list {
		alerts[i] = list[i].alert()
	}
	return alerts, nil
}
