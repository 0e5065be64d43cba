package kafka

import "strings"

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Record is one Kafka record. Offset is set by the broker and ignored when producing. Time is in
// milliseconds since the epoch; 0 when producing means now. A nil Value is a tombstone, an empty one is not.
type Record struct {
	Offset  int64
	Time    int64
	Key     []byte
	Value   []byte
	Headers []Header
}

// Header returns the value of the first header with the given key, and whether there is one.
func (r *Record) Header(key string) ([]byte, bool) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// Clone returns a record that shares no memory with r. What Tail and ReadRange hand out is valid only
// for a moment, and Clone is how to keep it.
func (r *Record) Clone() Record {
	out := *r
	out.Key, out.Value = cloneBytes(r.Key), cloneBytes(r.Value)
	if r.Headers != nil {
		out.Headers = make([]Header, len(r.Headers))
		for i, h := range r.Headers {
			out.Headers[i] = Header{Key: strings.Clone(h.Key), Value: cloneBytes(h.Value)}
		}
	}
	return out
}

// cloneBytes keeps the difference between nil and empty, which is that of a tombstone and a value.
func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}
