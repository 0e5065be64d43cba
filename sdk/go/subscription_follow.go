package device

import (
	"strconv"
	"time"

	"weir/telemetry"
	"weir/wire"
)

const (
	// maxAlerts is how many transitions may wait for who reads. One more ends the subscription on its connection until they
	// are read; then it goes on from its cursor, by which the server tells the others again.
	maxAlerts = 4096
	// brokenWait is how long a subscription waits whose chain breaks for the second time, and brokenWaitMax, up to which that
	// doubles while breaks follow one another, the longest.
	brokenWait    = time.Second
	brokenWaitMax = 30 * time.Second
	// crowdedWait is how long it waits when the server has no room for it.
	crowdedWait = 5 * time.Second
)

// Reasons of a Reset that are the client's own.
const (
	reasonGap        = "gap"
	reasonNotResumed = "not_resumed"
)

// subscriptionsDueLocked are the requests that are to be sent now, and how long until others are.
func (l *Live) subscriptionsDueLocked(now time.Time) (messages [][]byte, again time.Duration) {
	for _, s := range l.subs {
		if s.phase != idle {
			continue
		}
		if wait := l.pace.wait(now); wait > 0 {
			return messages, sooner(again, wait)
		}
		m, wait := s.dueLocked(now)
		if messages, again = appendMessage(messages, m), sooner(again, wait); m != nil {
			l.pace.sent(1)
		}
	}
	return messages, again
}

// dueLocked is the message to send now, or nil, or how long to wait with it.
func (s *Subscription) dueLocked(now time.Time) (message []byte, wait time.Duration) {
	if s.phase != idle {
		return nil, 0
	}
	if wait := s.after.Sub(now); wait > 0 {
		return nil, wait
	}
	l := s.live
	l.number++
	// An id of its own for each attempt: answers to earlier ones may be on their way.
	s.id, s.phase = strconv.FormatUint(l.number, 10), asked
	l.byID[s.id] = s
	r := s.request
	r.ID, r.Cursor = s.id, s.cursor
	return r.Append(nil), 0
}

func (l *Live) resyncLocked(m *wire.Resync) {
	s := l.byID[m.ID]
	if m.ID == "" {
		s = l.byView[m.View]
	}
	if s == nil {
		return
	}
	if l.byView[s.view] == s {
		delete(l.byView, s.view)
	}
	s.reason, s.cursor = m.Reason, ""
	if s.phase == open {
		s.phase = renewing
	}
}

// subscribedLocked takes a snapshot, or what has been missed.
func (s *Subscription) subscribedLocked(m *wire.Subscribed, at time.Time) {
	l := s.live
	if l.byView[s.view] == s {
		delete(l.byView, s.view)
	}
	s.phase, s.view = open, m.View
	l.byView[m.View] = s
	s.byIndex = make(map[int]*track, len(m.Dictionary))
	s.stats.Rate = m.MaxHz
	if m.Resumed {
		s.stats.Resumes++
		s.pending.news, s.pending.changes.Resumed = true, true
	} else {
		s.beginLocked()
	}
	s.begun = true
	s.pending.stamp(m.PushTime, at)
	s.entriesLocked(m.Dictionary)
	if m.Resumed {
		s.dismissLocked()
	}
	defer s.notify()
	for i := range m.Alerts {
		s.transitionLocked(&m.Alerts[i], m.Resumed)
	}
	if s.phase != open {
		return // the rows come again with the other alerts
	}
	if !s.rowsLocked(m.Rows, !m.Resumed) {
		s.cursor = "" // it has led here
		s.brokenLocked(at)
		return
	}
	s.leftLocked(m.Left)
	if !m.Resumed {
		open := stillOpen(m.Alerts)
		s.book.retain(open)
		s.pending.changes.Open = open
	}
	s.cursorLocked(m.Cursor)
}

// beginLocked forgets what was known.
func (s *Subscription) beginLocked() {
	reason := s.reason
	if s.begun {
		if reason == "" {
			reason = reasonNotResumed
		}
		s.stats.Resyncs++
	}
	s.reason = ""
	clear(s.tracks)
	s.pending.begin(reason)
}

func (s *Subscription) entriesLocked(entries []wire.Entry) {
	for _, e := range entries {
		t := s.tracks[e.Series]
		if t == nil {
			t = &track{series: e.Series}
			s.tracks[e.Series] = t
		}
		s.byIndex[e.I] = t
		s.pending.name(t, e.Meta)
	}
}

func (s *Subscription) nameLocked(m *wire.SeriesMsg, at time.Time) {
	for _, i := range m.Removed { // first, as one that comes back has the same name
		if t := s.byIndex[i]; t != nil {
			delete(s.byIndex, i)
			s.removeLocked(t)
		}
	}
	s.entriesLocked(m.Added)
	s.entriesLocked(m.Changed)
	s.pending.stamp(s.pending.changes.PushTime, at)
	s.notify()
}

// dismissLocked parts with series that a view does not name which goes on: they were deleted meanwhile.
func (s *Subscription) dismissLocked() {
	here := make(map[*track]bool, len(s.byIndex))
	for _, t := range s.byIndex {
		here[t] = true
	}
	for _, t := range s.tracks {
		if !here[t] {
			s.removeLocked(t)
		}
	}
}

func (s *Subscription) removeLocked(t *track) {
	delete(s.tracks, t.series)
	s.pending.remove(t)
}

