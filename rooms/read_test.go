package rooms

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/wire"
)

// silent stores nothing, and says so to nobody.
type silent struct{}

func (silent) Produce(context.Context, string, int, []kafka.Record, func(int64, error)) error {
	return nil
}

// revocable is a gate that lets everybody in until it is told otherwise.
type revocable struct {
	auth.Open
	ended chan func(*wire.Error)
}

func (g *revocable) Watch(_ *auth.Principal, ended func(*wire.Error)) (stop func()) {
	g.ended <- ended
	return func() {}
}

// TestAnAskerWaitsForItsVersionAndNoLongerThanItMay has one that waits, and what ends that.
func TestAnAskerWaitsForItsVersionAndNoLongerThanItMay(t *testing.T) {
	for name, c := range map[string]struct {
		then func(h *Hub, revoke func(*wire.Error), leave func())
		want string
		took time.Duration
	}{
		"told": {func(h *Hub, _ func(*wire.Error), _ func()) { h.take(0, recordOf(t, 5, "a")) }, "", time.Second},
		"told of what came before": {func(h *Hub, _ func(*wire.Error), _ func()) { h.take(0, recordOf(t, 4, "a")) },
			wire.CodeWaitTimeout, 10 * time.Second},
		"stopped": {func(h *Hub, _ func(*wire.Error), _ func()) { close(h.ended) }, wire.CodeDraining, time.Second},
		"revoked": {func(_ *Hub, revoke func(*wire.Error), _ func()) { revoke(wire.NewError(wire.CodeTokenRevoked, "")) },
			wire.CodeTokenRevoked, time.Second},
		"gone": {func(_ *Hub, _ func(*wire.Error), leave func()) { leave() }, wire.CodeInternal, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := &revocable{ended: make(chan func(*wire.Error), 1)}
				h, err := New(Options{
					Config: DefaultConfig(), Producer: silent{}, Partitions: 1, Node: "n", Alive: func(string) bool { return true }, Gate: gate})
				if err != nil {
					t.Fatal(err)
				}
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				began, ended := time.Now(), make(chan *wire.Error)
				ask := &reading{least: versionOf(5), wait: 10 * time.Second}
				ask.Room = "a"
				go func() { ended <- h.await(ctx, auth.Everybody(), ask) }()
				time.Sleep(time.Second)
				c.then(h, <-gate.ended, leave)
				got := ""
				if refusal := <-ended; refusal != nil {
					got = refusal.Code
				}
				if took := time.Since(began); got != c.want || took != c.took {
					t.Errorf("%q after %s, want %q after %s", got, took, c.want, c.took)
				}
			})
		})
	}
}

// TestWhoHasToWaitIsCountedUntilItsAnswer asks for what has been told, for what has not, and when there is no room to wait.
func TestWhoHasToWaitIsCountedUntilItsAnswer(t *testing.T) {
	var counted, waiting int
	var full *wire.Error
	h, err := New(Options{
		Config: DefaultConfig(), Producer: silent{}, Partitions: 1, Node: "n", Alive: func(string) bool { return true },
		Visit: func(*http.Request) (func(), *wire.Error) {
			if full != nil {
				return nil, full
			}
			counted, waiting = counted+1, waiting+1
			return func() { waiting-- }, nil
		}})
	must(t, err)
	close(h.ready)
	h.take(0, recordOf(t, 0, "a"))
	for _, c := range []struct {
		query           string
		full            *wire.Error
		status, counted int
	}{
		{"min_version=1&wait=1ms", wire.NewError(wire.CodeLimitPrincipal, ""), http.StatusOK, 0},
		{"min_version=4097&wait=1ms", nil, http.StatusGatewayTimeout, 1},
		{"min_version=4097&wait=1ms", wire.NewError(wire.CodeLimitPrincipal, ""), http.StatusTooManyRequests, 1},
	} {
		full = c.full
		r := httptest.NewRequestWithContext(auth.WithPrincipal(t.Context(), auth.Everybody()), http.MethodGet, "/v1/rooms/a?"+c.query, nil)
		r.SetPathValue("room", "a")
		w := httptest.NewRecorder()
		h.readRoom(w, r)
		if w.Code != c.status || counted != c.counted || waiting != 0 {
			t.Errorf("%s: %d %s; %d were counted, %d are", c.query, w.Code, w.Body, counted, waiting)
		}
	}
}

// TestWhoIsBannedReadsNothing asks for a room as who was banned from it, and as another.
func TestWhoIsBannedReadsNothing(t *testing.T) {
	h, err := New(Options{Config: DefaultConfig(), Producer: silent{}, Partitions: 1, Node: "n", Alive: func(string) bool { return true }})
	must(t, err)
	close(h.ready)
	h.take(0, recordOf(t, 0, "p/r"))
	ban, err := (&wire.RoomRecord{Kind: wire.RecordBan, Room: "p/r", User: "p/_users/eve", Until: 1 << 60}).Append(nil)
	must(t, err)
	h.take(0, &kafka.Record{Offset: 1, Time: time.Now().UnixMilli(), Value: ban})
	for subject, want := range map[string]int{"eve": http.StatusForbidden, "alice": http.StatusOK} {
		who := &auth.Principal{Subject: subject, Tenant: "p", Roles: []string{auth.RoleViewer}}
		r := httptest.NewRequestWithContext(auth.WithPrincipal(t.Context(), who), http.MethodGet, "/v1/rooms/p/r", nil)
		r.SetPathValue("room", "p/r")
		w := httptest.NewRecorder()
		h.readRoom(w, r)
		var answer struct{ Error wire.Error }
		must(t, json.Unmarshal(w.Body.Bytes(), &answer))
		if refused := answer.Error.Code == wire.CodeBanned && answer.Error.Path == "room"; w.Code != want || refused != (want == http.StatusForbidden) {
			t.Errorf("%s: %d %s, want %d", subject, w.Code, w.Body, want)
		}
	}
}

// TestTheRoomsOfOthersCostAListLittle lists rooms of which none may be joined, and then those that may be.
func TestTheRoomsOfOthersCostAListLittle(t *testing.T) {
	h, err := New(Options{Config: DefaultConfig(), Producer: silent{}, Partitions: 1, Node: "n", Alive: func(string) bool { return true }})
	must(t, err)
	for i, room := range []string{"q/a", "q/b", "q/c"} {
		for j, node := range []string{"n", "n"} {
			h.states[0].apply(int64(i), 1, &wire.RoomRecord{Kind: wire.RecordJoin, Room: room, User: "q/_users/x", Session: node + string(rune('0'+j)), Node: node})
		}
	}
	other := &auth.Principal{Tenant: "p", Roles: []string{auth.RoleViewer}}
	if n := testing.AllocsPerRun(10, func() { h.list(other) }); n > 2 {
		t.Errorf("%v allocations for rooms that may not be known", n)
	}
	own := &auth.Principal{Tenant: "q", Roles: []string{auth.RoleViewer}}
	if list := h.list(own).Rooms; len(list) != 3 || list[0].Members != 2 {
		t.Errorf("its own: %+v", list)
	}
}

// recordOf is a message to a room at an offset.
func recordOf(t *testing.T, offset int64, room string) *kafka.Record {
	t.Helper()
	value, err := (&wire.RoomRecord{Kind: wire.RecordMessage, Message: &wire.MessageValue{Target: wire.Target{Room: room}, Type: "t"}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &kafka.Record{Offset: offset, Value: value}
}
