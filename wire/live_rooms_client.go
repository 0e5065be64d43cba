package wire

// Append appends a client's message of type kind: those fields that count for it and are set.
func (r *RoomRequest) Append(dst []byte, kind string) []byte {
	dst = append(head(dst, kind), '{')
	first := len(dst)
	text := func(name, value string) {
		if value != "" {
			dst = stringField(dst, name, value)
		}
	}
	whole := func(name string, value int64) {
		if value != 0 {
			dst = intField(dst, name, value)
		}
	}
	flag := func(name string, value bool) {
		if value {
			dst = append(append(dst, name...), "true"...)
		}
	}
	if kind == TypeSend || kind == TypeKick || kind == TypeBan {
		text(`,"id":`, r.ID)
	}
	if kind != TypeAck && kind != TypeRooms {
		text(`,"room":`, r.Room)
	}
	switch kind {
	case TypeJoin:
		if r.HasLast {
			dst = intField(dst, `,"last":`, int64(r.Last))
		}
		if r.HasAfter {
			dst = intField(dst, `,"after":`, r.After)
		}
	case TypeSend:
		text(`,"user":`, r.User)
		text(`,"session":`, r.Session)
		flag(`,"broadcast":`, r.Broadcast)
		text(`,"type":`, r.Type)
		if r.Payload != nil {
			dst = append(append(dst, `,"payload":`...), r.Payload...)
		}
		flag(`,"exclude_self":`, r.ExcludeSelf)
		flag(`,"ephemeral":`, r.Ephemeral)
		whole(`,"ttl_ms":`, r.TTLMS)
	case TypeKick, TypeBan:
		text(`,"user":`, r.User)
		whole(`,"for_ms":`, r.ForMS)
		text(`,"reason":`, r.Reason)
	case TypeAck:
		whole(`,"version":`, r.Version)
	}
	if len(dst) > first { // without the first comma
		dst = append(dst[:first], dst[first+1:]...)
	}
	return append(dst, "}}"...)
}
