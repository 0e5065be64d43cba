package device

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// Update is a summary of readings of one series: see package telemetry.
type Update = telemetry.Update

// Alert is one transition of one alert.
type Alert = telemetry.Alert

// Version orders the readings of a series.
type Version = telemetry.Version

// Unlimited as SubscribeOptions.MaxHz asks for all updates there are.
const Unlimited = -1

// SubscribeOptions say what to follow. Patterns is needed.
type SubscribeOptions struct {
	// Patterns select series as in MQTT: + is one segment, a last # any number, such as plant1/#.
	Patterns []string
	// MaxHz is how many updates of a series come in a second at most; 0 leaves it to the server.
	MaxHz float64
	// Fields are the columns wanted besides version, since and n; nil: all.
	Fields []string
	// Filter is a condition over a row, such as "max > 90 && tags.line == '3'". Series that do not meet it are out of the
	// view until they do.
	Filter string
	// Order ("worst", or a column with - before it for the greatest first) and Limit keep only the first Limit series in the
	// view.
	Order string
	Limit int
	// Points rows of a series come within Window at most; both or neither.
	Points int
	Window time.Duration
	// Cursor is where an earlier subscription to the same ended (Subscription.Cursor), perhaps of an earlier process.
	Cursor string

	// OnAlert, OnLeft and OnResync are called by Next and Updates, in the goroutine that calls them, before the rows: for each
	// transition of an alert, for each series that has left the view, and when what was known is void.
	OnAlert  func(Alert)
	OnLeft   func(series string)
	OnResync func(reason string)
}

func (o *SubscribeOptions) request() (wire.Subscribe, error) {
	r := wire.Subscribe{
		HasMaxHz: o.MaxHz != 0, MaxHz: max(0, o.MaxHz), Filter: o.Filter, Order: o.Order, Limit: o.Limit,
		Points: o.Points, WindowMS: o.Window.Milliseconds(),
	}
	if len(o.Patterns) == 0 {
		return r, errors.New("patterns: name one, such as plant1/# or # for all series")
	}
	for i, text := range o.Patterns {
		p, err := telemetry.ParsePattern(text)
		if err != nil {
			return r, fmt.Errorf("patterns[%d]: %q: %w", i, text, err)
		}
		r.Patterns = append(r.Patterns, p)
	}
	if !(o.MaxHz == Unlimited || o.MaxHz >= 0 && o.MaxHz <= wire.MaxRate) {
		return r, fmt.Errorf("max_hz: must be between 0 and %d, or Unlimited", wire.MaxRate)
	}
	var unknown int
	if r.Columns, unknown = wire.ParseColumns(o.Fields); unknown >= 0 {
		return r, fmt.Errorf("fields[%d]: there is no column %q", unknown, o.Fields[unknown])
	}
	if _, known := wire.ParseOrder(o.Order); o.Order != "" && !known {
		return r, fmt.Errorf("order: %q is neither worst nor a column", o.Order)
	}
	if o.Limit < 0 || o.Limit > wire.MaxLimit {
		return r, fmt.Errorf("limit: must be between 1 and %d", wire.MaxLimit)
	}
	if (o.Points > 0) != (r.WindowMS > 0) {
		return r, errors.New("points: needs a window, and a window points")
	}
	return r, nil
}

// Subscription follows the series that some patterns select, and their alerts. One goroutine at a time may read it; its
// other methods are safe for concurrent use.
type Subscription struct {
	live    *Live
	o       SubscribeOptions
	request wire.Subscribe
	strict  bool          // each series' first row says that nothing was before
	news    chan struct{} // to the one who reads: there is something

	rest []Update // the reader's: of what Updates has taken

	// Guarded by live.mu.
	phase   phase
	id      string // on this connection
	view    int
	cursor  string
	tried   string        // the cursor with which it came back when the chain last broke
	reason  string        // why the next snapshot is none of the first
	begun   bool          // there was a snapshot
	after   time.Time     // not asked for before
	broke   time.Time     // when the chain last broke
	mending time.Duration // that it then waited
	tracks  map[string]*track
	byIndex map[int]*track
	pending pending
	book    alertBook
	taken   int64 // frames in what was read last
	waiters []*waiter
	err     error
	stats   SubscriptionStats
}

// phase is where a subscription stands on the present connection.
type phase uint8

const (
	idle     phase = iota // to be asked for
	asked                 // its snapshot is awaited
	open                  // rows follow
	renewing              // the server begins anew: a snapshot is awaited, and alerts go on
	parked                // over on this connection until its alerts are read
	ended                 // for good
)

