package wire

import (
	"strconv"

	"weir/telemetry"
)

// LiveProtocol is the WebSocket subprotocol of the JSON live protocol.
const LiveProtocol = "weir.v1.json"

// Types of the live protocol's messages.
const (
	TypeWelcome     = "welcome"
	TypeSubscribe   = "subscribe"
	TypeUnsubscribe = "unsubscribe"
	TypeSubscribed  = "subscribed"
	TypeSeries      = "series"
	TypeUpdates     = "updates"
	TypeAlert       = "alert"
	TypeResync      = "resync"
	TypeError       = "error"
	TypeDraining    = "draining"
	TypePing        = "app_ping"
	TypePong        = "app_pong"
	TypeReceipt     = "receipt"
	TypeCredit      = "credit"
	TypeStats       = "stats"

	TypeAuth          = "auth"
	TypeAuthenticated = "authenticated"
	TypeTokenExpiring = "token_expiring"
)

// Welcome is the server's first message, unless the client had to say first who it is.
type Welcome struct {
	Protocol string `json:"protocol"`
	// Epoch names the topics' incarnation: versions and cursors of another one mean nothing.
	Epoch   string `json:"epoch"`
	Session string `json:"session"`
	// ServerTime is in microseconds.
	ServerTime  int64 `json:"server_time"`
	HeartbeatMS int64 `json:"heartbeat_ms"`
	// Insecure: the server is open to the network without credentials.
	Insecure bool `json:"insecure"`
	// Read are patterns of the series that may be subscribed to.
	Read []string `json:"read"`
}

// Row is an Update of the series that a dictionary has under I.
type Row struct {
	I      int
	Update *telemetry.Update
}

// Subscribed answers Subscribe with all there is: the state at the moment from which on updates follow.
type Subscribed struct {
	ID string
	// Resumed: Rows and Alerts are what the client has missed since the cursor it named, rows merged and transitions in
	// order, and not the state.
	Resumed bool
	// AlertsResumed: Rows are the state, and Alerts the transitions that the client has missed, in order, and then the other
	// open alerts.
	AlertsResumed bool
	// View is what Updates and SeriesMsg name. Subscriptions to the same patterns and rate share one.
	View  int
	MaxHz float64
	// Columns are those of the rows, here and in Updates.
	Columns    ColumnSet
	Dictionary []Entry
	Rows       []Row
	// Alerts are the open alerts of the series, unless told otherwise above.
	Alerts []telemetry.Alert
	// Left are series that left the view since the cursor, if Resumed.
	Left   []uint32
	Cursor string
	// PushTime is when the server wrote the message, in microseconds.
	PushTime int64
}

// Updates carries rows of a view. Cursor is empty unless the rows are all there was.
type Updates struct {
	View     int
	Cursor   string
	PushTime int64
	Rows     []Row
	// Left are series that are in the view no more, of which none has a row.
	Left []uint32
}

// AlertMsg is one transition of an alert.
type AlertMsg struct{ telemetry.Alert }

// Resync tells the client to forget the versions of a view; a Subscribed with the subscription's id follows. ID is that of
// a subscription which cannot go on from its cursor.
type Resync struct {
	View   int    `json:"view"`
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
}

// ErrorMsg reports a message that was refused; ID is that of the subscription, or of the message to a room, that it was
// about, and Room the room, if any.
type ErrorMsg struct {
	Error
	ID   string `json:"id,omitempty"`
	Room string `json:"room,omitempty"`
}

// Draining announces that the server stops: reconnect after ReconnectAfterMS plus a random part of JitterMS.
type Draining struct {
	ReconnectAfterMS int64 `json:"reconnect_after_ms"`
	JitterMS         int64 `json:"jitter_ms"`
}

// Pong answers Ping with its payload, a JSON value.
type Pong struct{ Payload []byte }

// Snapshot is the body of GET /v1/snapshot.
type Snapshot struct {
	Epoch, Cursor string
	ServerTime    int64
	// Resumed: Rows and Alerts are what came after the cursor that was asked for, and Dictionary names those rows only.
	Resumed    bool
	Dictionary []Entry
	Rows       []Row
	Alerts     []telemetry.Alert
}

// head begins a message of type t; the payload and a closing brace follow.
func head(dst []byte, t string) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, t...)
	return append(dst, `","payload":`...)
}

// stringField, intField and numberField append a field of an object, with its name given as `{"name":` or
// `,"name":`.
func stringField(dst []byte, name, value string) []byte {
	return appendString(append(dst, name...), value)
}

func intField(dst []byte, name string, value int64) []byte {
	return strconv.AppendInt(append(dst, name...), value, 10)
}

func numberField(dst []byte, name string, value float64) []byte {
	return appendFloat(append(dst, name...), value)
}

// Append appends the message.
func (m *Welcome) Append(dst []byte) []byte {
	dst = head(dst, TypeWelcome)
	dst = stringField(dst, `{"protocol":`, m.Protocol)
	dst = stringField(dst, `,"epoch":`, m.Epoch)
	dst = stringField(dst, `,"session":`, m.Session)
	dst = intField(dst, `,"server_time":`, m.ServerTime)
	dst = intField(dst, `,"heartbeat_ms":`, m.HeartbeatMS)
	dst = append(dst, `,"insecure":`...)
	dst = strconv.AppendBool(dst, m.Insecure)
	dst = stringsField(dst, `,"read":`, m.Read)
	return append(dst, "}}"...)
}

