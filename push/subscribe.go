package push

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// subscription is one client's interest in one view.
type subscription struct {
	id     string
	client *client
	key    viewKey

	// Guarded by hub.mu.
	patterns  []telemetry.Pattern
	view      *view      // nil until the hub is ready
	returning *returning // nil: it begins with the snapshot

	// Guarded by client.mu. Until open, the snapshot has not gone out and updates only gather. place is
	// where it stands in the lossless lane. next is the one shared frame that waits for the socket; behind is what
	// gathers when a second one comes; told is how much of the dictionary all of that tells of, and offered the number of the
	// view's newest frame in it.
	open    bool
	queued  bool
	place   *item
	next    *frame
	waits   told // in next
	behind  *cohort
	told    int
	offered uint64
	slow    bool // it is behind for another reason than that the writer has not had its turn of the processor
	figures figures
}

// subscriptions are those of a connection. Most have one, and few have more than some.
type subscriptions []*subscription

func (all subscriptions) named(id string) *subscription {
	for _, s := range all {
		if s.id == id {
			return s
		}
	}
	return nil
}

// viewKey identifies a view: equal subscriptions share one.
type viewKey struct {
	patterns string
	hz       float64
	columns  wire.ColumnSet
	filter   string // a condition that compiles; "": none
	order    string // "": no limit
	limit    int
}

// choice is what a subscription asks for.
type choice struct {
	patterns []telemetry.Pattern
	hz       float64
	columns  wire.ColumnSet
	filter   string
	order    string
	limit    int
}

// key is that of the view that serves the choice, with the patterns of that view. The rate is the nearest that is
// granted.
func (w *choice) key() (viewKey, []telemetry.Pattern) {
	patterns, text := canonical(w.patterns)
	key := viewKey{patterns: text, hz: granted(w.hz), columns: w.columns, filter: w.filter, order: w.order, limit: w.limit}
	if key.limit > 0 && key.order == "" {
		key.order = wire.OrderWorst
	}
	return key, patterns
}

// selection is which of its series a view tells of; nil: all.
func (h *hub) selection(k *viewKey) *selection {
	if k.filter == "" && k.limit == 0 {
		return nil
	}
	f, err := h.filters.get(k.filter)
	if err != nil {
		panic("push: the filter was not checked: " + err.Error())
	}
	var o *order
	if k.limit > 0 {
		o = newOrder(k.order)
	}
	return newSelection(f, o, k.limit)
}

// canonical sorts patterns and drops repeated ones.
func canonical(patterns []telemetry.Pattern) ([]telemetry.Pattern, string) {
	patterns = slices.Clone(patterns)
	byText := func(a, b telemetry.Pattern) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(patterns, byText)
	patterns = slices.CompactFunc(patterns, func(a, b telemetry.Pattern) bool { return a.String() == b.String() })
	var key strings.Builder
	for _, p := range patterns {
		key.WriteString(strconv.Itoa(len(p.String())))
		key.WriteByte(':')
		key.WriteString(p.String())
	}
	return patterns, key.String()
}

// subscribe gives c a subscription. The client's `subscribed` comes with the view's next frame, and
// everything after it continues exactly from there, or with from where the client was before.
func (h *hub) subscribe(c *client, id string, want choice, from *returning) error {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || c.left {
		return nil
	}
	if c.subs.named(id) != nil {
		return wire.NewError(wire.CodeSubscriptionExists, "payload.id")
	}
	if len(c.subs) >= h.bounds.subscriptions {
		return wire.NewError(wire.CodeSubscriptionsMany, "")
	}
	s := &subscription{id: id, client: c, returning: from}
	if from != nil {
		from.of = c.account
	}
	s.key, s.patterns = want.key()
	for _, other := range c.subs {
		if other.key == s.key { // a view that is shared cannot begin twice on one connection
			return &wire.Error{
				Code: wire.CodeSubscriptionExists, Path: "payload.patterns",
				Message: fmt.Sprintf("the connection has the same at max_hz %v already, as %q", s.key.hz, other.id),
			}
		}
	}
	if h.ready {
		if err := h.joinLocked(s, now); err != nil {
			return err
		}
	} else {
		h.early = append(h.early, s)
	}
	c.subs = append(c.subs, s)
	h.m.subscriptions.Add(1)
	return nil
}

// joinLocked gives a subscription its view, which is made if need be. An error is for the client.
func (h *hub) joinLocked(s *subscription, now time.Time) *wire.Error {
	v, err := h.useViewLocked(s.key, s.patterns, s.client.account, s.client.seriesLocked())
	if err != nil {
		return err
	}
	s.view, s.key, s.patterns = v, v.key, v.patterns // the same, kept once for all
	v.join(s, now)
	return nil
}

// useViewLocked returns the view of a key for one more user, of an account and with so many series already. It is made if
// need be.
func (h *hub) useViewLocked(key viewKey, patterns []telemetry.Pattern, of *account, have int) (*view, *wire.Error) {
	const noRoom = "the server has no room for another set of patterns and max_hz"
	v := h.views[key]
	var members []*series
	var size int
	switch {
	case v != nil:
		size = v.count()
	case len(h.views) >= h.bounds.views:
		return nil, subscriptionsMany(noRoom)
	default:
		members = h.store.selected(patterns, h.bounds.series+1)
		size = len(members)
	}
	if have+size > h.bounds.series {
		return nil, subscriptionsMany(fmt.Sprintf("the connection's subscriptions may select %d series together; ask for fewer", h.bounds.series))
	}
	if err := of.refuseLocked(v, size, &h.bounds); err != nil {
		return nil, err
	}
	if v == nil {
		if int(h.m.viewRows.Load())+size > h.bounds.viewRows {
			return nil, subscriptionsMany(noRoom)
		}
		v = h.openViewLocked(key, patterns, members)
	}
	v.users++
	of.useLocked(v)
	return v, nil
}

func subscriptionsMany(message string) *wire.Error {
	return &wire.Error{Code: wire.CodeSubscriptionsMany, Message: message}
}

// seriesLocked is how many series the connection's subscriptions select.
func (c *client) seriesLocked() (n int) {
	for _, s := range c.subs {
		if s.view != nil {
			n += s.view.count()
		}
	}
	return n
}

// unsubscribe ends the subscription of that id and reports whether there was one.
func (h *hub) unsubscribe(c *client, id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := c.subs.named(id)
	if s == nil {
		return false
	}
	h.leaveLocked(s)
	return true
}

// leave ends all subscriptions of a connection, and lets it make no new ones.
func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.left = true
	for _, s := range slices.Clone(c.subs) {
		h.leaveLocked(s)
	}
}

func (h *hub) forgetLocked(s *subscription) {
	s.client.subs = slices.DeleteFunc(s.client.subs, func(e *subscription) bool { return e == s })
	h.m.subscriptions.Add(-1)
}

func (h *hub) leaveLocked(s *subscription) {
	h.forgetLocked(s)
	s.client.forget(s)
	if s.view == nil {
		h.early = slices.DeleteFunc(h.early, func(e *subscription) bool { return e == s })
		return
	}
	s.view.leave(s)
	s.view.quitLocked(s.client.account)
	h.giveUpTurnLocked(s)
}