// there reports whether the server has the subscription, or will soon.
func (p phase) there() bool { return p == asked || p == open || p == renewing }

// hears reports whether transitions of alerts count: others come again with the snapshot, and in order.
func (p phase) hears() bool { return p == open || p == renewing }

// Subscribe begins to follow series. It does not wait: what is wrong with the request in the server's eyes is told by Next.
func (l *Live) Subscribe(o SubscribeOptions) (*Subscription, error) {
	request, err := o.request()
	if err != nil {
		return nil, fmt.Errorf("live: subscribe: %w", err)
	}
	s := &Subscription{
		live: l, o: o, request: request, strict: o.Filter == "" && o.Limit == 0 && o.Cursor == "", news: make(chan struct{}, 1),
		cursor: o.Cursor, tracks: make(map[string]*track),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return nil, l.failure
	}
	l.subs = append(l.subs, s)
	l.signal()
	return s, nil
}

// Close ends the subscription: Next returns ErrClosed.
func (s *Subscription) Close() {
	l := s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	s.leaveLocked()
	s.endLocked(ErrClosed)
	l.subs = slices.DeleteFunc(l.subs, func(other *Subscription) bool { return other == s })
}

// leaveLocked has the server told that the subscription is over on this connection.
func (s *Subscription) leaveLocked() {
	l := s.live
	if !s.phase.there() {
		return
	}
	l.gone = append(l.gone, s.id)
	l.signal()
	s.groundLocked()
}

// groundLocked forgets what holds for one connection.
func (s *Subscription) groundLocked() {
	l := s.live
	delete(l.byID, s.id)
	if l.byView[s.view] == s {
		delete(l.byView, s.view)
	}
	s.settleLocked(s.pending.frames + s.taken)
	s.pending.frames, s.taken, s.byIndex = 0, 0, nil
	if s.phase.there() {
		s.phase = idle
	}
}

func (s *Subscription) endLocked(why error) {
	if s.err != nil {
		return
	}
	s.phase, s.err = ended, why
	for _, w := range s.waiters {
		w.done <- why
	}
	s.waiters = nil
	s.notify()
}

func (s *Subscription) notify() {
	if !s.pending.news && s.err == nil {
		return
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// settleLocked grants the server as many frames as were used.
func (s *Subscription) settleLocked(frames int64) {
	if l := s.live; frames > 0 && l.o.Credit > 0 && l.current != nil {
		l.credit.grant(frames)
		l.signal()
	}
}

// Cursor is where the subscription stands, for SubscribeOptions.Cursor of a later one: what it has read or may read is
// before it. Empty: nothing came yet.
func (s *Subscription) Cursor() string {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	return s.cursor
}

// Err is why the subscription has ended; nil as long as it goes on. The server's refusal is an *Error.
func (s *Subscription) Err() error {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	return s.err
}

// Error is the server's refusal of a message.
type Error = wire.Error

// Next waits until something is new, or ctx ends, and returns all of that. When the subscription has ended and everything
// was read it returns why: see Err.
func (s *Subscription) Next(ctx context.Context) (*Changes, error) {
	for {
		c, err := s.take()
		if c != nil {
			s.call(c)
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-s.news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Subscription) call(c *Changes) {
	if c.Reset && c.Reason != "" && s.o.OnResync != nil {
		s.o.OnResync(c.Reason)
	}
	if s.o.OnAlert != nil {
		for i := range c.Alerts {
			s.o.OnAlert(c.Alerts[i])
		}
	}
	if s.o.OnLeft != nil {
		for _, series := range c.Left {
			s.o.OnLeft(series)
		}
	}
}

// take returns what is new, or why nothing will ever be.
func (s *Subscription) take() (*Changes, error) {
	l := s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	s.settleLocked(s.taken)
	s.taken = 0
	c := s.pending.take()
	if c == nil {
		return nil, s.err
	}
	s.taken, s.pending.frames = s.pending.frames, 0
	if s.phase == parked {
		s.phase = idle
		l.signal()
	}
	return c, nil
}

// Updates yields the rows of Next one by one, until ctx or the subscription ends. A loop that was left goes on where it was
// with the next call. Alerts and the rest are told by the callbacks of SubscribeOptions.
func (s *Subscription) Updates(ctx context.Context) iter.Seq[Update] {
	return func(yield func(Update) bool) {
		for {
			for len(s.rest) > 0 {
				u := s.rest[0]
				s.rest = s.rest[1:]
				if !yield(u) {
					return
				}
			}
			c, err := s.Next(ctx)
			if err != nil {
				return
			}
			s.rest = c.Rows
		}
	}
}
