package app

import (
	"context"
	"fmt"

	"weir/rooms"
)

// alive tells which processes are there. Before that is known, all are.
func (b *build) alive(self string) func(node string) bool {
	return func(node string) bool {
		others := b.nodes.Load()
		return others == nil || aliveAmong(others, self)(node)
	}
}

// startRooms begins to carry messages between the sessions of all processes, and waits until what there is has been read.
func (a *App) startRooms(ctx context.Context, b *build, self string) (*rooms.Hub, error) {
	h, err := rooms.New(rooms.Options{
		Config: a.opts.Config.Rooms, Client: b.client, Producer: b.producer, Partitions: b.id.Partitions,
		Node: self, Alive: b.alive(self), Gate: a.gate, Visit: b.catalog.visit, ReadShare: b.catalog.readShare,
		Logger: a.log.With("component", "rooms"), Metrics: a.set,
	})
	if err != nil {
		return nil, fmt.Errorf("rooms: %w", err)
	}
	h.Routes(b.routes)
	a.background("rooms", h.Run)
	return h, a.await(ctx, "rooms", h.Ready())
}
