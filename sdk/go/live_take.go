package device

import (
	"time"

	"weir/wire"
)

// takeLocked does what a message of the server asks for.
func (l *Live) takeLocked(k *liveLink, message wire.ServerMessage, at time.Time) {
	switch m := message.(type) {
	case *wire.Welcome:
		l.welcomeLocked(k, m)
	case *wire.Subscribed:
		if s := l.byID[m.ID]; s != nil {
			k.used = true
			s.subscribedLocked(m, at)
		}
	case *wire.SeriesMsg:
		if s := l.byView[m.View]; s != nil {
			s.nameLocked(m, at)
		}
	case *wire.Updates:
		l.updatesLocked(m, at)
	case *wire.AlertMsg:
		for _, s := range l.subs {
			s.alertLocked(&m.Alert, at)
		}
	case *wire.Resync:
		l.resyncLocked(m)
	case *wire.Draining:
		k.away = awayFor(m)
	case *wire.TokenExpiring:
		k.renew, k.expires = true, m.ExpiresAt
		l.signal()
	case *wire.Ping:
		l.postLocked((&wire.Pong{Payload: m.Payload}).Append(nil))
	case *wire.Pong:
		l.pongLocked(k, m.Payload)
	case *wire.Stats:
		answer(&l.asks.stats, m)
	case *wire.ErrorMsg:
		l.errorLocked(m)
	default:
		l.takeOfRoomsLocked(k, message)
	}
}

func (l *Live) takeOfRoomsLocked(k *liveLink, message wire.ServerMessage) {
	switch m := message.(type) {
	case *wire.RoomList:
		answer(&l.asks.rooms, m)
	case *wire.MessageReceipt:
		l.receiptLocked(m)
	case *wire.Joined:
		k.used = true
		l.joinedLocked(m)
	case *wire.Left:
		l.leftRoomLocked(m)
	case *wire.RoomPresence:
		l.presenceLocked(k, m)
	}
}

func (l *Live) welcomeLocked(k *liveLink, m *Welcome) {
	k.greeted, k.heartbeat, k.session = true, time.Duration(m.HeartbeatMS)*time.Millisecond, m.Session
	if l.welcome != nil && l.welcome.Epoch != m.Epoch { // versions of before say nothing any more
		l.inbox, l.acked = 0, 0
		for _, r := range l.rooms {
			r.forgetLocked()
		}
	}
	l.welcome = m
	l.signal()
}

// errorLocked finds out what was refused.
func (l *Live) errorLocked(e *wire.ErrorMsg) {
	refusal, now := e.Error, time.Now()
	if e.Code == wire.CodeOverloaded {
		l.pace.slow(now)
	}
	if s := l.sends[e.ID]; s != nil {
		if s.sent = !passing(e.Code); s.sent {
			delete(l.sends, e.ID)
			s.end(0, &refusal)
		} else {
			s.after = now.Add(sendWait)
			l.signal()
		}
		return
	}
	if s := l.byID[e.ID]; s != nil {
		s.refusedLocked(&refusal)
		return
	}
	if e.Room != "" && e.ID == "" && l.roomErrorLocked(e.Room, &refusal) {
		return
	}
	l.count.errors.Add(1)
	l.log.Warn("the server reports an error", "code", e.Code, "message", e.Message, "path", e.Path, "room", e.Room)
	switch {
	case e.Code == wire.CodeOverloaded && e.ID == "" && e.Room == "":
		l.droppedLocked(now)
	case e.Code == wire.CodeMessageType: // an older server: what was asked will not be answered
		lose(&l.asks.stats)
		lose(&l.asks.rooms)
	}
}

// roomErrorLocked takes what is refused about a room, and reports whether it concerns anybody.
func (l *Live) roomErrorLocked(room string, refusal *Error) bool {
	if l.hasLeftLocked(room) {
		return true
	}
	r := l.rooms[room]
	if r == nil || r.phase != asked {
		return false
	}
	r.refusedLocked(refusal)
	return true
}

// passing reports whether what was refused may be asked again later.
func passing(code string) bool {
	return code == wire.CodeOverloaded || code == wire.CodeNotReady || code == wire.CodeNotStored || code == wire.CodeInternal
}

// sooner is the lesser of two waits; 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
