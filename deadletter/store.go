package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/wire"
)

// Options of a Store.
type Options struct {
	Client     *kafka.Client
	Producer   *kafka.Producer
	Partitions int
	// Decoder makes what a letter's frame is read with, as it was when it came. The error is for the client.
	Decoder func(*wire.DeadLetter) (wire.FrameDecoder, error)
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Store reads weir.dead-letters and writes what becomes of letters.
type Store struct {
	o   Options
	log *slog.Logger

	replayed, discarded, refused *metrics.Counter

	mu       sync.Mutex
	resolved []map[int64]Resolution // by partition and offset of the letter
	letters  []int                  // by partition, how many there are
	next     []int64                // by partition, up to where it is read
	changed  chan struct{}
	ready    chan struct{}
	loading  int
}

// New makes a Store, which knows of no resolution until Run.
func New(o Options) *Store {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	s := &Store{
		o: o, log: o.Logger, resolved: make([]map[int64]Resolution, o.Partitions), letters: make([]int, o.Partitions),
		next: make([]int64, o.Partitions), changed: make(chan struct{}), ready: make(chan struct{}), loading: o.Partitions,
		replayed:  o.Metrics.NewCounter(`weir_dead_letters_resolved_total{outcome="replayed"}`),
		discarded: o.Metrics.NewCounter(`weir_dead_letters_resolved_total{outcome="discarded"}`),
		refused:   o.Metrics.NewCounter(`weir_dead_letters_replays_refused_total`),
	}
	for p := range s.resolved {
		s.resolved[p] = make(map[int64]Resolution)
	}
	o.Metrics.NewGauge(`weir_dead_letters_open`, func() float64 { return float64(s.open()) })
	return s
}

// Run follows the resolutions until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	ends, err := s.o.Client.Offsets(ctx, wire.TopicDeadLetters)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		return fmt.Errorf("dead letters: %w", err)
	}
	var all sync.WaitGroup
	for p := range s.o.Partitions {
		all.Go(func() { s.follow(ctx, p, ends[p]) })
	}
	all.Wait()
	return nil
}

// Ready is closed when all that was there at the start has been read.
func (s *Store) Ready() <-chan struct{} { return s.ready }

func (s *Store) follow(ctx context.Context, partition int, there kafka.OffsetRange) {
	tail := s.o.Client.NewTail(kafka.TailOptions{
		Topic: wire.TopicDeadLetters, Partition: partition, Offset: kafka.FirstOffset, MaxWait: 5 * time.Second})
	defer func() { _ = tail.Close() }()
	loaded := false
	for ctx.Err() == nil {
		if !loaded && (there.First == there.End || tail.Offset() >= there.End) {
			loaded = true
			s.loaded()
		}
		fetch, err := tail.Next(ctx)
		if err != nil {
			s.recover(ctx, tail, partition, err)
			continue
		}
		s.take(partition, &fetch, tail.Offset())
	}
}

func (s *Store) recover(ctx context.Context, tail *kafka.Tail, partition int, err error) {
	var trimmed *kafka.ErrOffsetOutOfRange
	if errors.As(err, &trimmed) {
		tail.SeekTo(kafka.FirstOffset)
		return
	}
	if ctx.Err() != nil {
		return
	}
	s.log.Warn("dead letters cannot be read; trying again", "partition", partition, "error", err)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
}

func (s *Store) take(partition int, fetch *kafka.Fetch, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range fetch.Records {
		r := &fetch.Records[i]
		letter, err := wire.DecodeDeadLetter(r.Value)
		if err != nil {
			s.log.Warn("dead letter does not decode", "partition", partition, "offset", r.Offset, "error", err)
			continue
		}
		if letter.Stage != wire.StageReplay {
			s.letters[partition]++
			continue
		}
		if _, twice := s.resolved[partition][letter.Offset]; !twice {
			s.resolved[partition][letter.Offset] = Resolution{letter.Code, letter.Time, letter.Message}
		}
	}
	s.forget(partition, fetch.LogStart)
	s.next[partition] = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// forget drops the resolutions of letters that are no more.
func (s *Store) forget(partition int, start int64) {
	for offset := range s.resolved[partition] {
		if offset < start {
			delete(s.resolved[partition], offset)
			s.letters[partition]--
		}
	}
}

func (s *Store) loaded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loading--; s.loading == 0 {
		close(s.ready)
	}
}

func (s *Store) open() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.letters {
		n += max(0, s.letters[p]-len(s.resolved[p]))
	}
	return n
}

func (s *Store) resolution(id ID) *Resolution {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.resolved[id.Partition][id.Offset]; ok {
		return &r
	}
	return nil
}

// Get reads one letter; the error is a *wire.Error with letter_unknown when there is none of that id.
func (s *Store) Get(ctx context.Context, id ID) (*Letter, error) {
	if id.Partition >= s.o.Partitions {
		return nil, wire.NewError(wire.CodeLetterUnknown, "id")
	}
	ranges, err := s.o.Client.Offsets(ctx, wire.TopicDeadLetters)
	if err != nil {
		return nil, fmt.Errorf("dead letter %s: %w", id, err)
	}
	if r := ranges[id.Partition]; id.Offset < r.First || id.Offset >= r.End {
		return nil, wire.NewError(wire.CodeLetterUnknown, "id")
	}
	var found *Letter
	err = s.o.Client.ReadRange(ctx, wire.TopicDeadLetters, id.Partition, id.Offset, id.Offset+1, func(r *kafka.Record) error {
		if r.Offset == id.Offset {
			found = s.letter(id.Partition, r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dead letter %s: %w", id, err)
	}
	if found == nil {
		return nil, wire.NewError(wire.CodeLetterUnknown, "id")
	}
	return found, nil
}

// letter is what a record holds, or nil when that is no letter.
func (s *Store) letter(partition int, r *kafka.Record) *Letter {
	decoded, err := wire.DecodeDeadLetter(r.Value)
	if err != nil || decoded.Stage == wire.StageReplay {
		return nil
	}
	id := ID{partition, r.Offset}
	return &Letter{ID: id, DeadLetter: decoded, Resolution: s.resolution(id), truncated: decoded.Truncated()}
}