// updatesLocked takes a frame of rows.
func (l *Live) updatesLocked(m *wire.Updates, at time.Time) {
	l.credit.got++
	s := l.byView[m.View]
	if s == nil {
		if l.o.Credit > 0 {
			l.credit.grant(1)
			l.signal()
		}
		return
	}
	s.pending.frames++
	s.stats.Frames++
	s.stats.lag(m.PushTime, at)
	s.pending.stamp(m.PushTime, at)
	if !s.rowsLocked(m.Rows, false) {
		s.brokenLocked(at)
		return
	}
	s.leftLocked(m.Left)
	s.cursorLocked(m.Cursor)
	s.notify()
	if !s.pending.news { // nobody will be told of the frame
		s.settleLocked(s.pending.frames)
		s.pending.frames = 0
	}
}

// rowsLocked takes the rows of a message if each continues what came before, and else none: what was told is then what the
// newest cursor says. first: they are of a snapshot, which begins chains. A message has one row of a series at most.
func (s *Subscription) rowsLocked(rows []wire.Row, first bool) bool {
	for i := range rows {
		t := s.byIndex[rows[i].I]
		if t == nil {
			return false
		}
		if r := s.relationLocked(t, rows[i].Update, first); r != telemetry.Contiguous && r != telemetry.Replay {
			return false
		}
	}
	for i := range rows {
		if !s.rowLocked(s.byIndex[rows[i].I], rows[i].Update, first) {
			return false
		}
	}
	return true
}

func (s *Subscription) relationLocked(t *track, u *Update, first bool) telemetry.Relation {
	switch {
	case first || !t.known && !s.strict:
		return telemetry.Contiguous
	case t.known:
		return u.Follow(t.version)
	default:
		return u.Follow(telemetry.NoVersion)
	}
}

// rowLocked takes a row that was proved, and reports whether it could be added to what nobody has read.
func (s *Subscription) rowLocked(t *track, u *Update, first bool) bool {
	if s.relationLocked(t, u, first) == telemetry.Replay {
		s.replayLocked(t, u)
		return true
	}
	merged, err := s.pending.add(t, u)
	if err != nil {
		return false
	}
	t.version, t.known, t.out = u.Version, true, false
	s.stats.Rows++
	s.stats.Readings += int64(u.N)
	if merged {
		s.stats.Merged++
	}
	s.reachedLocked(t)
	return true
}

// replayLocked takes a row that was told before: it may say that its series is in the view again.
func (s *Subscription) replayLocked(t *track, u *Update) {
	if !t.out || u.Version != t.version {
		s.stats.Replays++
		return
	}
	t.out = false
	s.pending.again(t, u)
}

func (s *Subscription) leftLocked(left []uint32) {
	for _, i := range left {
		if t := s.byIndex[int(i)]; t != nil {
			t.out = true
			s.pending.leave(t)
		}
	}
}

func (s *Subscription) cursorLocked(cursor string) {
	if cursor != "" {
		s.cursor = cursor
		s.book.settle()
	}
}

// brokenLocked has the subscription asked for again, as something is missing: from the newest cursor on, so that the server
// tells what that was, and the alerts meanwhile. If there is none, or it has led here before, the subscription begins anew.
// A chain that held for long is trusted again, and asked for at once.
func (s *Subscription) brokenLocked(now time.Time) {
	s.stats.Gaps++
	if now.Sub(s.broke) > 2*brokenWaitMax {
		s.mending = 0
	} else {
		s.mending = min(brokenWaitMax, max(brokenWait, 2*s.mending))
	}
	s.broke, s.after = now, now.Add(s.mending)
	s.leaveLocked()
	if s.cursor == "" || s.cursor == s.tried {
		s.cursor, s.reason = "", reasonGap
	}
	s.tried = s.cursor
	s.notify()
}

// alertLocked takes a transition if it is of a series that is followed.
func (s *Subscription) alertLocked(a *Alert, at time.Time) {
	if !s.phase.hears() || !s.follows(a.Series) {
		return
	}
	s.pending.stamp(s.pending.changes.PushTime, at)
	s.transitionLocked(a, true)
	s.notify()
}

func (s *Subscription) follows(series string) bool {
	for _, p := range s.request.Patterns {
		if p.Match(series) {
			return true
		}
	}
	return false
}

// transitionLocked keeps a transition that is new. bounded: if there is no room, it can be told again.
func (s *Subscription) transitionLocked(a *Alert, bounded bool) {
	switch {
	case !s.phase.hears(): // told again later
	case !s.book.isNew(a):
		s.stats.AlertsRepeated++
	case bounded && len(s.pending.changes.Alerts) >= maxAlerts:
		s.leaveLocked()
		s.phase = parked
	default:
		s.book.enter(a)
		s.pending.transition(a)
		s.stats.Alerts++
	}
}

// refusedLocked ends the subscription, or has it asked for again if the server may have room later.
func (s *Subscription) refusedLocked(e *wire.Error) {
	temporary := e.Code == wire.CodeOverloaded || e.Code == wire.CodeNotReady || e.Code == wire.CodeInternal ||
		e.Code == wire.CodeSubscriptionsMany && s.begun
	if !temporary {
		s.groundLocked()
		s.endLocked(e)
		return
	}
	s.groundLocked()
	s.phase, s.after = idle, time.Now().Add(crowdedWait)
	s.live.signal()
}
