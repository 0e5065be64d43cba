package wire

import (
	"encoding/binary"
	"math"
	"slices"
)

// LiveProtocolProto is the WebSocket subprotocol of the live protocol in protobuf: binary messages, each a
// weir.v1.ServerMessage or ClientMessage.
const LiveProtocolProto = "weir.v1.proto"

// Fields of weir.v1.ServerMessage and ClientMessage.
const (
	serverSubscribed = 1 + iota
	serverSeries
	serverUpdates
	serverJSON

	clientJSON = 1
)

// Fields of weir.v1.LiveSubscribed.
const (
	subscribedID = 1 + iota
	subscribedView
	subscribedMaxHz
	subscribedResumed
	subscribedColumns
	subscribedDictionary
	subscribedRows
	subscribedAlerts
	subscribedLeft
	subscribedCursor
	subscribedPushTime
	subscribedAlertsResumed
)

// Fields of weir.v1.LiveSeries, LiveUpdates and LiveEntry.
const (
	seriesView = 1 + iota
	seriesAdded
	seriesChanged
	seriesRemoved

	updatesMsgView     = 1
	updatesMsgCursor   = 2
	updatesMsgPushTime = 3
	updatesMsgRows     = 4
	updatesMsgLeft     = 5

	entryIndex  = 1
	entrySeries = 2
	entryMeta   = 3
)

// AppendServerJSON appends a message that has no fields of its own in protobuf, as its JSON text.
func AppendServerJSON(dst, message []byte) []byte {
	return append(appendBytesHead(dst, serverJSON, len(message)), message...)
}

// AppendClientJSON appends a client's message.
func AppendClientJSON(dst, message []byte) []byte {
	return append(appendBytesHead(dst, clientJSON, len(message)), message...)
}

// DecodeClientProto returns the JSON text of a client's message, which refers to b.
func DecodeClientProto(b []byte) ([]byte, error) {
	var text []byte
	for r := (protoReader{rest: b}); len(r.rest) > 0; {
		f, ok := r.next()
		if !ok || f.field == clientJSON && f.wire != wireBytes {
			return nil, &Error{Code: CodeJSONSyntax, Message: "the message is no weir.v1.ClientMessage"}
		}
		if f.field == clientJSON {
			text = f.bytes
		}
	}
	return text, nil
}

// AppendProto appends the message. Its rows have the chosen columns.
func (m *Updates) AppendProto(dst []byte, chosen ColumnSet) []byte {
	rows := measureRows(chosen, m.Rows)
	left := packed(m.Left)
	size := varintFieldSize(updatesMsgView, uint64(m.View)) + varintFieldSize(updatesMsgPushTime, uint64(m.PushTime)) +
		bytesSize(updatesMsgRows, rows.size)
	if m.Cursor != "" {
		size += bytesSize(updatesMsgCursor, len(m.Cursor))
	}
	if len(left) > 0 {
		size += bytesSize(updatesMsgLeft, len(left))
	}
	dst = appendBytesHead(slices.Grow(dst, size+10), serverUpdates, size)
	dst = appendVarintField(dst, updatesMsgView, uint64(m.View))
	if m.Cursor != "" {
		dst = appendStringField(dst, updatesMsgCursor, m.Cursor)
	}
	dst = appendVarintField(dst, updatesMsgPushTime, uint64(m.PushTime))
	dst = rows.append(dst, updatesMsgRows, m.Rows)
	return appendPacked(dst, updatesMsgLeft, left)
}

// AppendProto appends the message.
func (m *SeriesMsg) AppendProto(dst []byte) []byte {
	body := appendVarintField(nil, seriesView, uint64(m.View))
	body = appendProtoEntries(body, seriesAdded, m.Added)
	body = appendProtoEntries(body, seriesChanged, m.Changed)
	removed := make([]uint32, len(m.Removed))
	for i, idx := range m.Removed {
		removed[i] = uint32(idx)
	}
	body = appendPacked(body, seriesRemoved, packed(removed))
	return append(appendBytesHead(dst, serverSeries, len(body)), body...)
}

// AppendProto appends the message.
func (m *Subscribed) AppendProto(dst []byte) []byte {
	body := m.AppendProtoShared(nil)
	return append(AppendProtoSubscribed(dst, m.ID, len(body)), body...)
}

// AppendProtoSubscribed begins a Subscribed message; what AppendProtoShared appends, of n bytes, follows.
func AppendProtoSubscribed(dst []byte, id string, n int) []byte {
	dst = appendBytesHead(dst, serverSubscribed, bytesSize(subscribedID, len(id))+n)
	return appendStringField(dst, subscribedID, id)
}

// AppendProtoShared appends all of the message but what it begins with, its id.
func (m *Subscribed) AppendProtoShared(dst []byte) []byte {
	dst = appendVarintField(dst, subscribedView, uint64(m.View))
	if m.MaxHz != 0 {
		dst = binary.AppendUvarint(dst, subscribedMaxHz<<3|wireFixed64)
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(m.MaxHz))
	}
	if m.Resumed {
		dst = appendVarintField(dst, subscribedResumed, 1)
	}
	for _, name := range m.Columns.Names() {
		dst = appendStringField(dst, subscribedColumns, name)
	}
	dst = appendProtoEntries(dst, subscribedDictionary, m.Dictionary)
	rows := measureRows(m.Columns, m.Rows)
	dst = rows.append(slices.Grow(dst, rows.size+64), subscribedRows, m.Rows)
	for i := range m.Alerts {
		text := AppendAlertJSON(nil, &m.Alerts[i])
		dst = append(appendBytesHead(dst, subscribedAlerts, len(text)), text...)
	}
	dst = appendPacked(dst, subscribedLeft, packed(m.Left))
	if m.Cursor != "" {
		dst = appendStringField(dst, subscribedCursor, m.Cursor)
	}
	dst = appendVarintField(dst, subscribedPushTime, uint64(m.PushTime))
	if m.AlertsResumed {
		dst = appendVarintField(dst, subscribedAlertsResumed, 1)
	}
	return dst
}

func appendProtoEntries(dst []byte, field int, entries []Entry) []byte {
	var meta []byte
	for i := range entries {
		e := &entries[i]
		meta = meta[:0]
		if e.Meta != nil {
			meta = e.append(meta)
		}
		if len(meta) > 0 {
			meta[0] = '{' // instead of the comma
			meta = append(meta, '}')
		}
		size := varintFieldSize(entryIndex, uint64(e.I)) + bytesSize(entrySeries, len(e.Series))
		if len(meta) > 0 {
			size += bytesSize(entryMeta, len(meta))
		}
		dst = appendBytesHead(dst, field, size)
		dst = appendVarintField(dst, entryIndex, uint64(e.I))
		dst = appendStringField(dst, entrySeries, e.Series)
		if len(meta) > 0 {
			dst = append(appendBytesHead(dst, entryMeta, len(meta)), meta...)
		}
	}
	return dst
}

func varintFieldSize(field int, v uint64) int {
	if v == 0 {
		return 0
	}
	return varintSize(uint64(field<<3|wireVarint)) + varintSize(v)
}

// packed is a column of whole numbers.
func packed(numbers []uint32) (b []byte) {
	for _, n := range numbers {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

func appendPacked(dst []byte, field int, column []byte) []byte {
	if len(column) == 0 {
		return dst
	}
	return append(appendBytesHead(dst, field, len(column)), column...)
}
