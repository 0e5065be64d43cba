package device

import (
	"context"
	"errors"
	"fmt"

	"weir/wire"
)

// asks are questions on their way, of which answers of a kind come in order.
type asks struct {
	stats, rooms []chan wire.ServerMessage
}

// errLost ends what waits for an answer on a connection.
var errLost = errors.New("the connection was lost")

// ServerStats are what the server counts for this connection.
type ServerStats = wire.Stats

// ServerStats asks the server for its figures. Without a connection it fails at once.
func (l *Live) ServerStats(ctx context.Context) (*ServerStats, error) {
	answer, err := l.ask(ctx, &l.asks.stats, new(wire.AskStats).Append(nil))
	if err != nil {
		return nil, fmt.Errorf("live: ask for figures: %w", err)
	}
	return answer.(*ServerStats), nil
}

// RoomInfo is what the list of rooms says of one.
type RoomInfo = wire.RoomInfo

// Rooms lists the rooms with members that may be read. Without a connection it fails at once.
func (l *Live) Rooms(ctx context.Context) ([]RoomInfo, error) {
	answer, err := l.ask(ctx, &l.asks.rooms, new(wire.RoomRequest).Append(nil, wire.TypeRooms))
	if err != nil {
		return nil, fmt.Errorf("live: list rooms: %w", err)
	}
	return answer.(*wire.RoomList).Rooms, nil
}

func (l *Live) ask(ctx context.Context, queue *[]chan wire.ServerMessage, message []byte) (wire.ServerMessage, error) {
	answer := make(chan wire.ServerMessage, 1)
	l.mu.Lock()
	if err := l.unreachableLocked(); err != nil {
		l.mu.Unlock()
		return nil, err
	}
	*queue = append(*queue, answer)
	l.postLocked(message)
	l.mu.Unlock()
	select {
	case m, ok := <-answer:
		if !ok {
			return nil, errLost
		}
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// unreachableLocked is why nothing can be asked now, or nil.
func (l *Live) unreachableLocked() error {
	switch {
	case l.failure != nil:
		return l.failure
	case l.state != LiveOpen:
		return errLost
	}
	return nil
}

func answer(queue *[]chan wire.ServerMessage, m wire.ServerMessage) {
	if len(*queue) == 0 {
		return
	}
	(*queue)[0] <- m
	*queue = (*queue)[1:]
}

func lose(queue *[]chan wire.ServerMessage) {
	for _, c := range *queue {
		close(c)
	}
	*queue = nil
}
