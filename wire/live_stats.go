package wire

import (
	"encoding/json"
	"math"
	"strconv"
)

// Stats answers a request for figures.
type Stats struct {
	// RTTMS is how long the newest ping took to be answered, in milliseconds; NaN: none has been.
	RTTMS         float64
	Subscriptions []SubscriptionStats
}

// SubscriptionStats are figures of one subscription of a connection.
type SubscriptionStats struct {
	ID   string `json:"id"`
	View int    `json:"view"`
	// Frames, Rows and Readings count what was sent after the snapshot: messages, their rows, and the readings in these.
	Frames   int64 `json:"frames"`
	Rows     int64 `json:"rows"`
	Readings int64 `json:"readings"`
	// Merged rows became part of others because the connection was behind.
	Merged int64 `json:"merged"`
	// Held is how many series have news now and are kept out by filter or limit.
	Held int64 `json:"held"`
	// Depth is how many rows wait now, and LagMS for how long the oldest of them has.
	Depth int64   `json:"depth"`
	LagMS float64 `json:"lag_ms"`
	// Stalls counts how often the subscription fell behind.
	Stalls int64 `json:"stalls"`
}

// Append appends the message.
func (m *Stats) Append(dst []byte) []byte {
	dst = head(dst, TypeStats)
	dst = m.AppendBody(dst)
	return append(dst, '}')
}

// AppendBody appends the payload.
func (m *Stats) AppendBody(dst []byte) []byte {
	dst = numberField(dst, `{"rtt_ms":`, m.RTTMS)
	dst = append(dst, `,"subscriptions":[`...)
	for i := range m.Subscriptions {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.Subscriptions[i].append(dst)
	}
	return append(dst, "]}"...)
}

func (s *SubscriptionStats) append(dst []byte) []byte {
	dst = stringField(dst, `{"id":`, s.ID)
	for _, f := range []struct {
		name  string
		value int64
	}{
		{`,"view":`, int64(s.View)}, {`,"frames":`, s.Frames}, {`,"rows":`, s.Rows}, {`,"readings":`, s.Readings},
		{`,"merged":`, s.Merged}, {`,"held":`, s.Held}, {`,"depth":`, s.Depth}, {`,"stalls":`, s.Stalls},
	} {
		dst = strconv.AppendInt(append(dst, f.name...), f.value, 10)
	}
	dst = numberField(dst, `,"lag_ms":`, s.LagMS)
	return append(dst, '}')
}

// MarshalJSON writes the payload.
func (m Stats) MarshalJSON() ([]byte, error) { return m.AppendBody(nil), nil }

// UnmarshalJSON reads the payload.
func (m *Stats) UnmarshalJSON(b []byte) error {
	var s struct {
		RTTMS         *float64            `json:"rtt_ms"`
		Subscriptions []SubscriptionStats `json:"subscriptions"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*m = Stats{RTTMS: math.NaN(), Subscriptions: s.Subscriptions}
	if s.RTTMS != nil {
		m.RTTMS = *s.RTTMS
	}
	return nil
}
