package rooms

import "weir/wire"

// kept is a message that may be told again until it expires (µs; 0: never).
type kept struct {
	*wire.RoomMessage
	expires int64
}

func (k kept) over(now int64) bool { return k.expires > 0 && now >= k.expires }

// size is about what it takes, in bytes.
func (k kept) size() int { return len(k.Payload) + overhead }

// history are the newest messages of a room, the oldest first. What may have been before them is not newer than dropped.
type history struct {
	messages []kept
	bytes    int
	dropped  int64 // a version
}

// overhead is about what a message takes beside its payload.
const overhead = 512

func (h *history) add(k kept, most, bytes int) {
	h.messages = append(h.messages, k)
	h.bytes += k.size()
	for len(h.messages) > most || h.bytes > bytes && len(h.messages) > 1 {
		h.bytes -= h.messages[0].size()
		h.dropped = h.messages[0].Version
		h.messages[0] = kept{}
		h.messages = h.messages[1:]
	}
}

// last returns the newest n messages that are not over.
func (h *history) last(n int, now int64) []*wire.RoomMessage {
	out := []*wire.RoomMessage{}
	for _, k := range h.messages {
		if !k.over(now) {
			out = append(out, k.RoomMessage)
		}
	}
	return out[max(0, len(out)-n):]
}

// inbox are the messages that a user has not acknowledged, the oldest first.
type inbox struct{ messages []kept }

func (in *inbox) add(k kept, most int) {
	if in.messages = append(in.messages, k); len(in.messages) > most {
		in.messages[0] = kept{}
		in.messages = in.messages[1:]
	}
}

func (in *inbox) read(version int64) {
	for len(in.messages) > 0 && in.messages[0].Version <= version {
		in.messages[0] = kept{}
		in.messages = in.messages[1:]
	}
}

// inbox returns a user's. The oldest of others makes room.
func (s *state) inbox(user string) *inbox {
	in := s.inboxes[user]
	if in != nil {
		return in
	}
	if len(s.inboxes) >= s.cfg.Inboxes {
		delete(s.inboxes, s.waiting[0])
		s.waiting = s.waiting[1:]
	}
	in = new(inbox)
	s.inboxes[user] = in
	s.waiting = append(s.waiting, user)
	return in
}

// messageKey tells a message from the same sent again.
type messageKey struct{ path, user, id string }

// seenIDs are the newest keys with the version of the first message that had it.
type seenIDs struct {
	versions map[messageKey]int64
	order    []messageKey // the oldest first
	most     int
}

func (s *seenIDs) add(k messageKey, version int64) {
	if len(s.order) >= s.most {
		delete(s.versions, s.order[0])
		s.order = s.order[1:]
	}
	s.versions[k] = version
	s.order = append(s.order, k)
}
