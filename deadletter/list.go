package deadletter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// Filter selects letters; the zero value selects all.
type Filter struct {
	// Device selects by the letter's device; nil: any, those of none included.
	Device *telemetry.Pattern
	Code   string
	Stage  string
	// State is open, replayed, discarded, or empty for any.
	State string
	// Since and Until bound when it was refused, in microseconds; 0: not.
	Since, Until int64
	// Visible says whether who asks may see it; nil: everything.
	Visible func(*Letter) bool
}

// StateOpen selects letters of which nothing has become yet.
const StateOpen = "open"

func (f *Filter) selects(l *Letter) bool {
	state := StateOpen
	if l.Resolution != nil {
		state = l.Resolution.Outcome
	}
	return (f.Code == "" || f.Code == l.Code) &&
		(f.Stage == "" || f.Stage == l.Stage) &&
		(f.State == "" || f.State == state) &&
		(f.Since == 0 || l.Time >= f.Since) &&
		(f.Until == 0 || l.Time < f.Until) &&
		(f.Device == nil || f.Device.Match(l.Device)) &&
		(f.Visible == nil || f.Visible(l))
}

const (
	// window is how many offsets are read at once, going backwards.
	window = 512
	// maxScanned is how many offsets of a partition one List looks at: more are for its cursor.
	maxScanned = 64 << 10
)

// Cursor is where the next page begins: before which offset of each partition.
type Cursor []int64

func (c Cursor) String() string {
	text, _ := json.Marshal([]int64(c))
	return base64.RawURLEncoding.EncodeToString(text)
}

// ParseCursor reads a Cursor.
func ParseCursor(text string) (Cursor, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("cursor: %w", err)
	}
	var c Cursor
	if err := json.Unmarshal(raw, (*[]int64)(&c)); err != nil {
		return nil, fmt.Errorf("cursor: %w", err)
	}
	return c, nil
}

// List returns up to limit letters, the newest first, and where the next page begins; nil: there is none. Frames
// beyond what a list shows are cut off.
func (s *Store) List(ctx context.Context, f *Filter, from Cursor, limit int) ([]Letter, Cursor, error) {
	ranges, err := s.o.Client.Offsets(ctx, wire.TopicDeadLetters)
	if err != nil {
		return nil, nil, fmt.Errorf("list dead letters: %w", err)
	}
	scans := make([]scan, s.o.Partitions)
	for p := range scans {
		scans[p] = scan{store: s, filter: f, partition: p, first: ranges[p].First, before: ranges[p].End}
		if p < len(from) {
			scans[p].before = min(from[p], ranges[p].End)
		}
		scans[p].floor = max(scans[p].first, scans[p].before-maxScanned)
	}
	var out []Letter
	for len(out) < limit {
		newest := -1
		for p := range scans {
			if err := scans[p].fill(ctx); err != nil {
				return nil, nil, err
			}
			if len(scans[p].found) > 0 && (newest < 0 || scans[p].head().Time > scans[newest].head().Time) {
				newest = p
			}
		}
		if newest < 0 {
			break
		}
		out = append(out, scans[newest].pop())
	}
	cursor, more := make(Cursor, len(scans)), false
	for p := range scans {
		cursor[p] = scans[p].reached()
		more = more || cursor[p] > scans[p].first
	}
	if !more {
		cursor = nil
	}
	return out, cursor, nil
}

// scan goes backwards through a partition.
type scan struct {
	store     *Store
	filter    *Filter
	partition int
	first     int64 // offset there is
	floor     int64 // below which this scan does not go
	before    int64 // everything from here on is in found, or not selected
	found     []Letter
}

// fill reads windows until something is found or all is read.
func (s *scan) fill(ctx context.Context) error {
	for len(s.found) == 0 && s.before > s.floor {
		from := max(s.floor, s.before-window)
		err := s.store.o.Client.ReadRange(ctx, wire.TopicDeadLetters, s.partition, from, s.before, func(r *kafka.Record) error {
			if l := s.store.letter(s.partition, r); l != nil && s.filter.selects(l) {
				l.Size = max(l.Size, len(l.Raw))
				l.Raw = slices.Clone(l.Raw[:min(len(l.Raw), maxExcerpt)])
				s.found = append(s.found, *l)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("list dead letters: %w", err)
		}
		s.before = from
	}
	return nil
}

func (s *scan) head() *Letter { return &s.found[len(s.found)-1] }

func (s *scan) pop() Letter {
	l := s.found[len(s.found)-1]
	s.found = s.found[:len(s.found)-1]
	return l
}

// reached is the offset before which nothing has been handed out.
func (s *scan) reached() int64 {
	if len(s.found) > 0 {
		return s.head().ID.Offset + 1
	}
	return s.before
}
