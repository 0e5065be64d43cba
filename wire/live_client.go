package wire

import "weir/telemetry"

// Limits of a live client's messages.
const (
	// MaxSubscriptionID bounds the id of a subscription, in bytes.
	MaxSubscriptionID = 64
	// MaxPatterns bounds the patterns of a subscription.
	MaxPatterns = 256
	// MaxRate bounds Subscribe.MaxHz.
	MaxRate = 1000
	// MaxFilterBytes bounds Subscribe.Filter.
	MaxFilterBytes = 1024
	// MaxLimit bounds Subscribe.Limit.
	MaxLimit = 1000
	// MinPoints and MaxPoints bound Subscribe.Points, and MaxWindowMS (31 days) Subscribe.WindowMS.
	MinPoints   = 2
	MaxPoints   = 10_000
	MaxWindowMS = 31 * 24 * 3600 * 1000
	// MaxClientCursorBytes bounds Subscribe.Cursor.
	MaxClientCursorBytes = 16 << 10
)

// Subscribe asks for the series that any of Patterns selects, and for their alerts.
type Subscribe struct {
	// ID is the client's choice, unique on its connection.
	ID       string
	Patterns []telemetry.Pattern
	// MaxHz bounds how often a series is sent; 0 is unlimited. Without HasMaxHz the server decides.
	MaxHz    float64
	HasMaxHz bool
	// Columns are those of the rows; 0 is all of them.
	Columns ColumnSet
	// Filter is a condition over a row, empty: none. What it may say is the server's to check.
	Filter string
	// Order, a text for ParseOrder, and Limit select the first Limit series; 0 is no limit.
	Order string
	Limit int
	// Points bounds how many rows of a series come within WindowMS milliseconds. Both are 0 or neither is.
	Points   int
	WindowMS int64
	// Cursor is where an earlier subscription ended, empty: nowhere.
	Cursor string
}

// Credit says how many frames of updates the connection may have been sent in total.
type Credit struct{ Frames int64 }

// Unsubscribe ends a subscription.
type Unsubscribe struct{ ID string }

// Ping is answered by a Pong with the same payload, a JSON value.
type Ping struct{ Payload []byte }

// ClientMessage is what a live client sent: Type tells which other field counts.
type ClientMessage struct {
	Type        string
	Subscribe   Subscribe
	Unsubscribe Unsubscribe
	Auth        Auth
	Credit      Credit
	// The payloads of Ping and Pong alias the message they were read from.
	Ping Ping
	Pong Pong
	// Room is that of the messages about rooms; its Payload aliases the message, too.
	Room RoomRequest
}

// SubscriptionID is that of the subscription, or of the message to a room, that the message is about, or empty.
func (m *ClientMessage) SubscriptionID() string {
	switch m.Type {
	case TypeUnsubscribe:
		return m.Unsubscribe.ID
	case TypeSend, TypeKick, TypeBan:
		return m.Room.ID
	}
	return m.Subscribe.ID
}

// Append appends the message.
func (m *Subscribe) Append(dst []byte) []byte {
	dst = head(dst, TypeSubscribe)
	dst = stringField(dst, `{"id":`, m.ID)
	dst = append(dst, `,"patterns":[`...)
	for i, p := range m.Patterns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, p.String())
	}
	dst = append(dst, ']')
	if m.HasMaxHz {
		dst = numberField(dst, `,"max_hz":`, m.MaxHz)
	}
	if m.Columns != 0 {
		dst = append(append(dst, `,"fields":`...), m.Columns.namesJSON()...)
	}
	for _, f := range []struct{ name, text string }{{`,"filter":`, m.Filter}, {`,"order":`, m.Order}, {`,"cursor":`, m.Cursor}} {
		if f.text != "" {
			dst = stringField(dst, f.name, f.text)
		}
	}
	for _, f := range []struct {
		name  string
		value int64
	}{{`,"limit":`, int64(m.Limit)}, {`,"points":`, int64(m.Points)}, {`,"window_ms":`, m.WindowMS}} {
		if f.value != 0 {
			dst = intField(dst, f.name, f.value)
		}
	}
	return append(dst, "}}"...)
}

// Append appends the message.
func (m *Credit) Append(dst []byte) []byte {
	dst = head(dst, TypeCredit)
	dst = intField(dst, `{"frames":`, m.Frames)
	return append(dst, "}}"...)
}

// AskStats asks for a Stats message.
type AskStats struct{}

// Append appends the message.
func (*AskStats) Append(dst []byte) []byte { return append(head(dst, TypeStats), "{}}"...) }

// Append appends the message.
func (m *Unsubscribe) Append(dst []byte) []byte {
	dst = head(dst, TypeUnsubscribe)
	dst = stringField(dst, `{"id":`, m.ID)
	return append(dst, "}}"...)
}

// Append appends the message.
func (m *Ping) Append(dst []byte) []byte {
	dst = head(dst, TypePing)
	dst = append(dst, m.Payload...)
	return append(dst, '}')
}
