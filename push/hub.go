package push

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"weir/telemetry"
)

// hub is where the stream meets the subscribers. One lock guards the store, the views and who subscribes
// to what, so that "the state now and everything after it" is one step. See doc.go for the order of locks
// and for what may be done under this one.
type hub struct {
	log    *slog.Logger
	m      *meters
	bounds bounds
	now    func() time.Time
	born   time.Time
	wg     sync.WaitGroup // writers, encoders and timers at work; see done

	laggards sync.Pool // of *laggard
	deflater deflater
	window   *window

	readShares readShares

	catalog Catalog
	filters filters

	mu     sync.Mutex
	closed bool
	ready  bool // the store is complete; until then subscriptions wait in early
	early  []*subscription
	store  store
	at     positions

	encoders encoders
	views    map[viewKey]*view
	trie     telemetry.Trie[*view]
	lastView uint32
	mark     uint64 // number of the last alert fanned out
	// watches are the functions that are told of an alert's transitions, by its id.
	watches map[string]map[*func(*telemetry.Alert)]struct{}

	// Of the call under way.
	matched   []*view
	dirty     []*view
	conflated int
}

// bounds are the parts of Config that the hub applies.
type bounds struct {
	subscriptions, series int // of one connection
	views, viewRows       int // of all

	accountViews, accountRows int // of one account
	window                    int // bytes
	accountReadBack           int // bytes a minute
}

func newHub(log *slog.Logger, m *meters, epoch string, b bounds) *hub {
	h := &hub{
		log: log, m: m, bounds: b, now: time.Now, born: time.Now(),
		encoders:   newEncoders(),
		store:      newStore(),
		window:     newWindow(b.window),
		readShares: newReadShares(b.accountReadBack),
		catalog:    nothingKnown{},
		deflater:   newDeflater(m.compressed),
		at:         positions{epoch: epoch},
		views:      make(map[viewKey]*view),
	}
	h.laggards.New = func() any { return new(laggard) }
	return h
}

// load takes the newest updates of a partition's series from weir.latest, before the hub is ready. Of
// two updates of one series the newer counts.
func (h *hub) load(us []telemetry.Update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range us {
		s := h.seriesLocked(us[i].Series)
		if us[i].Version > s.last.Version {
			s.last = us[i]
			s.last.Series = s.name
		}
	}
}

// apply takes updates of a partition, in order, and tells that weir.updates has now been applied up to
// offset next. Views that may speak now do so before it returns.
func (h *hub) apply(partition int, us []telemetry.Update, next int64) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range us {
		h.applyLocked(&us[i])
	}
	h.at.move(&h.at.updates, partition, next)
	h.m.updates.Add(len(us))
	h.m.conflatedView.Add(h.conflated)
	h.conflated = 0
	h.flushDirtyLocked(now)
}

func (h *hub) applyLocked(u *telemetry.Update) {
	s := h.seriesLocked(u.Series)
	relation := u.Follow(s.last.Version)
	if relation == telemetry.Gap && s.last.Version == telemetry.NoVersion && !h.ready {
		relation = telemetry.Contiguous // the log begins here
	}
	switch relation {
	case telemetry.Contiguous:
		s.last = *u
		s.last.Series = s.name
		for _, m := range s.members {
			h.touchLocked(m.view)
			h.conflated += m.view.take(m.idx, &s.last)
		}
		return
	case telemetry.Replay:
		h.m.replays.Inc()
		return
	case telemetry.Gap:
		h.m.gaps.Inc()
	case telemetry.Overlap:
		h.m.overlaps.Inc()
	}
	s.last = *u
	s.last.Series = s.name
	for _, m := range s.members {
		h.touchLocked(m.view)
		m.view.broken = resyncGap
	}
}

func (h *hub) touchLocked(v *view) {
	if !v.dirty {
		v.dirty = true
		h.dirty = append(h.dirty, v)
	}
}

func (h *hub) flushDirtyLocked(now time.Time) {
	for _, v := range h.dirty {
		v.dirty = false
		v.flushOrWait(now)
	}
	clear(h.dirty)
	h.dirty = h.dirty[:0]
}

// seriesLocked finds a series, or makes it and puts it into the views it belongs to.
func (h *hub) seriesLocked(name string) *series {
	if s := h.store.series[name]; s != nil {
		return s
	}
	s := h.store.add(name)
	s.meta = h.catalog.Meta(name)
	for _, v := range h.matchLocked(name) {
		v.include(s)
	}
	h.m.series.Store(int64(len(h.store.series)))
	return s
}

// matchLocked returns the views that select a series, each once. The result is valid until the next call.
func (h *hub) matchLocked(name string) []*view {
	h.matched = h.trie.Match(name, h.matched[:0])
	slices.SortFunc(h.matched, func(a, b *view) int { return int(a.number) - int(b.number) })
	h.matched = slices.Compact(h.matched)
	return h.matched
}

// loadAlerts takes the open alerts of a partition from weir.latest, in place of those known.
func (h *hub) loadAlerts(partition int, open []telemetry.Alert) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, a := range h.store.alerts {
		if a.partition == partition {
			delete(h.store.alerts, id)
		}
	}
	for i := range open {
		h.store.transition(partition, &open[i])
	}
}

// alerts takes transitions of a partition's alerts, in order: each goes at once to every connection that
// subscribes to its series, once.
func (h *hub) alerts(partition int, transitions []telemetry.Alert, next int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range transitions {
		h.alertLocked(partition, &transitions[i])
	}
	h.at.move(&h.at.alerts, partition, next)
	h.m.alerts.Add(len(transitions))
}

func (h *hub) alertLocked(partition int, a *telemetry.Alert) {
	if !h.store.transition(partition, a) || !h.ready {
		return
	}
	for fn := range h.watches[a.ID] {
		(*fn)(a)
	}
	f := alertFrame(a)
	h.mark++
	for _, v := range h.matchLocked(a.Series) {
		v.tellNews()
		for _, s := range v.subs {
			if s.client.alertMark != h.mark {
				s.client.alertMark = h.mark
				s.client.send(f)
			}
		}
	}
}

// setReady says that the store is complete, and serves the subscriptions that waited for it.
func (h *hub) setReady() {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ready {
		return
	}
	h.ready = true
	early := h.early
	h.early = nil
	for _, s := range early {
		if err := h.joinLocked(s, now); err != nil {
			h.forgetLocked(s)
			s.client.send(errorFrame(err, s.id))
		}
	}
}

func (h *hub) isReady() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready
}

// resyncAll makes every view begin anew: the log went on without us.
func (h *hub) resyncAll(reason string) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.views {
		v.broken = reason
		h.touchLocked(v)
	}
	h.flushDirtyLocked(now)
}

// close flushes what the views hold and stops them. The connections stay.
func (h *hub) close() {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.views {
		v.flush(now)
		v.stop()
		v.tellNews()
	}
	h.closed = true
}
