package rooms

import (
	"errors"
	"net/url"
	"strings"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

const (
	usersSegment    = "_users"
	sessionsSegment = "_sessions"
	allSegment      = "_broadcast"
)

func under(tenant, rest string) string {
	if tenant == "" {
		return rest
	}
	return tenant + "/" + rest
}

// UserPath is the path of whoever a principal is: its tenant, _users and its subject, percent-encoded.
func UserPath(p *auth.Principal) string {
	return under(p.Tenant, usersSegment+"/"+encodeName(p.Subject))
}

func encodeName(name string) string { return strings.ReplaceAll(url.PathEscape(name), "+", "%2B") }

// canonicalUser spells a user as UserPath does, or else what is told would be told to nobody: programs encode more or fewer
// characters. What is no user stays as it is.
func canonicalUser(user string) string {
	i := strings.LastIndexByte(user, '/') + 1
	name, err := url.PathUnescape(user[i:])
	if err != nil {
		return user
	}
	return user[:i] + encodeName(name)
}

// checkRoom checks the path of a room: that of a device, without reserved segments.
func checkRoom(room, at string) *wire.Error {
	err := telemetry.CheckDevice(room)
	if err == nil {
		return nil
	}
	var bad *telemetry.PathError
	if !errors.As(err, &bad) {
		bad = &telemetry.PathError{Code: telemetry.CodePathChar, Reason: err.Error()}
	}
	return &wire.Error{Code: bad.Code, Path: at, Message: bad.Reason}
}

// checkUser checks the path of a user: [TENANT/]_users/NAME.
func checkUser(user, at string) *wire.Error {
	rest := user
	if !strings.HasPrefix(user, usersSegment+"/") {
		tenant, after, _ := strings.Cut(user, "/")
		if refusal := checkRoom(tenant, at); refusal != nil {
			return refusal
		}
		rest = after
	}
	name, ok := strings.CutPrefix(rest, usersSegment+"/")
	if decoded, err := url.PathUnescape(name); !ok || name == "" || strings.ContainsAny(name, "/+#") || err != nil || decoded == "" {
		return &wire.Error{Code: wire.CodeFieldValue, Path: at, Message: "a user is TENANT/_users/NAME, the name percent-encoded"}
	}
	return nil
}

// keyOf is the path that a message belongs to, and so its partition.
func keyOf(m *wire.MessageValue) string {
	switch {
	case m.Room != "":
		return m.Room
	case m.User != "":
		return m.User
	case m.Session != "":
		return sessionsSegment + "/" + m.Session
	default:
		return under(m.Tenant, allSegment)
	}
}

// tenantOf is whose a path is: its first segment. Paths of no tenant are each other's only if that is the same.
func tenantOf(path string) string {
	tenant, _, _ := strings.Cut(path, "/")
	return tenant
}

// tenantOfMessage is whose a message is.
func tenantOfMessage(m *wire.MessageValue) string {
	if m.Session != "" {
		return m.Tenant
	}
	return tenantOf(keyOf(m))
}

// recordKey is the key of a record.
func recordKey(r *wire.RoomRecord) string {
	switch {
	case r.Message != nil:
		return keyOf(r.Message)
	case r.Kind == wire.RecordAck:
		return r.User
	default:
		return r.Room
	}
}

// soundPaths reports whether a record that anybody may have written names rooms and users that can be.
func soundPaths(r *wire.RoomRecord) bool {
	room, user := r.Room, ""
	if r.Kind == wire.RecordAck {
		user = r.User
	}
	if r.Message != nil {
		room, user = r.Message.Room, r.Message.User
	}
	return (room == "" || checkRoom(room, "") == nil) && (user == "" || checkUser(user, "") == nil)
}
