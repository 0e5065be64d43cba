package rooms

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"weir/auth"
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
	left, far := orphan{"p/a", "n", "left"}, []orphan{{"p/a", "far", ""}, {"p/b", "far", ""}}
	look(0) // it may just be leaving
	up["far"] = false
	look(time.Second, far...)
	look(orphanAgain-time.Second, left)
	look(time.Second, far...) // that was not stored
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
