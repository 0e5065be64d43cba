package rooms

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"weir/auth"
	"weir/wire"
)

// maxWait bounds how long a request may wait for a version, and defaultWait is how long one does that names no time.
const (
	maxWait     = time.Minute
	defaultWait = 30 * time.Second
)

// listRooms is GET /v1/rooms.
func (h *Hub) listRooms(w http.ResponseWriter, r *http.Request) {
	if !h.isReady() {
		wire.Refuse(w, wire.NewError(wire.CodeNotReady, ""))
		return
	}
	list := h.list(auth.PrincipalOf(r.Context()))
	if list.Rooms == nil {
		list.Rooms = []wire.RoomInfo{}
	}
	wire.WriteJSON(w, http.StatusOK, list)
}

// readRoom is GET /v1/rooms/{room}: what a join tells, without one; with min_version=… when this instance has told what has
// that version, within wait=….
func (h *Hub) readRoom(w http.ResponseWriter, r *http.Request) {
	ask, refusal := parseRead(r.PathValue("room"), r.URL.Query())
	who := auth.PrincipalOf(r.Context())
	switch {
	case refusal != nil:
	case !mayJoin(who, ask.Room):
		refusal = forbidden("room")
	case !h.isReady():
		refusal = wire.NewError(wire.CodeNotReady, "")
	default:
		refusal = h.awaitCounted(r, who, ask)
	}
	var answer *wire.Joined
	if refusal == nil {
		var share readShare
		if h.opts.ReadShare != nil {
			share = h.opts.ReadShare(r)
		}
		answer, refusal = h.look(h.wanted(r.Context(), &ask.RoomRequest, share), who, ask.Room)
	}
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	wire.WriteJSON(w, http.StatusOK, answer)
}

// look is a room as it is, for a principal that may join it unless it is banned.
func (h *Hub) look(want wanted, who *auth.Principal, name string) (*wire.Joined, *wire.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.stateOf(name)
	r := st.rooms[name]
	if r == nil {
		r = &room{name: name}
		r.history.dropped = st.forgotOf(tenantOf(name))
	}
	now := time.Now().UnixMicro()
	if refusal := r.banned(UserPath(who), now); refusal != nil {
		refusal.Path = "room"
		return nil, refusal
	}
	messages, gap := st.missed(r, want, h.cfg.HistoryBytes, now)
	if gap {
		h.m.gaps.Inc()
	}
	return &wire.Joined{Room: name, Members: r.there(), Messages: messages, Version: r.version, Gap: gap}, nil
}

// reading is a request for a room.
type reading struct {
	wire.RoomRequest
	least int64 // the version to be waited for; 0: none
	wait  time.Duration
}

func parseRead(room string, query url.Values) (*reading, *wire.Error) {
	out := &reading{wait: defaultWait}
	out.Room = room
	if refusal := checkRoom(room, "room"); refusal != nil {
		return nil, refusal
	}
	whole := func(name string, most int64) (n int64, given bool, refusal *wire.Error) {
		if !query.Has(name) {
			return 0, false, nil
		}
		n, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil || n < 0 || n > most {
			return 0, true, wire.NewError(wire.CodeFieldRange, name)
		}
		return n, true, nil
	}
	last, given, refusal := whole("last", wire.MaxLast)
	if refusal != nil {
		return nil, refusal
	}
	out.Last, out.HasLast = int(last), given
	if out.After, out.HasAfter, refusal = whole("after", 1<<62); refusal != nil {
		return nil, refusal
	}
	if out.least, _, refusal = whole("min_version", 1<<62); refusal != nil {
		return nil, refusal
	}
	if query.Has("wait") {
		d, err := time.ParseDuration(query.Get("wait"))
		if err != nil || d < 0 || d > maxWait {
			return nil, &wire.Error{Code: wire.CodeFieldRange, Path: "wait", Message: fmt.Sprintf("wait must be a duration like 10s, at most %s", maxWait)}
		}
		out.wait = d
	}
	return out, nil
}

// awaitCounted is await for a request that counts as a connection meanwhile, if it has to wait.
func (h *Hub) awaitCounted(r *http.Request, who *auth.Principal, ask *reading) *wire.Error {
	if told, _ := h.newsOf(ask.Room, ask.least); told {
		return nil
	}
	if h.opts.Visit != nil {
		leave, refusal := h.opts.Visit(r)
		if refusal != nil {
			return refusal
		}
		defer leave()
	}
	return h.await(r.Context(), who, ask)
}

// await waits until this instance has told a version of a room, as long as the asker and its credentials are there.
func (h *Hub) await(ctx context.Context, who *auth.Principal, ask *reading) *wire.Error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if h.opts.Gate != nil {
		defer h.opts.Gate.Watch(who, func(e *wire.Error) { cancel(e) })()
	}
	over := time.NewTimer(ask.wait)
	defer over.Stop()
	for {
		told, news := h.newsOf(ask.Room, ask.least)
		if told {
			return nil
		}
		select {
		case <-news:
		case <-over.C:
			return wire.NewError(wire.CodeWaitTimeout, "")
		case <-h.ended:
			return wire.NewError(wire.CodeDraining, "")
		case <-ctx.Done():
			return auth.Refusal(context.Cause(ctx))
		}
	}
}

// newsOf reports whether a version of a room has been told; if not, news is closed when something has been.
func (h *Hub) newsOf(name string, version int64) (told bool, news <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.stateOf(name)
	if versionOf(st.next) > version {
		return true, nil
	}
	if st.news == nil {
		st.news = make(chan struct{})
	}
	return false, st.news
}

func (h *Hub) isReady() bool {
	select {
	case <-h.ready:
		return true
	default:
		return false
	}
}
