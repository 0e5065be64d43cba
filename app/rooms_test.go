package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"weir/config"
)

// heard is a message of the live protocol as these tests look at it.
type heard struct {
	Type    string
	Payload payload
}

type payload struct {
	Code, Path, ID, Room, Event, Session, User, Type string
	Version                                          int64
	Payload                                          json.RawMessage
	Members                                          []struct{ Session string }
	Messages                                         []struct{ ID string }
	Gap                                              bool
	From                                             struct{ User, Session string }
}

// await reads on to the next message of a type.
func (s *socket) await(t *testing.T, kind string) heard {
	t.Helper()
	for {
		text := s.next(t)
		if text == nil {
			t.Fatalf("connection ended before %s", kind)
		}
		var m heard
		must(t, json.Unmarshal(text, &m))
		if m.Type == kind {
			return m
		}
		if m.Type == "error" {
			t.Fatalf("waiting for %s: %s", kind, text)
		}
	}
}

func TestAMessageReachesTheRoomOnceAndIsToldToWhoJoinsLater(t *testing.T) {
	r := start(t, memory())
	a, b := r.dialFrom("v1/live", ""), r.dialFrom("v1/live", "")
	self := a.await(t, "welcome").Payload.Session
	say := func(s *socket, text string) { t.Helper(); must(t, s.conn.WriteString(text)) }
	say(a, `{"type":"join","payload":{"room":"plant1/ops"}}`)
	if m := a.await(t, "joined"); len(m.Payload.Members) != 1 || m.Payload.Members[0].Session != self {
		t.Fatalf("members: %+v", m.Payload.Members)
	}
	say(b, `{"type":"join","payload":{"room":"plant1/ops"}}`)
	b.await(t, "joined")
	if m := a.await(t, "presence"); m.Payload.Event != "joined" {
		t.Fatalf("presence %q", m.Payload.Event)
	}
	const hello = `{"type":"send","payload":{"id":"m1","room":"plant1/ops","type":"chat","payload":{"text":"<hello>"}}}`
	say(a, hello)
	got, own := b.await(t, "message"), a.await(t, "message")
	receipt := a.await(t, "receipt")
	if string(got.Payload.Payload) != `{"text":"<hello>"}` || got.Payload.From.Session != self || receipt.Payload.Version != got.Payload.Version ||
		own.Payload.Version != got.Payload.Version {
		t.Fatalf("message %+v, receipt %+v", got.Payload, receipt.Payload)
	}
	say(a, hello) // again: the first's version, and nobody gets it
	if again := a.await(t, "receipt"); again.Payload.Version != receipt.Payload.Version {
		t.Fatalf("the repetition has version %d, the first %d", again.Payload.Version, receipt.Payload.Version)
	}
	say(a, `{"type":"send","payload":{"id":"m2","room":"plant1/ops","type":"typing","ephemeral":true}}`)
	if next := b.await(t, "message"); next.Payload.ID != "m2" {
		t.Fatalf("got %s", next.Payload.ID)
	}
	c := r.dialFrom("v1/live", "")
	say(c, `{"type":"join","payload":{"room":"plant1/ops"}}`)
	if m := c.await(t, "joined"); len(m.Payload.Members) != 3 || len(m.Payload.Messages) != 1 || m.Payload.Messages[0].ID != "m1" {
		t.Fatalf("joined %+v", m.Payload)
	}
	_ = a.conn.NetConn().Close()
	b.await(t, "presence") // c joined
	if m := b.await(t, "presence"); m.Payload.Event != "left" || m.Payload.Session != self {
		t.Fatalf("presence %+v", m.Payload)
	}
}

