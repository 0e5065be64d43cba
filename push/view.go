package push

import (
	"slices"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// Reasons of resync.
const (
	resyncGap      = "gap"
	resyncLog      = "log_truncated"
	resyncInternal = "internal"
	resyncRemoved  = "series_removed"
)

// joinPeriod is how long a view lets subscribers wait for each other: all who come within it share one
// snapshot, and a view that speaks rarely speaks early for them, but not more often than this.
const joinPeriod = 50 * time.Millisecond

// view is what equal subscriptions share: which series they see, what is new since the last frame, and
// when the next may go out. Guarded by hub.mu.
type view struct {
	hub      *hub
	key      viewKey
	number   uint32
	patterns []telemetry.Pattern
	period   time.Duration // between frames; 0: a frame for every batch that arrives

	dictionary []wire.Entry // append-only: readers may keep a prefix without the lock
	members    []*series    // by index; nil: it is gone
	gone       int          // how many are
	lent       bool         // somebody has a part of it
	told       int          // how much of the dictionary the frames up to now tell of
	selection  *selection   // nil: all series are told of, and each stands in the dictionary at its index
	pending    gathered     // with a selection: only while the view speaks

	users   int           // subscriptions, also those whose turn to join has not come, and requests that wait for news
	news    chan struct{} // closed when there is some; nil: nobody waits for it
	subs    []*subscription
	waiting []*subscription // for their snapshot
	queued  bool            // for an encoder

	dirty   bool
	broken  string // the reason, when all subscribers must begin anew
	flushed time.Time
	spoken  uint64 // frames
	timer   *time.Timer
	due     time.Time // when the timer fires; zero: it does not
	size    int       // of the last frame: the next will be about as large
	held    int       // as counted
}

// openViewLocked makes a view of the series that its patterns select.
func (h *hub) openViewLocked(key viewKey, patterns []telemetry.Pattern, members []*series) *view {
	h.lastView++
	v := &view{hub: h, key: key, number: h.lastView, patterns: patterns, selection: h.selection(&key)}
	if key.hz > 0 {
		v.period = time.Duration(float64(time.Second) / key.hz)
	}
	for _, s := range members {
		v.include(s)
	}
	for _, p := range patterns {
		h.trie.Add(p, v)
	}
	h.views[key] = v
	h.m.views.Store(int64(len(h.views)))
	return v
}

func (h *hub) closeViewLocked(v *view) {
	v.stop()
	for _, p := range v.patterns {
		h.trie.Remove(p, v)
	}
	for _, s := range v.members {
		if s != nil {
			s.members = slices.DeleteFunc(s.members, func(m member) bool { return m.view == v })
			s.toldAlone()
		}
	}
	delete(h.views, v.key)
	h.m.viewRows.Add(-int64(v.count()))
	h.m.heldRows.Add(-int64(v.held))
	h.m.views.Store(int64(len(h.views)))
}

// include gives a series the next index.
func (v *view) include(s *series) {
	idx := uint32(len(v.members))
	s.members = append(s.members, member{view: v, idx: idx})
	v.members = append(v.members, s)
	v.hub.m.viewRows.Add(1)
	if v.selection != nil {
		v.selection.include(s)
		return
	}
	v.enter(idx)
}

// enter puts a series into the dictionary, and returns how long that is then.
func (v *view) enter(idx uint32) int {
	v.dictionary = append(v.dictionary, wire.Entry{I: int(idx), Series: v.members[idx].name, Meta: v.members[idx].meta})
	return len(v.dictionary)
}

// take merges an update of the series at idx, and returns 1 if a row was there already. A broken view
// begins anew with a snapshot, which has the update.
func (v *view) take(idx uint32, u *telemetry.Update) (merged int) {
	if v.broken != "" {
		return 0
	}
	var known bool
	var err error
	if v.selection != nil {
		known, err = v.selection.take(idx, u)
	} else {
		known, err = v.pending.add(idx, u)
	}
	if err != nil {
		v.breakInternally(u.Series)
	}
	if known {
		return 1
	}
	return 0
}

// breakInternally is for mistakes of this package: better to begin anew than to tell what is not so.
func (v *view) breakInternally(series string) {
	v.broken = resyncInternal
	v.hub.m.overlaps.Inc()
	v.hub.log.Error("pending updates do not touch", "view", v.number, "series", series)
}

// join lets a subscription wait, when its turn has come, for the view's next frame, which comes at once
// when the view is idle.
func (v *view) join(s *subscription, now time.Time) {
	if !v.hub.turnLocked(s) {
		return
	}
	v.waiting = append(v.waiting, s)
	v.flushOrWait(now)
}

func (v *view) leave(s *subscription) {
	is := func(e *subscription) bool { return e == s }
	v.subs = slices.DeleteFunc(v.subs, is)
	v.waiting = slices.DeleteFunc(v.waiting, is)
}

// quitLocked is for a user of the view, of an account, who needs it no more. The last one closes it.
func (v *view) quitLocked(of *account) {
	of.quitLocked(v)
	if v.users--; v.users == 0 {
		v.hub.closeViewLocked(v)
	}
}

// wait is how long after one frame the next may come.
func (v *view) wait() time.Duration {
	if len(v.waiting) > 0 && !v.queued || v.broken != "" {
		return min(v.period, joinPeriod)
	}
	return v.period
}

// flushOrWait speaks now when the view may, and otherwise sees to it that the timer does.
func (v *view) flushOrWait(now time.Time) {
	due := v.flushed.Add(v.wait())
	if !now.Before(due) {
		v.flush(now)
		return
	}
	if !v.due.IsZero() && !v.due.After(due) {
		return
	}
	v.due = due
	if v.timer == nil {
		v.timer = time.AfterFunc(due.Sub(now), v.tick)
		return
	}
	v.timer.Reset(due.Sub(now))
}

// tick is called by the timer.
func (v *view) tick() {
	now := v.hub.now()
	v.hub.mu.Lock()
	defer v.hub.mu.Unlock()
	if v.due.IsZero() {
		return
	}
	v.due = time.Time{}
	v.flushOrWait(now)
}

// stop ends the timer. A tick on its way finds nothing due.
func (v *view) stop() {
	v.due = time.Time{}
	if v.timer != nil {
		v.timer.Stop()
	}
}

// flush empties the view: what is pending goes to the subscribers, and then, where state and stream meet
// without anything between, those who wait get their snapshot and become subscribers.
func (v *view) flush(now time.Time) {
	if v.hub.closed {
		return
	}
	v.stop()
	v.flushed = now
	v.choose()
	v.holds()
	if v.broken != "" || v.pending.any() {
		v.tellNews()
	}
	if v.broken == "" && v.pending.any() {
		v.speak(now)
	}
	if v.broken != "" {
		v.restart()
	}
	if len(v.waiting) > 0 && !v.queued {
		v.welcomeOrQueue()
	}
}

// choose decides what a view with a selection tells.
func (v *view) choose() {
	if v.selection != nil && v.broken == "" {
		v.selection.choose(&v.pending, v.enter)
	}
}

// holds counts what a selection keeps out.
func (v *view) holds() {
	held := 0
	if v.selection != nil {
		held = v.selection.held
	}
	v.hub.m.heldRows.Add(int64(held - v.held))
	v.held = held
}

// speak offers what is pending to every subscriber.
func (v *view) speak(now time.Time) {
	v.spoken++
	f := flush{view: v, number: v.spoken, pushed: now.UnixMicro(), cursor: v.hub.at.cursor()}
	f.told = v.pending.told(f.pushed)
	for _, s := range v.subs {
		if err := s.client.offer(s, &f); err != nil {
			v.breakInternally("")
		}
	}
	if f.missed != nil {
		f.missed.leave()
	}
	if v.pending.len() > 0 {
		v.hub.m.observe(&v.pending.rows[0], f.pushed)
	}
	v.told = len(v.dictionary)
	v.pending.reset()
}

// restart makes all subscribers wait for a new snapshot, and tells them so.
func (v *view) restart() {
	if v.gone > 0 {
		v.shrink()
	}
	f := resyncFrame(v.number, v.broken)
	for _, s := range v.subs {
		s.client.restart(s, f)
		s.returning = v.hub.stayLocked(v.broken)
		if v.hub.turnLocked(s) {
			v.waiting = append(v.waiting, s)
		}
	}
	clear(v.subs)
	v.subs = v.subs[:0]
	v.broken = ""
	v.pending.reset()
	v.reselect()
}

// reselect lets a selection begin anew: nobody has been told of anything.
func (v *view) reselect() {
	if v.selection == nil {
		return
	}
	v.selection, v.dictionary, v.told = v.hub.selection(&v.key), nil, 0
	for _, s := range v.members {
		v.selection.include(s)
	}
	v.choose()
	v.pending.reset()
}

// flush is one frame of a view on its way to the subscribers. It is encoded when the first of them can take it, for each
// encoding that one of them uses.
type flush struct {
	view   *view
	number uint64
	pushed int64
	cursor string
	told   told
	shared variants
	missed *cohort // of those who fall behind with it; nil: nobody does
}

func (f *flush) frame(e encoding) *frame {
	return f.shared.frame(e, f.cursor, f.encode)
}

func (f *flush) encode(e encoding) frame {
	v := f.view
	told := rows{
		view: v.number, columns: v.key.columns, dictionary: v.dictionary, from: v.told, gathered: &v.pending,
		cursor: f.cursor, pushed: f.pushed, size: v.size, members: v.members,
	}
	out := told.frame(e)
	if e == asJSON {
		v.size = len(out.body)
	}
	return out
}
