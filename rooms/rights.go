package rooms

import (
	"weir/auth"
	"weir/wire"
)

// Rights are those of the principal's grants, or of its roles. Messages to a session, or to all of a tenant, are to paths,
// too, so that grants can speak of them.

func forbidden(path string) *wire.Error { return wire.NewError(wire.CodeForbidden, path) }

func mayJoin(p *auth.Principal, room string) bool { return p.MayInRoom(auth.RoomJoin, room) }

func mayModerate(p *auth.Principal, room string) bool { return p.MayInRoom(auth.RoomModerate, room) }

// refuseSend says why a principal may not send a message; nil: it may.
func refuseSend(p *auth.Principal, m *wire.MessageValue) *wire.Error {
	path := m.Room + m.User // one of them, or none: then the tenant is looked at where it is delivered
	switch {
	case m.Session != "":
		path = under(p.Tenant, sessionsSegment)
	case m.Broadcast:
		path = under(p.Tenant, allSegment)
	}
	switch {
	case !p.MayInRoom(auth.RoomSend, path):
		return forbidden("payload." + targetName(m))
	case !p.MaySendType(path, m.Type):
		return forbidden("payload.type")
	}
	return nil
}
