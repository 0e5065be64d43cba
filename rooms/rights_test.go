package rooms

import (
	"context"
	"errors"
	"testing"

	"weir/auth"
	"weir/kafka"
	"weir/wire"
)

// broken stores nothing, and says so.
type broken struct{}

func (broken) Produce(context.Context, string, int, []kafka.Record, func(int64, error)) error {
	return errors.New("not now")
}

// TestWhoseRightsHaveEndedHearsNothing takes the rights from a session, while it cannot be stored that it leaves, and gives them back.
func TestWhoseRightsHaveEndedHearsNothing(t *testing.T) {
	h, err := New(Options{Config: DefaultConfig(), Producer: broken{}, Partitions: 1, Node: "n", Alive: func(string) bool { return true }})
	must(t, err)
	heard := 0
	as := func(roles ...string) {
		h.Attach("s", &auth.Principal{Subject: "eve", Tenant: "p", Roles: roles}, func([]byte) { heard++ }, nil)
	}
	as(auth.RoleViewer)
	h.states[0].apply(0, 1, &wire.RoomRecord{Kind: wire.RecordJoin, Room: "p/r", User: "p/_users/eve", Session: "s", Node: "n"})
	h.sessions["s"].rooms["p/r"] = &stay{in: true}
	for offset, c := range []struct {
		roles []string
		want  int
	}{{[]string{auth.RoleViewer}, 1}, {nil, 1}, {[]string{auth.RoleViewer}, 2}} {
		as(c.roles...)
		h.take(0, recordOf(t, int64(offset+1), "p/r"))
		if heard != c.want {
			t.Errorf("with roles %q: %d messages were heard by now, want %d", c.roles, heard, c.want)
		}
	}
}
