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

// inbox are the messages that a user has not acknowledged, the oldest first: at least one.
type inbox struct {
	user     string
	messages []kept
	place    place[*inbox]
}

func (in *inbox) add(k kept, most int) {
	if in.messages = append(in.messages, k); len(in.messages) > most {
		in.messages[0] = kept{}
		in.messages = in.messages[1:]
	}
}

// store keeps a message to a user. If there are as many inboxes as there may be, one is forgotten for a new one.
func (s *state) store(k kept) {
	in := s.inboxes[k.User]
	if in == nil {
		if len(s.inboxes) >= s.cfg.Inboxes {
			s.forgetInbox(s.waiting.displaced(tenantOf(k.User)).what)
			s.lost.inboxes.Inc()
		}
		in = &inbox{user: k.User}
		in.place.what = in
		s.inboxes[k.User] = in
	}
	in.add(k, s.cfg.Inbox)
	s.waiting.use(&in.place, tenantOf(k.User), k.Version)
}

// acknowledge forgets what a user has read.
func (s *state) acknowledge(user string, version int64) {
	in := s.inboxes[user]
	if in == nil {
		return
	}
	for len(in.messages) > 0 && in.messages[0].Version <= version {
		in.messages[0] = kept{}
		in.messages = in.messages[1:]
	}
	if len(in.messages) == 0 {
		s.forgetInbox(in)
	}
}

func (s *state) forgetInbox(in *inbox) {
	s.waiting.remove(&in.place)
	delete(s.inboxes, in.user)
}

// messageKey tells a message from the same sent again.
type messageKey struct{ path, user, id string }

// moderationKey is that of a kick or ban, beside those of messages: no path begins so.
func moderationKey(r *wire.RoomRecord) messageKey {
	return messageKey{"+" + r.Kind + "/" + r.Room, r.From.User, r.ID}
}

// seenIDs are the newest keys with the version of the first record that had it.
type seenIDs struct {
	places map[messageKey]*place[messageKey]
	shares shares[messageKey]
	most   int
}

func newSeenIDs(most int) seenIDs {
	return seenIDs{places: make(map[messageKey]*place[messageKey]), shares: newShares[messageKey](), most: most}
}

// first is the version of the first message with a key.
func (s *seenIDs) first(k messageKey) (version int64, known bool) {
	if p := s.places[k]; p != nil {
		return p.used, true
	}
	return 0, false
}

func (s *seenIDs) add(k messageKey, tenant string, version int64) {
	var p *place[messageKey]
	if len(s.places) >= s.most {
		p = s.shares.displaced(tenant)
		s.shares.remove(p)
		delete(s.places, p.what)
	} else {
		p = new(place[messageKey])
	}
	p.what = k
	s.places[k] = p
	s.shares.use(p, tenant, version)
}
