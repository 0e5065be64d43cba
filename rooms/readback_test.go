package rooms

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"weir/auth"
	"weir/kafka"
	"weir/wire"
)

// TestTheLogIsReadBackAsItWasTold writes what was told, and what was not, and reads it back.
func TestTheLogIsReadBackAsItWasTold(t *testing.T) {
	w := newWorld(t)
	h, _ := w.start("one")
	who := &auth.Principal{Subject: "robot", Tenant: "p", Publish: true}
	user := UserPath(who)
	say := func(id string, m wire.MessageValue) {
		t.Helper()
		m.Room, m.ID, m.Type, m.Payload, m.From = "p/r", id, "t", []byte("1"), wire.Sender{User: user}
		if _, refusal := h.Publish(context.Background(), who, &m); refusal != nil {
			t.Fatal(refusal)
		}
	}
	partition := kafka.PartitionFor("p/r", 2)
	for i := range 3 {
		say(fmt.Sprint(i), wire.MessageValue{})
	}
	say("ephemeral", wire.MessageValue{Ephemeral: true})
	direct := func(r wire.RoomRecord) {
		t.Helper()
		value, err := r.Append(nil)
		must(t, err)
		_, err = w.producer.ProduceSync(t.Context(), wire.TopicMessages, partition, []kafka.Record{{Key: []byte("p/r"), Value: value}})
		must(t, err)
	}
	message := func(id, from string) wire.RoomRecord {
		return wire.RoomRecord{Kind: wire.RecordMessage, Message: &wire.MessageValue{
			Target: wire.Target{Room: "p/r"}, ID: id, Type: "t", From: wire.Sender{User: from}}}
	}
	direct(message("1", user)) // a repetition
	direct(wire.RoomRecord{Kind: wire.RecordBan, Room: "p/r", User: "p/_users/eve", Until: 1 << 60})
	direct(message("of who is banned", "p/_users/eve"))
	say("last", wire.MessageValue{})

	h.mu.Lock()
	next := h.states[partition].next
	h.mu.Unlock()
	got := h.readBack(t.Context(), partition, 1, next, nil)
	var ids []string
	for _, k := range got.messages {
		ids = append(ids, k.ID)
		if string(k.Payload) != "1" {
			t.Errorf("%s says %q", k.ID, k.Payload)
		}
	}
	if want := []string{"0", "1", "2", "last"}; !slices.Equal(ids, want) || got.from != 0 || got.to != next {
		t.Errorf("[%d, %d) has %q, want %q", got.from, got.to, ids, want)
	}
	if got := h.readBack(t.Context(), partition, next, next, nil); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
	h.cfg.ReadBack = 0
	if got := h.readBack(t.Context(), partition, 0, next, nil); got != nil {
		t.Errorf("none is to be read: %+v", got)
	}
}

// TestWhoHadItsShareOfTheLogIsToldOfAGap reads a room back until the share is spent, by a join and by a request.
func TestWhoHadItsShareOfTheLogIsToldOfAGap(t *testing.T) {
	w := newWorld(t)
	h, _ := w.start("one")
	who := &auth.Principal{Subject: "robot", Tenant: "p", Publish: true, Roles: []string{auth.RoleViewer}}
	for i := range h.states {
		h.states[i].cfg.History = 1
	}
	for i := range 3 {
		m := wire.MessageValue{Target: wire.Target{Room: "p/r"}, ID: fmt.Sprint(i), Type: "t", Payload: []byte("1"), From: wire.Sender{User: UserPath(who)}}
		if _, refusal := h.Publish(t.Context(), who, &m); refusal != nil {
			t.Fatal(refusal)
		}
	}
	spent, told := 0, make(chan wire.ServerMessage, 10)
	share := func(bytes int) bool { spent += bytes; return spent == 0 }
	h.Attach("s", who, func(message []byte) {
		var d wire.LiveDecoder
		m, err := d.Decode(message)
		if err != nil {
			t.Error(err)
		}
		told <- m
	}, share)
	for i, want := range []int{3, 1} {
		before := h.m.readBack.Get()
		must(t, h.Handle("s", wire.TypeJoin, &wire.RoomRequest{Target: wire.Target{Room: "p/r"}, HasAfter: true}))
		var m *wire.Joined
		for m == nil {
			m, _ = (<-told).(*wire.Joined)
		}
		if read := h.m.readBack.Get() > before; len(m.Messages) != want || m.Gap != (i > 0) || read != (i == 0) || spent == 0 {
			t.Errorf("join %d: %d messages, gap %v, read %v, %d bytes are spent", i, len(m.Messages), m.Gap, read, spent)
		}
	}
	h.opts.ReadShare = func(*http.Request) func(int) bool { return share }
	for _, want := range []bool{true, false} {
		r := httptest.NewRequestWithContext(auth.WithPrincipal(t.Context(), who), http.MethodGet, "/v1/rooms/p/r?after=0", nil)
		r.SetPathValue("room", "p/r")
		answer := httptest.NewRecorder()
		h.readRoom(answer, r)
		var m wire.Joined
		must(t, json.Unmarshal(answer.Body.Bytes(), &m))
		if m.Gap != want {
			t.Errorf("%s: a gap is expected: %v", answer.Body, want)
		}
		spent = 0
	}
}
