package wire

import "math"

// roomField reads one field of a RoomRequest.
type roomField func(d *clientDecoder, path string) bool

// roomFields are the fields of each type's payload.
var roomFields = map[string]map[string]roomField{
	TypeJoin:  {"room": readRoom, "last": readLast, "after": readAfter},
	TypeLeave: {"room": readRoom},
	TypeRooms: {},
	TypeSend: {
		"id": readSendID, "room": readRoom, "user": readUser, "session": readSession, "broadcast": readBroadcast,
		"type": readRoomType, "payload": readRoomPayload, "exclude_self": readExcludeSelf, "ephemeral": readEphemeral,
		"ttl_ms": readTTL,
	},
	TypeKick: {"id": readSendID, "room": readRoom, "user": readUser, "for_ms": readFor, "reason": readReason},
	TypeBan:  {"id": readSendID, "room": readRoom, "user": readUser, "for_ms": readFor, "reason": readReason},
	TypeAck:  {"version": readVersion},
}

// room reads the payload of a message about rooms. Paths are the server's to check.
func (d *clientDecoder) room() bool {
	known := roomFields[d.msg.Type]
	ok := d.fields("payload", func(name, path string) bool {
		if read := known[name]; read != nil {
			return read(d, path)
		}
		return d.refuse(CodeFieldUnknown, path)
	})
	return ok && d.roomComplete()
}

func (d *clientDecoder) roomComplete() bool {
	r := &d.msg.Room
	switch d.msg.Type {
	case TypeSend:
		targets := 0
		for _, set := range []bool{r.Room != "", r.User != "", r.Session != "", r.Broadcast} {
			if set {
				targets++
			}
		}
		switch {
		case r.ID == "":
			return d.refuse(CodeFieldMissing, "payload.id")
		case targets == 0:
			return d.refuse(CodeFieldMissing, "payload.room")
		case targets > 1:
			d.reason = "a message is for one of room, user, session and broadcast"
			return d.refuse(CodeFieldValue, "payload.room")
		case r.Type == "":
			return d.refuse(CodeFieldMissing, "payload.type")
		case r.Payload == nil:
			r.Payload = []byte("null")
		}
	case TypeRooms:
	case TypeAck:
		if r.Version == 0 {
			return d.refuse(CodeFieldMissing, "payload.version")
		}
	default:
		if r.Room == "" {
			return d.refuse(CodeFieldMissing, "payload.room")
		}
		if r.User == "" && (d.msg.Type == TypeKick || d.msg.Type == TypeBan) {
			return d.refuse(CodeFieldMissing, "payload.user")
		}
	}
	return true
}

func (d *clientDecoder) filled(into *string, path string, most int) (ok bool) {
	if *into, ok = d.text(path); ok && (*into == "" || len(*into) > most) {
		*into = "" // it is not repeated in the refusal
		return d.refuse(CodeFieldRange, path)
	}
	return ok
}

func (d *clientDecoder) truth(into *bool, path string) bool {
	if c := d.peek(); c != 't' && c != 'f' {
		return d.skip() && d.refuse(CodeFieldType, path)
	}
	*into = d.peek() == 't'
	return d.skip()
}

func readRoom(d *clientDecoder, path string) bool { return d.filled(&d.msg.Room.Room, path, 1024) }
func readUser(d *clientDecoder, path string) bool { return d.filled(&d.msg.Room.User, path, 1024) }
func readSession(d *clientDecoder, path string) bool {
	return d.filled(&d.msg.Room.Session, path, MaxSubscriptionID)
}
func readBroadcast(d *clientDecoder, path string) bool { return d.truth(&d.msg.Room.Broadcast, path) }
func readExcludeSelf(d *clientDecoder, path string) bool {
	return d.truth(&d.msg.Room.ExcludeSelf, path)
}
func readEphemeral(d *clientDecoder, path string) bool { return d.truth(&d.msg.Room.Ephemeral, path) }

func readSendID(d *clientDecoder, path string) (ok bool) {
	d.msg.Room.ID, ok = d.id(path)
	return ok
}

func readRoomType(d *clientDecoder, path string) bool {
	return d.filled(&d.msg.Room.Type, path, MaxRoomType)
}

func readReason(d *clientDecoder, path string) bool {
	return d.filled(&d.msg.Room.Reason, path, MaxReason)
}

func readRoomPayload(d *clientDecoder, path string) (ok bool) {
	if d.msg.Room.Payload, ok = d.raw(); ok && len(d.msg.Room.Payload) > MaxRoomPayload {
		return d.refuse(CodeFieldRange, path)
	}
	return ok
}

func readLast(d *clientDecoder, path string) bool {
	last, ok := d.whole(path, 0, MaxLast)
	d.msg.Room.Last, d.msg.Room.HasLast = int(last), true
	return ok
}

func readAfter(d *clientDecoder, path string) (ok bool) {
	d.msg.Room.After, ok = d.whole(path, 0, math.MaxInt64)
	d.msg.Room.HasAfter = ok
	return ok
}

func readTTL(d *clientDecoder, path string) (ok bool) {
	d.msg.Room.TTLMS, ok = d.whole(path, 1, MaxTTLMS)
	return ok
}

func readFor(d *clientDecoder, path string) (ok bool) {
	d.msg.Room.ForMS, ok = d.whole(path, 0, MaxForMS)
	return ok
}

func readVersion(d *clientDecoder, path string) (ok bool) {
	d.msg.Room.Version, ok = d.whole(path, 1, math.MaxInt64)
	return ok
}
