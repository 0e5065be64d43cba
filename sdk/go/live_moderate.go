package device

import (
	"errors"
	"fmt"
	"time"

	"weir/wire"
)

// ErrKicked says that a moderator has ended the stay in a room.
var ErrKicked = errors.New("live: put out of the room")

// moderation is a request to kick or ban that waits for run.
type moderation struct {
	room string
	text []byte
}

// Kick ends a user's stay in a room. It does not wait for the server: the room is told by Presence, and a refusal is told to
// who has joined it by RoomEvent.Refused, and else counted in LiveStats. Without a connection it fails.
func (l *Live) Kick(room, user, reason string) error {
	return l.moderate(wire.TypeKick, room, user, 0, reason)
}

// Ban does as Kick, and keeps the user out for a time; 0: as long as the server does, a day.
func (l *Live) Ban(room, user string, d time.Duration, reason string) error {
	return l.moderate(wire.TypeBan, room, user, d, reason)
}

func (l *Live) moderate(kind, room, user string, d time.Duration, reason string) error {
	r := wire.RoomRequest{Target: Target{Room: room, User: user}, ForMS: d.Milliseconds(), Reason: reason}
	text, err := sound(&r, kind)
	if err != nil {
		return fmt.Errorf("live: %s: %w", kind, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.unreachableLocked(); err != nil {
		return fmt.Errorf("live: %s: %w", kind, err)
	}
	l.moderation = append(l.moderation, moderation{room, text})
	l.signal()
	return nil
}
