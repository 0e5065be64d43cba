package device

import (
	"time"

	"weir/wire"
)

// slowFor is how long a rate that was halved stays so.
const slowFor = 30 * time.Second

// pace keeps messages from coming faster than a server takes them: that drops what comes too fast, and in the end the
// connection.
type pace struct {
	full   float64 // per second, and as many at once
	rate   float64 // as long as the server takes fewer
	left   float64 // below 0: messages that could not wait were sent
	since  time.Time
	slowed time.Time
}

// begin starts anew with a connection.
func (p *pace) begin(rate float64, now time.Time) {
	*p = pace{full: rate, rate: rate, left: rate, since: now}
}

// wait is how long it is until a message may go.
func (p *pace) wait(now time.Time) time.Duration {
	p.left = min(p.left+p.rate*now.Sub(p.since).Seconds(), max(1, p.rate))
	p.since = now
	if p.rate < p.full && now.Sub(p.slowed) >= slowFor {
		p.rate, p.slowed = min(p.full, 2*p.rate), now
	}
	if p.left >= 1 {
		return 0
	}
	return time.Duration((1-p.left)/p.rate*float64(time.Second)) + time.Millisecond
}

// slow halves the rate, once for all that was dropped together, and lets everything wait.
func (p *pace) slow(now time.Time) {
	if now.Sub(p.slowed) < sendWait {
		return
	}
	p.slowed = now
	p.rate = max(min(1, p.full), p.rate/2)
	p.left = min(p.left, -p.rate*sendWait.Seconds())
}

func (p *pace) sent(messages int) { p.left -= float64(messages) }

// droppedLocked has all asked again that has no answer: the server has dropped a message, and does not say which.
func (l *Live) droppedLocked(now time.Time) {
	l.ackTold = 0
	for _, s := range l.sends {
		s.sent = false
	}
	for _, r := range l.rooms {
		if r.phase == asked {
			r.phase, r.after = idle, now.Add(sendWait)
		}
	}
	for _, s := range l.subs {
		if s.phase == asked {
			s.leaveLocked()
			s.after = now.Add(sendWait)
		}
	}
	lose(&l.asks.stats)
	lose(&l.asks.rooms)
	l.signal()
}

// ackDueLocked is the message that tells what the user has read, or nil.
func (l *Live) ackDueLocked() []byte {
	if l.acked <= l.ackTold {
		return nil
	}
	l.ackTold = l.acked
	return (&wire.RoomRequest{Version: l.acked}).Append(nil, wire.TypeAck)
}
