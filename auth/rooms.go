package auth

import (
	"fmt"
	"slices"
	"strings"

	"weir/telemetry"
	"weir/wire"
)

// Rights in rooms. None contains another.
const (
	RoomJoin     = "join"     // be in them: read, be seen, and list them
	RoomSend     = "send"     // send to them; on the path of a user: to that user
	RoomModerate = "moderate" // kick and ban
)

const (
	maxRoomGrants = 32
	maxRoomTypes  = 32
)

// RoomRights are what credentials give in rooms, as they are stored and sent.
type RoomRights struct {
	// Rooms are patterns of the paths of rooms and users.
	Rooms []string `json:"rooms"           koanf:"rooms"`
	May   []string `json:"may"             koanf:"may"`
	// Types are those of the messages that may be sent; none: all.
	Types []string `json:"types,omitempty" koanf:"types"`
}

// RoomGrant is RoomRights that have been read.
type RoomGrant struct {
	Rooms []telemetry.Pattern
	May   []string
	Types []string
}

// roomRights lists all rights in rooms.
func roomRights() []string { return []string{RoomJoin, RoomSend, RoomModerate} }

// MayInRoom reports whether it has a right at the path of a room or user: what its grants say, if it has any, and
// else what its roles do: viewers join, operators and who may publish send, admins moderate.
func (p *Principal) MayInRoom(right, path string) bool {
	return p.inTenant(path) && p.hasRoomRight(right, func(g *RoomGrant) bool { return g.at(path) })
}

// MaySendType reports whether it may send messages of a type to a path, to which it may send some.
func (p *Principal) MaySendType(path, kind string) bool {
	return p.inTenant(path) && p.hasRoomRight(RoomSend, func(g *RoomGrant) bool {
		return g.at(path) && (len(g.Types) == 0 || slices.Contains(g.Types, kind))
	})
}

// MayJoinRooms reports whether there may be rooms that it may join.
func (p *Principal) MayJoinRooms() bool {
	return p.hasRoomRight(RoomJoin, func(*RoomGrant) bool { return true })
}

// MayPublish reports whether it may send messages as a program.
func (p *Principal) MayPublish() bool { return p.Publish || p.Has(RoleOperator) }

func (p *Principal) hasRoomRight(right string, fits func(*RoomGrant) bool) bool {
	if p.Rooms != nil {
		return slices.ContainsFunc(p.Rooms, func(g RoomGrant) bool { return slices.Contains(g.May, right) && fits(&g) })
	}
	switch right {
	case RoomJoin:
		return p.Has(RoleViewer)
	case RoomSend:
		return p.MayPublish()
	default:
		return p.Has(RoleAdmin)
	}
}

func (g *RoomGrant) at(path string) bool {
	return slices.ContainsFunc(g.Rooms, func(r telemetry.Pattern) bool { return r.Match(path) })
}

// covers reports whether it gives no less than what is asked for at a pattern.
func (g *RoomGrant) covers(room telemetry.Pattern, may string, types []string) bool {
	if !slices.Contains(g.May, may) || !slices.ContainsFunc(g.Rooms, func(r telemetry.Pattern) bool { return r.Covers(room) }) {
		return false
	}
	if may != RoomSend || len(g.Types) == 0 {
		return true
	}
	return len(types) > 0 && !slices.ContainsFunc(types, func(t string) bool { return !slices.Contains(g.Types, t) })
}

// parseRooms reads grants. nil is none, for which roles decide; an empty list gives nothing.
func parseRooms(field string, list []RoomRights) ([]RoomGrant, *wire.Error) {
	if list == nil {
		return nil, nil
	}
	if len(list) > maxRoomGrants {
		return nil, wire.NewError(wire.CodePatternsTooMany, field)
	}
	out := make([]RoomGrant, len(list))
	for i, r := range list {
		at := fmt.Sprintf("%s[%d].", field, i)
		rooms, e := parsePatterns(at+"rooms", r.Rooms)
		if e != nil {
			return nil, e
		}
		for j, right := range r.May {
			if !slices.Contains(roomRights(), right) {
				return nil, &wire.Error{
					Code: wire.CodeFieldRange, Path: fmt.Sprintf("%smay[%d]", at, j), Message: "a right in rooms is one of " + strings.Join(roomRights(), ", ")}
			}
		}
		if len(r.Types) > maxRoomTypes {
			return nil, wire.NewError(wire.CodeFieldRange, at+"types")
		}
		for j, kind := range r.Types {
			if kind == "" || !validLabel(kind, wire.MaxRoomType) {
				return nil, wire.NewError(wire.CodeFieldRange, fmt.Sprintf("%stypes[%d]", at, j))
			}
		}
		out[i] = RoomGrant{Rooms: rooms, May: r.May, Types: r.Types}
	}
	return out, nil
}

// roomTexts is the inverse of parseRooms.
func roomTexts(grants []RoomGrant) []RoomRights {
	if grants == nil {
		return nil
	}
	out := make([]RoomRights, len(grants))
	for i, g := range grants {
		out[i] = RoomRights{Rooms: texts(g.Rooms), May: g.May, Types: g.Types}
	}
	return out
}

// grantRooms says whether giver may make credentials with these rights in rooms: they must be sound, complete, and no
// more than it has itself.
func (r *rights) grantRooms(giver *Principal) *wire.Error {
	if r.Publish && !giver.MayPublish() {
		return wire.NewError(wire.CodeForbidden, "publish")
	}
	grants, e := parseRooms("rooms", r.Rooms)
	if e != nil {
		return e
	}
	if giver.Rooms != nil && grants == nil { // its roles would give more
		return &wire.Error{Code: wire.CodeForbidden, Path: "rooms", Message: "name the rooms, as your own credentials do"}
	}
	for i, g := range grants {
		at := fmt.Sprintf("rooms[%d].", i)
		switch {
		case len(g.Rooms) == 0:
			return wire.NewError(wire.CodeFieldMissing, at+"rooms")
		case len(g.May) == 0:
			return wire.NewError(wire.CodeFieldMissing, at+"may")
		}
		for j, room := range g.Rooms {
			for _, may := range g.May {
				if giver.Rooms != nil && !slices.ContainsFunc(giver.Rooms, func(own RoomGrant) bool { return own.covers(room, may, g.Types) }) {
					return wire.NewError(wire.CodeForbidden, fmt.Sprintf("%srooms[%d]", at, j))
				}
			}
		}
	}
	return nil
}

func replacedRooms(r *strings.Replacer, list []RoomRights) []RoomRights {
	out := slices.Clone(list)
	for i := range out {
		out[i].Rooms = replaced(r, out[i].Rooms)
	}
	return out
}
