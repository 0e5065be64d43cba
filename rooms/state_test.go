package rooms

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/wire"
)

// model is a room told in order: what each member has to have been told, and the history.
type model struct {
	members map[string]int      // by session: the instance
	told    map[string][]string // by session: the ids told since it joined
	history []string
	seen    map[string]bool
}

func TestEachMemberIsToldEachMessageOnceInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultConfig()
		cfg.History = 5
		st := newState(cfg)
		m := model{members: map[string]int{}, told: map[string][]string{}, seen: map[string]bool{}}
		got := map[string][]string{}
		for offset := range int64(rapid.IntRange(1, 60).Draw(t, "steps")) {
			session := fmt.Sprintf("s%d", rapid.IntRange(0, 5).Draw(t, "session"))
			node := int(session[1]-'0') % 3
			switch rapid.SampledFrom([]string{"join", "leave", "send", "send", "die"}).Draw(t, "what") {
			case "join":
				st.apply(offset, 1, &wire.RoomRecord{Kind: wire.RecordJoin, Room: "r", User: "u", Session: session, Node: fmt.Sprint(node)})
				m.members[session] = node
			case "leave":
				st.apply(offset, 1, &wire.RoomRecord{Kind: wire.RecordLeave, Room: "r", Session: session})
				delete(m.members, session)
			case "send":
				id := fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "id"))
				value := &wire.MessageValue{Target: wire.Target{Room: "r"}, ID: id, Type: "t", From: wire.Sender{User: "u"}}
				out := st.apply(offset, 1, &wire.RoomRecord{Kind: wire.RecordMessage, Message: value})
				if out.message != nil {
					for _, there := range st.rooms["r"].there() {
						got[there.Session] = append(got[there.Session], out.message.ID)
					}
				}
				if m.seen[id] {
					continue
				}
				m.seen[id] = true
				m.history = append(m.history, id)
				for member := range m.members {
					m.told[member] = append(m.told[member], id)
				}
			case "die":
				st.apply(offset, 1, &wire.RoomRecord{Kind: wire.RecordGone, Room: "r", Node: fmt.Sprint(node)})
				for member, at := range m.members {
					if at == node {
						delete(m.members, member)
					}
				}
			}
		}
		for session, want := range m.told {
			if !slices.Equal(got[session], want) {
				t.Fatalf("%s was told %v, want %v", session, got[session], want)
			}
		}
		if len(got) != len(m.told) {
			t.Fatalf("told %v, want %v", got, m.told)
		}
		var kept []string
		if r := st.rooms["r"]; r != nil {
			for _, k := range r.history.last(100, 2) {
				kept = append(kept, k.ID)
			}
			if len(r.there()) != len(m.members) {
				t.Fatalf("members %v, want %v", r.there(), m.members)
			}
		}
		if want := m.history[max(0, len(m.history)-5):]; !slices.Equal(kept, want) {
			t.Fatalf("history %v, want %v", kept, want)
		}
	})
}

