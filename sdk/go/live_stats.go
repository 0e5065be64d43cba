package device

import (
	"encoding/json"
	"sync/atomic"
	"time"
)

// LiveStats is a reading of what a Live has done since NewLive.
type LiveStats struct {
	// Connects counts connections that opened, DialErrors those that did not.
	Connects, DialErrors int64
	State                LiveState
	// RTT is how long the newest app_ping took to be answered; 0: none has been.
	RTT time.Duration
	// Errors counts refusals that concern no subscription, room or message.
	Errors int64
}

type liveCounters struct{ connects, dialErrors, errors atomic.Int64 }

// Stats reads all counters.
func (l *Live) Stats() LiveStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LiveStats{
		Connects: l.count.connects.Load(), DialErrors: l.count.dialErrors.Load(), Errors: l.count.errors.Load(),
		State: l.state, RTT: l.rtt,
	}
}

// SubscriptionStats is a reading of what a subscription was told. Frames, Rows and Readings count snapshots' rows too, but
// not their frames.
type SubscriptionStats struct {
	// Rate is what the server has granted, in updates per second of a series; 0: unlimited.
	Rate                   float64
	Frames, Rows, Readings int64
	// Merged rows became part of others here because nobody had read those; what the server merged is in ServerStats.
	Merged int64
	// Waiting is how many rows nobody has read yet.
	Waiting int
	// Replays are rows that were told before, and discarded; Gaps breaks of a chain, after which the subscription came back
	// with its cursor, or began anew if that did not help.
	Replays, Gaps int64
	// Resyncs count snapshots after the first, Resumes returns without one.
	Resyncs, Resumes int64
	// Alerts counts transitions, AlertsRepeated those that were told before, and discarded.
	Alerts, AlertsRepeated int64
	// Lag is how long the newest frame took from the server, by the clocks of both.
	Lag time.Duration
}

func (s *SubscriptionStats) lag(pushTime int64, at time.Time) {
	if pushTime > 0 {
		s.Lag = time.Duration(at.UnixMicro()-pushTime) * time.Microsecond
	}
}

// Stats reads all counters.
func (s *Subscription) Stats() SubscriptionStats {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	n := s.stats
	n.Waiting = len(s.pending.changes.Rows)
	return n
}

// pongLocked measures the way to the server and back.
func (l *Live) pongLocked(k *liveLink, payload []byte) {
	var p struct {
		T int64 `json:"t"`
	}
	if json.Unmarshal(payload, &p) != nil {
		return
	}
	if rtt := time.Since(k.opened) - time.Duration(p.T)*time.Microsecond; rtt >= 0 {
		l.rtt = rtt
	}
}
