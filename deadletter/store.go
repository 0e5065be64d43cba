package deadletter

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/kafka/table"
	"weir/wire"
)

// Options of a Store.
type Options struct {
	Client     *kafka.Client
	Producer   *kafka.Producer
	Partitions int
	// Decoder makes what a letter's frame is read with, as it was when it came. The error is for the client.
	Decoder func(*wire.DeadLetter) (wire.FrameDecoder, error)
	// Lateness is from which age on readings go to the backlog, as those that ingest takes; 0: none is too old.
	Lateness time.Duration
	Logger   *slog.Logger
	Metrics  *metrics.Set
}

// Store reads weir.dead-letters and writes what becomes of letters.
type Store struct {
	o   Options
	log *slog.Logger

	replayed, discarded, refused *metrics.Counter

	mu      sync.Mutex
	parts   []part
	busy    map[ID]chan struct{} // letters that are being dealt with; closed when that is over
	changed chan struct{}
	ready   chan struct{} // closed when all that was there at the start has been read
	loading int
}

// part is what is known of a partition.
type part struct {
	start    int64                // the first offset there is
	letters  []int64              // their offsets, in order
	resolved map[int64]Resolution // of letters that are there, by offset
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
		o: o, log: o.Logger, parts: make([]part, o.Partitions), busy: make(map[ID]chan struct{}),
		changed: make(chan struct{}), ready: make(chan struct{}), loading: o.Partitions,
		replayed:  o.Metrics.NewCounter(`weir_dead_letters_resolved_total{outcome="replayed"}`),
		discarded: o.Metrics.NewCounter(`weir_dead_letters_resolved_total{outcome="discarded"}`),
		refused:   o.Metrics.NewCounter(`weir_dead_letters_replays_refused_total`),
	}
	for p := range s.parts {
		s.parts[p].resolved = make(map[int64]Resolution)
	}
	o.Metrics.NewGauge(`weir_dead_letters_open`, func() float64 { return float64(s.open()) })
	return s
}

const fetchWait = 5 * time.Second

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

func (s *Store) follow(ctx context.Context, partition int, there kafka.OffsetRange) {
	table.Follow(ctx, table.FollowOptions{
		Client: s.o.Client, Topic: wire.TopicDeadLetters, Partition: partition, There: there, MaxWait: fetchWait, Logger: s.log,
		Loaded: s.loaded,
		Apply:  func(f *kafka.Fetch, _ int64) { s.take(partition, f) },
		Lost: func(n, _ int64, err error) {
			s.log.Error("dead letters are damaged and passed over", "partition", partition, "offsets", n, "error", err)
		},
	})
}

func (s *Store) take(partition int, fetch *kafka.Fetch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.parts[partition]
	p.forget(fetch.LogStart)
	for i := range fetch.Records {
		r := &fetch.Records[i]
		letter, err := wire.DecodeDeadLetter(r.Value)
		if err != nil {
			s.log.Warn("dead letter does not decode", "partition", partition, "offset", r.Offset, "error", err)
			continue
		}
		if letter.Stage != wire.StageReplay {
			p.letters = append(p.letters, r.Offset)
			continue
		}
		if _, twice := p.resolved[letter.Offset]; !twice && letter.Offset >= p.start {
			p.resolved[letter.Offset] = Resolution{letter.Code, letter.Time, letter.Message}
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// forget drops what is known of letters that are no more.
func (p *part) forget(start int64) {
	if start <= p.start {
		return
	}
	p.start = start
	gone, _ := slices.BinarySearch(p.letters, start)
	p.letters = slices.Clone(p.letters[gone:])
	for offset := range p.resolved {
		if offset < start {
			delete(p.resolved, offset)
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
	for p := range s.parts {
		n += len(s.parts[p].letters) - len(s.parts[p].resolved)
	}
	return n
}

func (s *Store) resolution(id ID) *Resolution {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.parts[id.Partition].resolved[id.Offset]; ok {
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
