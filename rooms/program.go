package rooms

import "weir/wire"

// Record is what a part of Weir that has no Hub writes to weir.messages for a message, which it answers for: its key, from
// which the partition follows, and its value. A refusal names a path in {"target","type","payload","id"}.
func Record(m *wire.MessageValue) (key string, value []byte, refusal *wire.Error) {
	if refusal := checkPublish(m, 0); refusal != nil {
		return "", nil, refusal
	}
	m.User = canonicalUser(m.User)
	value, err := (&wire.RoomRecord{Kind: wire.RecordMessage, Message: m}).Append(nil)
	if err != nil {
		return "", nil, wire.NewError(wire.CodeFieldType, "payload")
	}
	return keyOf(m), value, nil
}