func (r *running) publish(body string) (int, string) {
	r.t.Helper()
	res, err := asking(r.t).Post(r.URL()+"v1/publish", "application/json", strings.NewReader(body))
	must(r.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(r.t, err)
	return res.StatusCode, string(text)
}

func TestInboxesHistoriesAndBansOutliveARestart(t *testing.T) {
	c := onDisk(t)
	r := start(t, c)
	for _, body := range []string{
		`{"target":{"room":"plant1/ops"},"type":"chat","payload":1,"id":"one"}`,
		`{"target":{"user":"_users/anonymous"},"type":"mail","payload":2,"id":"two"}`,
	} {
		if status, text := r.publish(body); status != http.StatusOK {
			t.Fatalf("%s: %d %s", body, status, text)
		}
	}
	s := r.dialFrom("v1/live", "")
	must(t, s.conn.WriteString(`{"type":"ban","payload":{"room":"plant1/closed","user":"_users/anonymous"}}`))
	must(t, s.conn.WriteString(`{"type":"join","payload":{"room":"plant1/closed"}}`))
	if m := s.await(t, "message"); m.Payload.ID != "two" {
		t.Fatalf("inbox has %+v", m.Payload)
	}
	refused := func(s *socket) {
		t.Helper()
		var m heard
		for m.Type != "error" {
			must(t, json.Unmarshal(s.next(t), &m))
		}
		if m.Payload.Code != "banned" {
			t.Fatalf("refused with %q", m.Payload.Code)
		}
	}
	refused(s)
	must(t, r.stop())

	r = start(t, c)
	s = r.dialFrom("v1/live", "")
	mail := s.await(t, "message")
	if mail.Payload.ID != "two" {
		t.Fatalf("inbox has %+v", mail.Payload)
	}
	must(t, s.conn.WriteString(`{"type":"join","payload":{"room":"plant1/ops"}}`))
	if m := s.await(t, "joined"); len(m.Payload.Messages) != 1 || m.Payload.Messages[0].ID != "one" {
		t.Fatalf("joined %+v", m.Payload)
	}
	must(t, s.conn.WriteString(`{"type":"join","payload":{"room":"plant1/closed"}}`))
	refused(s)
	for body, want := range map[string]string{
		`{`: "json_syntax", `{"target":{},"type":"a"}`: "field_missing", `{"target":{"room":"a/+"},"type":"a"}`: "path_wildcard",
		`{"target":{"user":"plant1/alice"},"type":"a"}`:                                     "field_value",
		`{"target":{"room":"a"},"type":"a","payload":"` + strings.Repeat("x", 1<<20) + `"}`: "frame_too_large",
	} {
		if _, text := r.publish(body); !strings.Contains(text, `"`+want+`"`) {
			t.Errorf("%.60s: %s, want %s", body, text, want)
		}
	}
}

func TestTwoProcessesShareRooms(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	must(t, err)
	t.Cleanup(cluster.Close)
	pushing := func() config.Config {
		c := memory()
		c.Kafka.Brokers, c.Roles, c.Kafka.ReplicationFactor = cluster.ListenAddrs(), []string{"push"}, 1
		return c
	}
	one, two := start(t, pushing()), start(t, pushing())
	a, b := one.dialFrom("v1/live", ""), two.dialFrom("v1/live", "")
	other := b.await(t, "welcome").Payload.Session
	const join = `{"type":"join","payload":{"room":"plant1/ops"}}`
	must(t, a.conn.WriteString(join))
	a.await(t, "joined")
	must(t, b.conn.WriteString(join))
	if m := b.await(t, "joined"); len(m.Payload.Members) != 2 {
		t.Fatalf("members %+v", m.Payload.Members)
	}
	// The same message from both sides is told once, and has one version.
	const body = `{"target":{"room":"plant1/ops"},"type":"chat","id":"m1"}`
	_, first := one.publish(body)
	_, again := two.publish(body)
	if first != again {
		t.Fatalf("%s and %s", first, again)
	}
	one.publish(`{"target":{"room":"plant1/ops"},"type":"chat","id":"m2"}`)
	for _, s := range []*socket{a, b} {
		for _, want := range []string{"m1", "m2"} {
			if m := s.await(t, "message"); m.Payload.ID != want {
				t.Fatalf("told %s instead of %s", m.Payload.ID, want)
			}
		}
	}
	must(t, two.stop())
	for m := a.await(t, "presence"); m.Payload.Event != "left" || m.Payload.Session != other; m = a.await(t, "presence") {
	}
	c := one.dialFrom("v1/live", "")
	must(t, c.conn.WriteString(join))
	if m := c.await(t, "joined"); len(m.Payload.Members) != 2 || len(m.Payload.Messages) != 2 {
		t.Fatalf("joined %+v", m.Payload)
	}
}

func TestWhoComesBackToARoomIsToldWhatItMissed(t *testing.T) {
	c := onDisk(t)
	c.Partitions, c.Rooms.History = 1, 2
	r := start(t, c)
	s := r.dialFrom("v1/live", "")
	say := func(text string) { t.Helper(); must(t, s.conn.WriteString(text)) }
	say(`{"type":"join","payload":{"room":"plant1/ops"}}`)
	s.await(t, "joined")
	for i := range 6 {
		r.publish(fmt.Sprintf(`{"target":{"room":"plant1/ops"},"type":"chat","id":"m%d"}`, i))
	}
	first := s.await(t, "message").Payload.Version
	back := func(more string) (ids []string, gap bool) {
		t.Helper()
		say(fmt.Sprintf(`{"type":"join","payload":{"room":"plant1/ops","after":%d%s}}`, first, more))
		got := s.await(t, "joined").Payload
		for _, m := range got.Messages {
			ids = append(ids, m.ID)
		}
		return ids, got.Gap
	}
	check := func() {
		t.Helper()
		// Memory has two, the others are in the log.
		if ids, gap := back(""); gap || !slices.Equal(ids, []string{"m1", "m2", "m3", "m4", "m5"}) {
			t.Errorf("told %v, gap %v", ids, gap)
		}
		if ids, gap := back(`,"last":3`); !gap || !slices.Equal(ids, []string{"m3", "m4", "m5"}) {
			t.Errorf("of the newest three: %v, gap %v", ids, gap)
		}
	}
	check()
	must(t, r.stop())
	r = start(t, c)
	s = r.dialFrom("v1/live", "")
	check()
	must(t, r.stop())
	c.Rooms.ReadBack = 0
	r = start(t, c)
	s = r.dialFrom("v1/live", "")
	if ids, gap := back(""); !gap || !slices.Equal(ids, []string{"m4", "m5"}) {
		t.Errorf("from memory alone: %v, gap %v", ids, gap)
	}
}

func TestRefusalsNameTheRoomAndTheMessage(t *testing.T) {
	r := start(t, memory())
	s := r.dialFrom("v1/live", "")
	for request, want := range map[string]heard{
		`{"type":"join","payload":{"room":"a/+"}}`:                                        {Payload: payload{Room: "a/+"}},
		`{"type":"join","payload":{"room":"a","lost":1}}`:                                 {Payload: payload{Room: "a"}},
		`{"type":"leave","payload":{"room":"a/+"}}`:                                       {Payload: payload{Room: "a/+"}},
		`{"type":"kick","payload":{"room":"a","user":"b"}}`:                               {Payload: payload{Room: "a"}},
		`{"type":"send","payload":{"id":"m1","room":"a/+","type":"chat","payload":1}}`:    {Payload: payload{ID: "m1", Room: "a/+"}},
		`{"type":"send","payload":{"id":"m2","user":"nobody","type":"chat","payload":1}}`: {Payload: payload{ID: "m2"}},
	} {
		must(t, s.conn.WriteString(request))
		var got heard
		for got.Type != "error" {
			must(t, json.Unmarshal(s.next(t), &got))
		}
		if got.Payload.ID != want.Payload.ID || got.Payload.Room != want.Payload.Room {
			t.Errorf("%s: id %q, room %q", request, got.Payload.ID, got.Payload.Room)
		}
	}
}

// TestRightsInRoomsThatAreRenewedOrRevokedEndTheStay has two guests of two rooms, one of whom is renewed with less; then
// what it has is revoked.
func TestRightsInRoomsThatAreRenewedOrRevokedEndTheStay(t *testing.T) {
	s := startSecured(t)
	joins := func(rooms string) string {
		s.grant("guest", "t1", fmt.Sprintf(`"rooms":[{"rooms":[%s],"may":["join"]}]`, rooms))
		return s.tokens["guest"]
	}
	one := s.dialFrom("v1/live?access_token="+joins(`"t1/a","t1/b"`), "")
	self := one.await(t, "welcome").Payload.Session
	other := s.dialFrom("v1/live?access_token="+s.tokens["viewer1"], "")
	for _, room := range []string{"t1/a", "t1/b"} {
		must(t, one.conn.WriteString(fmt.Sprintf(`{"type":"join","payload":{"room":%q}}`, room)))
		one.await(t, "joined")
		must(t, other.conn.WriteString(fmt.Sprintf(`{"type":"join","payload":{"room":%q}}`, room)))
		other.await(t, "joined")
	}
	left := func(room string) {
		t.Helper()
		if m := other.await(t, "presence").Payload; m.Event != "left" || m.Room != room || m.Session != self {
			t.Fatalf("told %+v, want that %s is left", m, room)
		}
	}
	must(t, one.conn.WriteString(fmt.Sprintf(`{"type":"auth","payload":{"token":%q}}`, joins(`"t1/a"`))))
	left("t1/b")
	if m := one.await(t, "left").Payload; m.Room != "t1/b" {
		t.Errorf("it left %s", m.Room)
	}
	if status, body := s.ask("admin", "POST", "/v1/revocations", `{"subject":"guest"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	left("t1/a")
}