func TestBoundsAreRefusedOrDisplaceTheOldest(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Members, cfg.Rooms, cfg.Inbox, cfg.IDs = 1, 2, 2, 2
	st := newState(cfg)
	join := func(offset int64, room, session string) string {
		if e := st.apply(offset, 1, &wire.RoomRecord{Kind: wire.RecordJoin, Room: room, User: "u", Session: session, Node: "n"}).refusal; e != nil {
			return e.Code
		}
		return ""
	}
	for i, c := range []struct{ room, session, want string }{
		{"a", "1", ""}, {"a", "1", ""}, {"a", "2", wire.CodeRoomFull}, {"b", "1", ""}, {"c", "1", wire.CodeRoomsTooMany},
	} {
		if got := join(int64(i), c.room, c.session); got != c.want {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
	for i := range int64(3) {
		st.apply(10+i, 1, &wire.RoomRecord{Kind: wire.RecordMessage, Message: &wire.MessageValue{
			Target: wire.Target{User: "_users/a"}, ID: fmt.Sprint(i), Type: "t"}})
	}
	if in := st.inboxes["_users/a"].messages; len(in) != 2 || in[0].ID != "1" || len(st.ids.places) != 2 {
		t.Errorf("inbox %v, ids %v", in, st.ids.places)
	}
	st.apply(20, 1, &wire.RoomRecord{Kind: wire.RecordAck, User: "_users/a", Version: 11<<12 | 1})
	if in := st.inboxes["_users/a"].messages; len(in) != 1 || in[0].ID != "2" {
		t.Errorf("after ack: %v", in)
	}
}

func TestABanEndsInTimeAndIsForgotten(t *testing.T) {
	const until = 1000 * 1000 // µs
	st := newState(DefaultConfig())
	join := func(offset, at int64) *wire.Error {
		return st.apply(offset, at, &wire.RoomRecord{Kind: wire.RecordJoin, Room: "r", User: "u", Session: "s", Node: "n"}).refusal
	}
	send := func(offset, at int64) *wire.Error {
		return st.apply(offset, at, &wire.RoomRecord{Kind: wire.RecordMessage, Message: &wire.MessageValue{
			Target: wire.Target{Room: "r"}, Type: "t", Ephemeral: true, From: wire.Sender{User: "u"}}}).refusal
	}
	st.apply(0, 1, &wire.RoomRecord{Kind: wire.RecordBan, Room: "r", User: "u", Until: until})
	if e := join(1, until-1); e == nil || e.Code != wire.CodeBanned {
		t.Errorf("before its end: %+v", e)
	}
	if e := send(2, until-1); e == nil || e.Code != wire.CodeBanned {
		t.Errorf("before its end: %+v", e)
	}
	forget := int64(until + forgetBan/time.Microsecond)
	other := func(offset, at int64) { // some record, which tells the time
		st.apply(offset, at, &wire.RoomRecord{Kind: wire.RecordAck, User: "_users/a", Version: 1})
	}
	other(3, forget)
	if e := join(4, until-1); e == nil { // one whose record is late
		t.Error("forgotten too soon")
	}
	if e := send(5, until); e != nil {
		t.Errorf("at its end: %+v", e)
	}
	if e := join(6, until); e != nil {
		t.Errorf("at its end: %+v", e)
	}
	st.apply(7, until, &wire.RoomRecord{Kind: wire.RecordLeave, Room: "r", Session: "s"})
	if len(st.rooms) != 1 {
		t.Error("forgotten while the ban may have to be known")
	}
	other(8, forget+1)
	if len(st.rooms)+len(st.tenants)+len(st.ends)+st.shut.count != 0 {
		t.Errorf("a room of which nothing is left is kept: %+v", st.rooms["r"])
	}
}

func TestARoomThatIsEmptyVanishes(t *testing.T) {
	st := newState(DefaultConfig())
	join := func(offset int64, room, node string) {
		st.apply(offset, 1, &wire.RoomRecord{Kind: wire.RecordJoin, Room: room, User: "u", Session: "s", Node: node})
	}
	join(0, "left", "n")
	st.apply(1, 1, &wire.RoomRecord{Kind: wire.RecordLeave, Room: "left", Session: "s"})
	join(2, "kicked", "n")
	st.apply(3, 1, &wire.RoomRecord{Kind: wire.RecordKick, Room: "kicked", User: "u"})
	st.apply(4, 1, &wire.RoomRecord{Kind: wire.RecordKick, Room: "nobody", User: "u"})
	join(5, "told", "n")
	st.apply(6, 1, &wire.RoomRecord{Kind: wire.RecordMessage, Message: &wire.MessageValue{Target: wire.Target{Room: "told"}, Type: "t"}})
	st.apply(7, 1, &wire.RoomRecord{Kind: wire.RecordLeave, Room: "told", Session: "s"})
	join(8, "lost", "gone")
	st.apply(9, 1, &wire.RoomRecord{Kind: wire.RecordGone, Room: "lost", Node: "gone"})
	if len(st.rooms) != 1 || st.rooms["told"] == nil { // it has a history
		t.Errorf("%d rooms: %v", len(st.rooms), st.rooms)
	}
}
