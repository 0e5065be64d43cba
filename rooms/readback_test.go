package rooms

import (
	"context"
	"fmt"
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
	got := h.readBack(t.Context(), partition, 1, next)
	var ids []string
	for _, k := range got.messages {
		ids = append(ids, k.ID)
	}
	if want := []string{"0", "1", "2", "last"}; !slices.Equal(ids, want) || got.from != 0 || got.to != next {
		t.Errorf("[%d, %d) has %q, want %q", got.from, got.to, ids, want)
	}
	if got := h.readBack(t.Context(), partition, next, next); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
	h.cfg.ReadBack = 0
	if got := h.readBack(t.Context(), partition, 0, next); got != nil {
		t.Errorf("none is to be read: %+v", got)
	}
}
