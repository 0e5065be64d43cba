package rooms

import (
	"testing"

	"weir/auth"
	"weir/wire"
)

// Programs encode more or fewer characters than Weir does: encodeURIComponent makes ada%40x.com of a name that has it plain.
func TestAUserIsTheSameHoweverItIsEncoded(t *testing.T) {
	for name, spellings := range map[string][]string{
		"ada@x.com":    {"ada@x.com", "ada%40x.com", "%61da@x.com"},
		"Ada Lovelace": {"Ada Lovelace", "Ada%20Lovelace"},
		"a/b+c#é%":     {"a%2Fb%2Bc%23é%25", "a%2fb%2bc%23%C3%A9%25"},
	} {
		want := UserPath(&auth.Principal{Subject: name, Tenant: "p"})
		if checkUser(want, "") != nil {
			t.Errorf("%s is no user", want)
		}
		for _, spelled := range spellings {
			m := &wire.MessageValue{Target: wire.Target{User: "p/_users/" + spelled}, Type: "t", Payload: []byte("1")}
			if key, _, refusal := Record(m); refusal != nil || key != want {
				t.Errorf("%s belongs to %q, %v; want %q", spelled, key, refusal, want)
			}
		}
	}
	if got := canonicalUser("p/_users/50%off"); got != "p/_users/50%off" {
		t.Errorf("what is no user becomes %s", got)
	}
}

func TestABanMeansTheUserHoweverItIsEncoded(t *testing.T) {
	w := newWorld(t)
	one, _ := w.start("one")
	banned, moderator := w.attach(one, "a", "ada@x.com", auth.RoleOperator), w.attach(one, "m", "mia", auth.RoleAdmin)
	banned.join("p/r")
	moderator.join("p/r")
	moderator.ask(wire.TypeSend, wire.RoomRequest{Target: wire.Target{User: "p/_users/ada%40x.com"}, ID: "m1", Type: "chat", Payload: []byte("1")})
	if m := next[*wire.RoomMessage](banned); m.User != "p/_users/ada@x.com" {
		t.Errorf("%+v", m)
	}
	moderator.ask(wire.TypeBan, wire.RoomRequest{Target: wire.Target{Room: "p/r", User: "p/_users/ada%40x.com"}})
	for m := next[*wire.RoomPresence](banned); m.Event != "kicked"; m = next[*wire.RoomPresence](banned) {
	}
	banned.ask(wire.TypeJoin, wire.RoomRequest{Target: wire.Target{Room: "p/r"}})
	if m := next[*wire.ErrorMsg](banned); m.Code != wire.CodeBanned {
		t.Errorf("%+v", m)
	}
}