// Append appends the message.
func (m *Subscribed) Append(dst []byte) []byte {
	dst = head(dst, TypeSubscribed)
	dst = stringField(dst, `{"id":`, m.ID)
	dst = intField(dst, `,"view":`, int64(m.View))
	dst = numberField(dst, `,"max_hz":`, m.MaxHz)
	if m.Resumed {
		dst = append(dst, `,"resumed":true`...)
	}
	if m.AlertsResumed {
		dst = append(dst, `,"alerts_resumed":true`...)
	}
	dst = appendState(append(dst, ','), m.Columns, m.Dictionary, m.Rows, m.Alerts)
	dst = leftField(dst, m.Left)
	dst = stringField(dst, `,"cursor":`, m.Cursor)
	dst = intField(dst, `,"push_ts":`, m.PushTime)
	return append(dst, "}}"...)
}

// Append appends the body.
func (m *Snapshot) Append(dst []byte) []byte {
	dst = stringField(dst, `{"epoch":`, m.Epoch)
	dst = stringField(dst, `,"cursor":`, m.Cursor)
	dst = intField(dst, `,"server_time":`, m.ServerTime)
	if m.Resumed {
		dst = append(dst, `,"resumed":true`...)
	}
	dst = appendState(append(dst, ','), 0, m.Dictionary, m.Rows, m.Alerts)
	return append(dst, '}')
}

// appendState appends the fields columns, dictionary, rows and alerts.
func appendState(dst []byte, columns ColumnSet, dictionary []Entry, rows []Row, alerts []telemetry.Alert) []byte {
	dst = append(dst, `"columns":`...)
	dst = append(dst, columns.namesJSON()...)
	dst = append(dst, `,"dictionary":`...)
	dst = appendEntries(dst, dictionary)
	dst = append(dst, `,"rows":[`...)
	for _, r := range rows {
		dst = columns.AppendRow(dst, r.I, r.Update)
	}
	dst = append(dst, `],"alerts":[`...)
	for i := range alerts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendAlertJSON(dst, &alerts[i])
	}
	return append(dst, ']')
}

// Append appends the message.
func (m *Updates) Append(dst []byte) []byte {
	dst = AppendUpdatesHead(dst, m.View, m.Cursor, m.PushTime)
	for _, r := range m.Rows {
		dst = AppendRow(dst, r.I, r.Update)
	}
	return AppendUpdatesTail(dst, m.Left...)
}

// AppendUpdatesHead begins an Updates message; rows by AppendRow and then AppendUpdatesTail follow.
func AppendUpdatesHead(dst []byte, view int, cursor string, pushTime int64) []byte {
	dst = head(dst, TypeUpdates)
	dst = intField(dst, `{"view":`, int64(view))
	if cursor != "" {
		dst = stringField(dst, `,"cursor":`, cursor)
	}
	dst = intField(dst, `,"push_ts":`, pushTime)
	return append(dst, `,"rows":[`...)
}

// AppendUpdatesTail ends an Updates message with the series that have left.
func AppendUpdatesTail(dst []byte, left ...uint32) []byte {
	return append(leftField(append(dst, ']'), left), "}}"...)
}

func leftField(dst []byte, left []uint32) []byte {
	if len(left) == 0 {
		return dst
	}
	dst = append(dst, `,"left":`...)
	for i, idx := range left {
		dst = strconv.AppendUint(append(dst, "[,"[min(i, 1)]), uint64(idx), 10)
	}
	return append(dst, ']')
}

// Append appends the message.
func (m *AlertMsg) Append(dst []byte) []byte {
	dst = head(dst, TypeAlert)
	dst = AppendAlertJSON(dst, &m.Alert)
	return append(dst, '}')
}

// Append appends the message.
func (m *Resync) Append(dst []byte) []byte {
	dst = head(dst, TypeResync)
	dst = intField(dst, `{"view":`, int64(m.View))
	if m.ID != "" {
		dst = stringField(dst, `,"id":`, m.ID)
	}
	dst = stringField(dst, `,"reason":`, m.Reason)
	return append(dst, "}}"...)
}

// Append appends the message.
func (m *ErrorMsg) Append(dst []byte) []byte {
	dst = head(dst, TypeError)
	dst = m.append(dst)
	for _, f := range []struct{ name, text string }{{`,"id":`, m.ID}, {`,"room":`, m.Room}} {
		if f.text != "" {
			dst = append(stringField(dst[:len(dst)-1], f.name, f.text), '}')
		}
	}
	return append(dst, '}')
}

// Append appends the message.
func (m *Draining) Append(dst []byte) []byte {
	dst = head(dst, TypeDraining)
	dst = intField(dst, `{"reconnect_after_ms":`, m.ReconnectAfterMS)
	dst = intField(dst, `,"jitter_ms":`, m.JitterMS)
	return append(dst, "}}"...)
}

// Append appends the message.
func (m *Pong) Append(dst []byte) []byte {
	dst = head(dst, TypePong)
	dst = append(dst, m.Payload...)
	return append(dst, '}')
}
