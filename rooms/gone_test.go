package rooms

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/wire"
)

// TestAnInstanceThatIsKilledAgainAndAgainFillsNoRoom has the sessions of a room come back to another instance each time,
// which finds room for them, as does who reads the log later.
func TestAnInstanceThatIsKilledAgainAndAgainFillsNoRoom(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Members = 3
	one, later := newState(cfg), newState(cfg)
	var log []*wire.RoomRecord
	for life := range 5 {
		if life > 0 {
			log = append(log, &wire.RoomRecord{Kind: wire.RecordGone, Room: "p/r", Node: fmt.Sprint(life - 1)})
		}
		for i := range 2 {
			log = append(log, &wire.RoomRecord{Kind: wire.RecordJoin, Room: "p/r", User: "u", Session: fmt.Sprint(life, i), Node: fmt.Sprint(life)})
		}
	}
	for _, st := range []*state{one, later} {
		for offset, r := range log {
			if out := st.apply(int64(offset), 1, r); out.refusal != nil {
				t.Fatalf("%d: %s", offset, out.refusal.Code)
			}
		}
	}
	if a, b := one.rooms["p/r"].there(), later.rooms["p/r"].there(); len(a) != 2 || !slices.Equal(a, b) {
		t.Errorf("%v, and %v", a, b)
	}
}

func TestWhoCannotLeaveIsMadeToAgainAndAgain(t *testing.T) {
	up := map[string]bool{"far": true}
	h, err := New(Options{Config: DefaultConfig(), Producer: silent{}, Partitions: 1, Node: "n", Alive: func(node string) bool { return up[node] }})
	must(t, err)
	st, offset := h.states[0], int64(0)
	apply := func(r *wire.RoomRecord) { st.apply(offset, 1, r); offset++ }
	join := func(room, node, session string) {
		apply(&wire.RoomRecord{Kind: wire.RecordJoin, Room: room, User: "u", Session: session, Node: node})
	}
	for _, room := range []string{"p/a", "p/b"} {
		join(room, "far", "1")
		join(room, "far", "2")
	}
	join("p/a", "n", "attached")
	join("p/a", "n", "left")
	h.Attach("attached", &auth.Principal{Subject: "u", Tenant: "p"}, func([]byte) {}, nil)
	h.sessions["attached"].rooms["p/a"] = &stay{in: true}
	now := time.Unix(1, 0)
	look := func(after time.Duration, want ...orphan) {
		t.Helper()
		now = now.Add(after)
		due := h.orphansDue(now)
		slices.SortFunc(due, func(a, b orphan) int { return slices.Compare([]string{a.room, a.node}, []string{b.room, b.node}) })
		if !slices.Equal(due, want) {
			t.Errorf("%v, want %v", due, want)
		}
	}
	left, far := orphan{room: "p/a", node: "n", session: "left"}, []orphan{{room: "p/a", node: "far"}, {room: "p/b", node: "far"}}
	look(0) // it may just be leaving
	up["far"] = false
	look(time.Second) // it may have just begun
	look(sweepEvery, far...)
	look(orphanAgain-2*time.Second, left)
	look(2*time.Second, far...) // that was not stored
	for _, o := range append(far, left) {
		apply(o.record())
	}
	look(orphanAgain)
	if there := st.rooms["p/a"].there(); len(there) != 1 || there[0].Session != "attached" || len(st.rooms) != 1 || len(h.orphans) != 0 {
		t.Errorf("%v, %d rooms, %d orphans", there, len(st.rooms), len(h.orphans))
	}
}

func TestWhoIsTakenForGoneMissesNothingAndIsThereAgain(t *testing.T) {
	w := newWorld(t)
	one, _ := w.start("one")
	two, _ := w.start("two")
	a, b := w.attach(one, "a", "ada", auth.RoleOperator), w.attach(two, "b", "bob", auth.RoleViewer)
	a.join("p/r")
	b.join("p/r")
	a.wantPresence("joined", "b")
	unheard := "two"
	w.silent.Store(&unheard)
	a.wantPresence("left", "b")
	w.silent.Store(nil)
	a.ask(wire.TypeSend, wire.RoomRequest{Target: wire.Target{Room: "p/r"}, ID: "m", Type: "chat", Payload: []byte("1")})
	if m := next[*wire.RoomMessage](b); m.ID != "m" {
		t.Errorf("%+v", m)
	}
	for there := 0; there != 2; there = len(a.join("p/r").Members) {
	}
	three, _ := w.start("three")
	c := w.attach(three, "c", "cyd", auth.RoleViewer)
	if members := c.join("p/r").Members; len(members) != 3 {
		t.Errorf("from the log: %+v", members)
	}
}

