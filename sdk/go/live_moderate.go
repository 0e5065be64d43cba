package device

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"weir/wire"
)

// ErrKicked says that a moderator has ended the stay in a room.
var ErrKicked = errors.New("live: put out of the room")

// Kick ends a user's stay in a room, and waits until the server has done so, over lost connections too, or ctx ends. Whoever
// reads the room at that version finds the user gone. The server's refusal is an *Error.
func (l *Live) Kick(ctx context.Context, room, user, reason string) (version int64, err error) {
	return l.moderate(ctx, wire.TypeKick, &wire.RoomRequest{Target: Target{Room: room, User: user}, Reason: reason})
}

// Ban does as Kick, and keeps the user out for a time; 0: as long as the server does, a day.
func (l *Live) Ban(ctx context.Context, room, user string, d time.Duration, reason string) (version int64, err error) {
	return l.moderate(ctx, wire.TypeBan, &wire.RoomRequest{Target: Target{Room: room, User: user}, ForMS: d.Milliseconds(), Reason: reason})
}

func (l *Live) moderate(ctx context.Context, kind string, r *wire.RoomRequest) (version int64, err error) {
	r.ID = rand.Text()
	text, err := sound(r, kind)
	if err != nil {
		return 0, fmt.Errorf("live: %s: %w", kind, err)
	}
	return l.post(ctx, r.ID, r.Room, text)
}
