package wire

import "weir/telemetry"

// Limits of a live client's messages.
const (
	// MaxClientMessageBytes bounds a message; the transport refuses more before it reads it.
	MaxClientMessageBytes = 64 << 10
	// MaxSubscriptionID bounds the id of a subscription, in bytes.
	MaxSubscriptionID = 64
	// MaxPatterns bounds the patterns of a subscription.
	MaxPatterns = 256
	// MaxRate bounds Subscribe.MaxHz.
	MaxRate = 1000
)

// Subscribe asks for the series that any of Patterns selects, and for their alerts.
type Subscribe struct {
	// ID is the client's choice, unique on its connection.
	ID       string
	Patterns []telemetry.Pattern
	// MaxHz bounds how often a series is sent; 0 is unlimited. Without HasMaxHz the server decides.
	MaxHz    float64
	HasMaxHz bool
}

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
	// Ping's payload aliases the message it was read from.
	Ping Ping
}

// SubscriptionID is that of the subscription the message is about, or empty.
func (m *ClientMessage) SubscriptionID() string {
	if m.Type == TypeUnsubscribe {
		return m.Unsubscribe.ID
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
	return append(dst, "}}"...)
}

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
