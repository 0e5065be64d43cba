package alerts

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/telemetry"
)

const (
	// silencePrefix begins the keys of silences in weir.devices.
	silencePrefix = "silence/"
	// layout is of their values.
	layout = 1
	// keepOver is how long a silence that is over is listed.
	keepOver = 24 * time.Hour
	// sweepEvery is how often those that are not listed any more are looked for.
	sweepEvery = 10 * time.Minute
	// maxSilences bounds how many are listed.
	maxSilences = 1000
)

// storedSilence is the record silence/<id>.
type storedSilence struct {
	V int `json:"v"`
	telemetry.Silence
	// Everywhere: every partition has it. If not, whoever gave it was told so.
	Everywhere bool `json:"everywhere"`
}

// silences is the list of silences, as weir.devices has it.
type silences struct {
	table Table
	log   *slog.Logger

	mu sync.RWMutex
	by map[string]storedSilence
}

func newSilences(t Table, log *slog.Logger) *silences {
	s := &silences{table: t, log: log, by: make(map[string]storedSilence)}
	t.Watch(silencePrefix, s.follow)
	return s
}

func (s *silences) follow(key string, value []byte) {
	id := strings.TrimPrefix(key, silencePrefix)
	var one storedSilence
	if value != nil {
		if err := json.Unmarshal(value, &one); err != nil || one.V != layout {
			s.log.Warn("a silence cannot be read", "silence", id, "error", err)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if value == nil {
		delete(s.by, id)
		return
	}
	s.by[id] = one
}

func (s *silences) ready() bool {
	select {
	case <-s.table.Ready():
		return true
	default:
		return false
	}
}

func (s *silences) get(id string) (storedSilence, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	one, ok := s.by[id]
	return one, ok
}

// list returns all, the one that ends last first.
func (s *silences) list() []storedSilence {
	s.mu.RLock()
	out := slices.Collect(maps.Values(s.by))
	s.mu.RUnlock()
	slices.SortFunc(out, func(a, b storedSilence) int { return cmp.Or(cmp.Compare(b.Until, a.Until), cmp.Compare(a.ID, b.ID)) })
	return out
}

func (s *silences) put(ctx context.Context, one *storedSilence) error {
	one.V = layout
	text, err := json.Marshal(one)
	if err != nil {
		return err
	}
	return s.table.Put(ctx, silencePrefix+one.ID, text)
}

// sweep deletes those that are over long since. All processes do it; deleting twice does no harm.
func (s *silences) sweep(ctx context.Context, now time.Time) {
	for _, one := range s.list() {
		if now.Sub(time.UnixMicro(one.Until)) <= keepOver {
			continue
		}
		if err := s.table.Delete(ctx, silencePrefix+one.ID); err != nil && ctx.Err() == nil {
			s.log.Warn("a silence that is over not deleted", "silence", one.ID, "error", err)
		}
	}
}
