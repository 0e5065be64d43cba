package rooms

import (
	"testing"

	"weir/auth"
	"weir/wire"
)

// TestAModeratorIsToldWhatCameOfIt kicks and bans with ids: the receipt comes behind what it has changed, and the same again does
// nothing; what is refused in the log is told, too, with and without an id.
func TestAModeratorIsToldWhatCameOfIt(t *testing.T) {
	w := newWorld(t)
	one, _ := w.start("one")
	two, _ := w.start("two")
	a, m := w.attach(one, "a", "ada", auth.RoleViewer), w.attach(two, "m", "mia", auth.RoleAdmin)
	in := wire.Target{Room: "p/r", User: "p/_users/ada"}
	a.join("p/r")
	m.join("p/r")
	a.wantPresence("joined", "m")
	m.ask(wire.TypeKick, wire.RoomRequest{Target: in, ID: "x"})
	m.wantPresence("kicked", "a")
	kicked := next[*wire.MessageReceipt](m)
	if told, _ := two.newsOf("p/r", kicked.Version); kicked.ID != "x" || !told {
		t.Errorf("%+v", kicked)
	}
	if refusal := one.await(t.Context(), a.who(), &reading{RoomRequest: wire.RoomRequest{Target: in}, least: kicked.Version, wait: patience}); refusal != nil {
		t.Fatal(refusal)
	}
	a.wantPresence("kicked", "a") // it has been told where the version has
	a.join("p/r")
	m.wantPresence("joined", "a")
	m.ask(wire.TypeKick, wire.RoomRequest{Target: in, ID: "x"})
	if again := next[*wire.MessageReceipt](m); *again != *kicked {
		t.Errorf("%+v, want %+v", again, kicked)
	}
	if members := m.join("p/r").Members; len(members) != 2 {
		t.Errorf("kicked once more: %+v", members)
	}
	m.ask(wire.TypeBan, wire.RoomRequest{Target: in, ID: "x"}) // another kind is not the same
	m.wantPresence("kicked", "a")
	if banned := next[*wire.MessageReceipt](m); banned.Version <= kicked.Version {
		t.Errorf("%+v is not newer than %+v", banned, kicked)
	}
	for _, h := range []*Hub{one, two} {
		h.mu.Lock()
		for _, st := range h.states {
			st.cfg.RoomsPerTenant = 1
		}
		h.mu.Unlock()
	}
	for _, id := range []string{"y", ""} {
		beyond := wire.Target{Room: sameStateAs(two, "p/r"), User: in.User}
		m.ask(wire.TypeBan, wire.RoomRequest{Target: beyond, ID: id})
		if e := next[*wire.ErrorMsg](m); e.Code != wire.CodeRoomsTooMany || e.ID != id || e.Room != beyond.Room {
			t.Errorf("%+v", e)
		}
	}
}

// sameStateAs is another room of the tenant in the partition of one.
func sameStateAs(h *Hub, room string) string {
	other := room
	for other += "x"; h.stateOf(other) != h.stateOf(room); {
		other += "x"
	}
	return other
}

func (e *ear) who() *auth.Principal {
	e.h.mu.Lock()
	defer e.h.mu.Unlock()
	return e.h.sessions[e.id].who
}

// TestAKickThatIsNotStoredIsToldWithItsID has a producer that stores nothing.
func TestAKickThatIsNotStoredIsToldWithItsID(t *testing.T) {
	w := newWorld(t)
	h, _ := w.start("one")
	must(t, w.producer.Close())
	m := w.attach(h, "m", "mia", auth.RoleAdmin)
	m.ask(wire.TypeKick, wire.RoomRequest{Target: wire.Target{Room: "p/r", User: "p/_users/ada"}, ID: "x"})
	if e := next[*wire.ErrorMsg](m); e.Code != wire.CodeNotStored || e.ID != "x" || e.Room != "p/r" {
		t.Errorf("%+v", e)
	}
}
