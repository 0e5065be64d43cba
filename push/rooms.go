package push

import (
	"weir/auth"
	"weir/wire"
)

// Rooms carries messages between sessions. Package rooms has one.
type Rooms interface {
	// Attach makes a session known, of which it is known who speaks; again when its credentials are renewed. send queues a
	// message of the live protocol, in the lossless lane; it does not block.
	Attach(session string, who *auth.Principal, send func(message []byte))
	// Handle does what a message of type kind asks for. It is called by the session's reading goroutine, which it may
	// keep waiting. What it refuses is a *wire.Error.
	Handle(session, kind string, r *wire.RoomRequest) error
	// Detach ends a session.
	Detach(session string)
}

func (s *Server) attach(c *client) {
	if s.rooms != nil {
		s.rooms.Attach(c.session, c.who, func(message []byte) { c.send(textFrame(message)) })
	}
}

func (s *Server) handleRooms(c *client, msg *wire.ClientMessage) error {
	if s.rooms == nil {
		return wire.NewError(wire.CodeMessageType, "type")
	}
	return s.rooms.Handle(c.session, msg.Type, &msg.Room)
}

func (s *Server) detach(c *client) {
	if s.rooms != nil {
		s.rooms.Detach(c.session)
	}
}