// TestWhoIsTakenForGoneIsOutIfOthersHaveItsPlace has all instances agree on who is in a room that has become full meanwhile.
func TestWhoIsTakenForGoneIsOutIfOthersHaveItsPlace(t *testing.T) {
	h, apply := hear(t)
	h.states[0].cfg.Members = 1
	back := orphan{"p/r", "n", "a", "p/_users/ada"}
	a := (&world{t: t}).attach(h, "a", "ada", auth.RoleOperator)
	a.ask(wire.TypeJoin, wire.RoomRequest{Target: wire.Target{Room: "p/r"}})
	apply(back.record())
	apply(&wire.RoomRecord{Kind: wire.RecordGone, Room: "p/r", Node: "n"})
	if due := h.orphansDue(time.Unix(1, 0)); !slices.Equal(due, []orphan{back}) {
		t.Errorf("%+v", due)
	}
	if due := h.orphansDue(time.Unix(2, 0)); len(due) != 0 {
		t.Errorf("too soon: %+v", due)
	}
	apply(&wire.RoomRecord{Kind: wire.RecordJoin, Room: "p/r", User: "u", Session: "other", Node: "m"})
	if p := next[*wire.RoomPresence](a); p.Event != "joined" || p.Session != "other" {
		t.Errorf("%+v", p)
	}
	apply(back.record())
	if e := next[*wire.ErrorMsg](a); e.Code != wire.CodeRoomFull || e.Room != "p/r" {
		t.Errorf("%+v", e)
	}
	if len(h.apart)+len(h.sessions["a"].rooms) != 0 {
		t.Errorf("%v, %v", h.apart, h.sessions["a"].rooms)
	}
}

// TestAKickReachesWhoIsTakenForGone has one kicked while it is no member, and its join, written before that, come behind it.
func TestAKickReachesWhoIsTakenForGone(t *testing.T) {
	h, apply := hear(t)
	back := orphan{"p/r", "n", "a", "p/_users/ada"}
	a := (&world{t: t}).attach(h, "a", "ada", auth.RoleOperator)
	a.ask(wire.TypeJoin, wire.RoomRequest{Target: wire.Target{Room: "p/r"}})
	apply(back.record())
	apply(&wire.RoomRecord{Kind: wire.RecordGone, Room: "p/r", Node: "n"})
	apply(&wire.RoomRecord{Kind: wire.RecordKick, Room: "p/r", User: "p/_users/ada"})
	if p := next[*wire.RoomPresence](a); p.Event != "kicked" || p.Session != "a" {
		t.Errorf("%+v", p)
	}
	apply(back.record())
	now := time.Unix(1, 0)
	h.orphansDue(now)
	if due := h.orphansDue(now.Add(orphanAgain)); !slices.Equal(due, []orphan{{room: "p/r", node: "n", session: "a"}}) {
		t.Errorf("it stays in the room: %+v", due)
	}
}

// TestAnInstanceThatComesAndGoesIsNotSaidToBeGoneAllTheTime has one that is there, but is not heard of, join again each time.
func TestAnInstanceThatComesAndGoesIsNotSaidToBeGoneAllTheTime(t *testing.T) {
	h, apply := hear(t)
	h.opts.Alive = func(string) bool { return false }
	far, said := &wire.RoomRecord{Kind: wire.RecordJoin, Room: "p/r", User: "u", Session: "1", Node: "far"}, 0
	for second := range int64(20) {
		if second%2 == 0 {
			apply(far)
		}
		for _, o := range h.orphansDue(time.Unix(second, 0)) {
			said++
			apply(o.record())
		}
	}
	if said < 2 || said > 4 {
		t.Errorf("%d times in 20 s", said)
	}
}

// hear is an instance n, and what applies records in its only partition.
func hear(t *testing.T) (h *Hub, apply func(r *wire.RoomRecord)) {
	t.Helper()
	h, err := New(Options{Config: DefaultConfig(), Producer: silent{}, Partitions: 1, Node: "n", Alive: func(string) bool { return true }})
	must(t, err)
	return h, func(r *wire.RoomRecord) {
		value, err := r.Append(nil)
		must(t, err)
		h.take(0, &kafka.Record{Offset: h.states[0].next, Time: 1, Key: []byte(recordKey(r)), Value: value})
	}
}
