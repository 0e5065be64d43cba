package push

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// resumed is what came of a subscription that goes on from its cursor; the others are reasons why one begins anew.
const (
	resumed       = "resumed"
	resyncTooOld  = "cursor_too_old"
	resyncEpoch   = "epoch_changed"
	resyncInvalid = "cursor_invalid"
)

// Bounds of catching up: how many updates are merged for the subscriptions of a view that come back together, how
// much of the log is read for them, and for how long. Beyond them they begin anew, which costs them the readings'
// extremes and nobody else anything.
const (
	maxCatchUpUpdates = 4_000_000
	maxReadBack       = 16 << 20 // bytes of a partition
	readBackTime      = 3 * time.Second
)

var (
	errTooOld  = errors.New("push: the cursor is older than what can be told again")
	errInexact = errors.New("push: what happened since the cursor does not join up")
)

// catchUp merges what happened in a view since some cursors. It is made when nothing is pending in the view, and works
// without hub.mu.
type catchUp struct {
	hub      *hub
	window   *window
	askers   []*account // for whom the log is read, if it has to be
	to       *positions
	patterns []telemetry.Pattern
	state    *snapshot // where each chain has to end

	index   map[string]standing
	devices map[string]struct{} // those of index, once one has to be known
	spans   map[spanKey][]since
	updates int // merged so far
}

// standing is where a series stands: its index in the dictionary, and its newest version.
type standing struct {
	index   uint32
	version telemetry.Version
}

type spanKey struct {
	topic     string
	partition int
}

// since is a record of the log, decoded: the updates of the view's series, or a transition of their alerts.
type since struct {
	offset  int64
	updates []telemetry.Update
	alert   *telemetry.Alert
	deleted string // a device that was deleted here
}

// missed is what a subscription is told when it comes back.
type missed struct {
	pending
	alerts  []telemetry.Alert // transitions, in order of their partition
	deleted bool              // of devices some were deleted
}

// catchUpLocked is for a view whose state is of this moment.
func (h *hub) catchUpLocked(patterns []telemetry.Pattern, state *snapshot) *catchUp {
	return &catchUp{hub: h, window: h.window, to: h.at.clone(), patterns: patterns, state: state, spans: make(map[spanKey][]since)}
}

// load reads the records of a topic since the oldest of the cursors, once for all of them.
func (c *catchUp) load(ctx context.Context, topic string, cursors map[string]*positions) error {
	ctx, cancel := context.WithTimeout(ctx, readBackTime)
	defer cancel()
	if c.index == nil {
		c.index = c.state.standings()
	}
	for p, to := range c.to.of(topic) {
		from := to
		for _, at := range cursors {
			from = min(from, at.of(topic)[p])
		}
		if err := c.loadSpan(ctx, spanKey{topic, p}, from, to); err != nil {
			return err
		}
	}
	return nil
}

// standings says where each series stands.
func (s *snapshot) standings() map[string]standing {
	out := make(map[string]standing, len(s.rows))
	for i := range s.rows {
		out[s.rows[i].Series] = standing{s.place(i), s.rows[i].Version}
	}
	return out
}

// of is the positions in a topic, by partition.
func (p *positions) of(topic string) []int64 { return *p.all(topic) }

func (p *positions) all(topic string) *[]int64 {
	if topic == wire.TopicAlerts {
		return &p.alerts
	}
	return &p.updates
}

// begin says that a partition of a topic is followed from an offset on: what is before it is in the store.
func (h *hub) begin(topic string, partition int, from int64) {
	h.window.begin(topic, partition, from)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at.move(h.at.all(topic), partition, from)
}

