package push

import (
	"encoding/base64"
	"encoding/binary"
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
	b = append(b, 1)
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
