package device

import (
	"time"

	"weir/wire"
)

// pace keeps messages from coming faster than a server takes them: that drops what comes too fast, and in the end the
// connection.
type pace struct {
	rate  float64 // per second, and as many at once
	left  float64 // below 0: messages that could not wait were sent
	since time.Time
}

// begin starts anew with a connection.
func (p *pace) begin(rate float64, now time.Time) { *p = pace{rate, rate, now} }

// wait is how long it is until a message may go.
func (p *pace) wait(now time.Time) time.Duration {
	p.left = min(p.left+p.rate*now.Sub(p.since).Seconds(), max(1, p.rate))
	p.since = now
	if p.left >= 1 {
		return 0
	}
	return time.Duration((1-p.left)/p.rate*float64(time.Second)) + time.Millisecond
}

// slow halves the rate: the server takes fewer.
func (p *pace) slow() {
	p.rate = max(minMessageRate, p.rate/2)
	p.left = min(p.left, -p.rate*sendWait.Seconds())
}

func (p *pace) sent(messages int) { p.left -= float64(messages) }

// droppedLocked has all asked again that has no answer: the server has dropped a message, and does not say which.
func (l *Live) droppedLocked(now time.Time) {
	l.pace.slow()
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