func (c *catchUp) loadSpan(ctx context.Context, at spanKey, from, to int64) error {
	if from >= to {
		return nil
	}
	records, cost, err := c.window.read(ctx, at.topic, at.partition, from, to)
	c.spend(cost)
	if err != nil {
		return err
	}
	for i := range records {
		s, err := c.decode(at.topic, &records[i])
		if err != nil {
			return fmt.Errorf("%w: %w", errInexact, err)
		}
		if s.alert != nil || s.deleted != "" || len(s.updates) > 0 {
			c.spans[at] = append(c.spans[at], s)
		}
	}
	return nil
}

func (c *catchUp) decode(topic string, r *stored) (since, error) {
	s := since{offset: r.offset}
	if topic == wire.TopicAlerts {
		a, err := wire.DecodeAlert(r.value)
		if err == nil && matchesAny(c.patterns, a.Series) {
			s.alert = &a
		}
		return s, err
	}
	if wire.IsControl(r.value) {
		control, err := wire.DecodeControl(r.value)
		if control.Kind == wire.ControlDeleteDevice {
			s.deleted = control.Device
		}
		return s, err
	}
	us, err := wire.DecodeUpdateBatch(r.value, nil, nil)
	if err != nil {
		return s, err
	}
	for i := range us {
		if _, here := c.index[us[i].Series]; here {
			s.updates = append(s.updates, us[i])
		}
	}
	return s, nil
}

func matchesAny(patterns []telemetry.Pattern, path string) bool {
	for _, p := range patterns {
		if p.Match(path) {
			return true
		}
	}
	return false
}

// since merges what the view told after a cursor. Each series' row begins where the cursor left it, and ends at the
// newest version, or there is an error.
func (c *catchUp) since(cursor *positions) (*missed, error) {
	out := new(missed)
	for p, from := range cursor.updates {
		if err := c.mergeSpan(out, c.spans[spanKey{wire.TopicUpdates, p}], from); err != nil {
			return nil, err
		}
	}
	for i := range out.rows {
		if out.rows[i].Version != c.index[out.rows[i].Series].version {
			return nil, errInexact
		}
	}
	out.alerts = c.transitions(cursor)
	return out, nil
}

// transitions are those of alerts after a cursor.
func (c *catchUp) transitions(cursor *positions) (out []telemetry.Alert) {
	for p, from := range cursor.alerts {
		for _, s := range c.spans[spanKey{wire.TopicAlerts, p}] {
			if s.offset >= from {
				out = append(out, *s.alert)
			}
		}
	}
	return out
}

func (c *catchUp) mergeSpan(out *missed, span []since, from int64) error {
	for i := range span {
		s := &span[i]
		if s.offset < from {
			continue
		}
		if s.deleted != "" {
			if c.has(s.deleted) { // what came back is another one than the client knows
				return errInexact
			}
			out.deleted = true
		}
		if c.updates += len(s.updates); c.updates > maxCatchUpUpdates {
			return errTooOld
		}
		for j := range s.updates {
			if err := c.merge(out, &s.updates[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// has reports whether the view has series of a device.
func (c *catchUp) has(device string) bool {
	if c.devices == nil {
		c.devices = make(map[string]struct{})
		for name := range c.index {
			of, _, _ := telemetry.SplitSeries(name)
			c.devices[of] = struct{}{}
		}
	}
	_, has := c.devices[device]
	return has
}

// merge adds an update as the hub did: a repetition is left out, and anything else that does not join up is an error.
func (c *catchUp) merge(out *missed, u *telemetry.Update) error {
	idx := c.index[u.Series].index
	seen, known := out.version(idx)
	if known && u.Follow(seen) == telemetry.Replay {
		return nil
	}
	if _, err := out.add(idx, u); err != nil {
		return fmt.Errorf("%w: %w", errInexact, err)
	}
	return nil
}

// version is that of the row of the series at idx, if there is one.
func (p *pending) version(idx uint32) (v telemetry.Version, ok bool) {
	if int(idx) >= len(p.place) || p.place[idx] == 0 {
		return 0, false
	}
	return p.rows[p.place[idx]-1].Version, true
}
