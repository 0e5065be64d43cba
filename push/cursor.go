package push

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
)

// positions are the offsets up to which updates and alerts of each partition have been applied. Guarded
// by hub.mu.
type positions struct {
	epoch   string
	updates []int64
	alerts  []int64

	text  string // the cursor, while nothing has moved
	stale bool
}

// move notes that a topic of a partition has been applied up to next.
func (p *positions) move(at *[]int64, partition int, next int64) {
	for len(*at) <= partition {
		*at = append(*at, 0)
	}
	if (*at)[partition] != next {
		(*at)[partition] = next
		p.stale = true
	}
}

// cursor is the position as clients get it: opaque to them, and the same text as long as nothing moved.
// It is base64 of a version byte, the epoch's length and bytes, and the offsets as varints.
func (p *positions) cursor() string {
	if p.text != "" && !p.stale {
		return p.text
	}
	b := make([]byte, 0, 2+len(p.epoch)+4*(len(p.updates)+len(p.alerts)))
	b = append(b, cursorLayout)
	b = binary.AppendUvarint(b, uint64(len(p.epoch)))
	b = append(b, p.epoch...)
	for _, offsets := range [][]int64{p.updates, p.alerts} {
		b = binary.AppendUvarint(b, uint64(len(offsets)))
		for _, o := range offsets {
			b = binary.AppendVarint(b, o)
		}
	}
	p.text, p.stale = base64.RawURLEncoding.EncodeToString(b), false
	return p.text
}

// cursorLayout is the version byte of a cursor.
const cursorLayout = 1

// Bounds of a cursor that a client sends: it is not ours until it is read.
const (
	maxCursorBytes = 16 << 10
	maxPartitions  = 1 << 12
)

var errCursor = errors.New("push: not a cursor")

// parseCursor reads what cursor has made. Whether its epoch is ours is for the caller to see.
func parseCursor(text string) (*positions, error) {
	if len(text) > maxCursorBytes {
		return nil, errCursor
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || b[0] != cursorLayout {
		return nil, errCursor
	}
	b = b[1:]
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, errCursor
	}
	p := &positions{epoch: string(b[k : k+int(n)])}
	b = b[k+int(n):]
	for _, offsets := range []*[]int64{&p.updates, &p.alerts} {
		if b = parseOffsets(b, offsets); b == nil {
			return nil, errCursor
		}
	}
	if len(b) > 0 {
		return nil, errCursor
	}
	return p, nil
}

// parseOffsets reads one topic's offsets and returns what follows, or nil.
func parseOffsets(b []byte, into *[]int64) []byte {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > maxPartitions {
		return nil
	}
	b = b[k:]
	for range n {
		o, k := binary.Varint(b)
		if k <= 0 || o < 0 {
			return nil
		}
		*into = append(*into, o)
		b = b[k:]
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

// reached reports whether all of p lies at or before other. Positions of another number of partitions do not compare.
func (p *positions) reached(other *positions) bool {
	return before(p.updates, other.updates) && before(p.alerts, other.alerts)
}

func before(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] > b[i] {
			return false
		}
	}
	return true
}

// clone returns a copy that the hub does not move.
func (p *positions) clone() *positions {
	return &positions{epoch: p.epoch, updates: slices.Clone(p.updates), alerts: slices.Clone(p.alerts)}
}
