package push

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"weir/auth"
	"weir/wire"
)

// Rooms carries messages between sessions. Package rooms has one.
type Rooms interface {
	// Attach makes a session known, of which it is known who speaks; again when its credentials are renewed. send queues a
	// message of the live protocol, in the lossless lane; it does not block. share notes that so many bytes of the log were
	// read for the session, and reports whether more may be.
	Attach(session string, who *auth.Principal, send func(message []byte), share func(bytes int) (left bool))
	// Handle does what a message of type kind asks for. It is called by the session's reading goroutine, which it may
	// keep waiting. What it refuses is a *wire.Error.
	Handle(session, kind string, r *wire.RoomRequest) error
	// Detach ends a session.
	Detach(session string)
}

func (s *Server) attach(c *client) {
	if s.rooms != nil {
		s.rooms.Attach(c.session, c.who, func(message []byte) { c.send(textFrame(message)) }, s.hub.shareOf(c.account))
	}
}

func (s *Server) handleRooms(c *client, msg *wire.ClientMessage) error {
	if s.rooms == nil {
		return wire.NewError(wire.CodeMessageType, "type")
	}
	return s.rooms.Handle(c.session, msg.Type, &msg.Room)
}

// maxJoins bounds the rooms that a connection's URL names.
const maxJoins = 16

// joinParams are the parameters of a URL that are of rooms.
var joinParams = []string{"join", "last", "after"}

// queryJoins reads the rooms that a client joins that cannot speak first, as the join messages that they stand for:
// ?join=ROOM[&join=…][&last=N], and of a single room after=VERSION.
func queryJoins(query url.Values) ([]wire.RoomRequest, *wire.Error) {
	rooms := query["join"]
	switch {
	case len(rooms) == 0:
		return nil, nil
	case len(rooms) > maxJoins:
		return nil, &wire.Error{Code: wire.CodeRoomsTooMany, Path: "join", Message: fmt.Sprintf("at most %d rooms are joined by the address", maxJoins)}
	case query.Has("after") && len(rooms) > 1:
		return nil, &wire.Error{Code: wire.CodeFieldRange, Path: "after", Message: "after is a version in one room"}
	}
	out := make([]wire.RoomRequest, len(rooms))
	for i, room := range rooms {
		payload := map[string]any{"room": room}
		for _, name := range joinParams[1:] {
			if query.Has(name) {
				number, ok := paramNumber.read(query[name])
				if !ok {
					return nil, wire.NewError(wire.CodeFieldType, name)
				}
				payload[name] = number
			}
		}
		text, err := json.Marshal(map[string]any{"type": wire.TypeJoin, "payload": payload})
		if err != nil {
			return nil, wire.NewError(wire.CodeInternal, "")
		}
		msg, err := wire.DecodeClientMessage(text)
		if err != nil {
			return nil, ofJoin(err, i)
		}
		out[i] = msg.Room
	}
	return out, nil
}

// ofJoin is a refusal of the i-th join message that a request stands for, with the path of the parameter.
func ofJoin(err error, i int) *wire.Error {
	refusal := *wire.AsError(err)
	if refusal.Path = strings.TrimPrefix(refusal.Path, "payload."); refusal.Path == "room" {
		refusal.Path = fmt.Sprintf("join[%d]", i)
	}
	return &refusal
}

// joinAsked joins one of the rooms that a connection's URL names.
func (s *Server) joinAsked(c *client, joins []wire.RoomRequest, i int) *wire.Error {
	if err := s.handleRooms(c, &wire.ClientMessage{Type: wire.TypeJoin, Room: joins[i]}); err != nil {
		return ofJoin(err, i)
	}
	return nil
}

func (s *Server) detach(c *client) {
	if s.rooms != nil {
		s.rooms.Detach(c.session)
	}
}
