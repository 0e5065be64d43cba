package rooms

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/auth"
	"weir/kafka"
	"weir/kafka/embedded"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything may take that a test waits for.
const patience = 30 * time.Second

// world is a broker with instances that share rooms.
type world struct {
	t        *testing.T
	client   *kafka.Client
	producer *kafka.Producer
	silent   atomic.Pointer[string] // the instance that is not heard of
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker, err := embedded.Open(embedded.Options{Config: embedded.DefaultConfig()})
	must(t, err)
	t.Cleanup(func() { _ = broker.Close() })
	client, err := kafka.New(broker.Options())
	must(t, err)
	t.Cleanup(client.Close)
	must(t, client.EnsureTopics(t.Context(), []kafka.TopicSpec{{Name: wire.TopicMessages, Partitions: 2}}))
	producer, err := client.NewProducer(t.Context(), kafka.ProducerOptions{})
	must(t, err)
	t.Cleanup(func() { _ = producer.Close() })
	return &world{t: t, client: client, producer: producer}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs an instance until die, which tells nobody.
func (w *world) start(node string) (h *Hub, die func()) {
	w.t.Helper()
	h, err := New(Options{
		Config: DefaultConfig(), Client: w.client, Producer: w.producer, Partitions: 2, Node: node,
		Alive: func(node string) bool { gone := w.silent.Load(); return gone == nil || *gone != node },
	})
	must(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	die = sync.OnceFunc(func() { cancel(); must(w.t, <-ended) })
	w.t.Cleanup(die)
	select {
	case <-h.Ready():
	case <-time.After(patience):
		w.t.Fatal("not ready")
	}
	return h, die
}

// ear is a session and what it is told.
type ear struct {
	t    *testing.T
	h    *Hub
	id   string
	told chan wire.ServerMessage
}

func (w *world) attach(h *Hub, id, subject string, roles ...string) *ear {
	e := &ear{t: w.t, h: h, id: id, told: make(chan wire.ServerMessage, 100)}
	h.Attach(id, &auth.Principal{Subject: subject, Tenant: "p", Roles: roles}, func(message []byte) {
		var d wire.LiveDecoder
		m, err := d.Decode(message)
		if err != nil {
			w.t.Errorf("%s: %v", message, err)
		}
		e.told <- m
	}, nil)
	return e
}

// ask does what must not be refused at once.
func (e *ear) ask(kind string, r wire.RoomRequest) {
	e.t.Helper()
	must(e.t, e.h.Handle(e.id, kind, &r))
}

// next reads on to the next message of a kind.
func next[M wire.ServerMessage](e *ear) (m M) {
	e.t.Helper()
	for {
		select {
		case told := <-e.told:
			if m, ok := told.(M); ok {
				return m
			}
		case <-time.After(patience):
			e.t.Fatalf("%s: no %T came", e.id, m)
		}
	}
}

func (e *ear) join(room string) *wire.Joined {
	e.t.Helper()
	e.ask(wire.TypeJoin, wire.RoomRequest{Target: wire.Target{Room: room}})
	return next[*wire.Joined](e)
}

func (e *ear) wantPresence(event, session string) {
	e.t.Helper()
	if m := next[*wire.RoomPresence](e); m.Event != event || m.Session != session {
		e.t.Fatalf("%s is told that %s has %s, want %s %s", e.id, m.Session, m.Event, session, event)
	}
}

func TestTheMembersOfASilentInstanceHaveLeft(t *testing.T) {
	w := newWorld(t)
	one, _ := w.start("one")
	two, die := w.start("two")
	a, b := w.attach(one, "a", "ada", auth.RoleViewer), w.attach(two, "b", "bob", auth.RoleViewer)
	a.join("p/r")
	if joined := b.join("p/r"); len(joined.Members) != 2 {
		t.Fatalf("%+v", joined)
	}
	a.wantPresence("joined", "b")
	die() // its sessions are gone, and nobody has said so
	if members := a.join("p/r").Members; len(members) != 2 {
		t.Errorf("gone before it is known: %+v", members)
	}
	gone := "two"
	w.silent.Store(&gone)
	a.wantPresence("left", "b")
	if members := a.join("p/r").Members; len(members) != 1 || members[0].Session != "a" {
		t.Errorf("members: %+v", members)
	}
	// An instance that was not there then has that from the log.
	three, _ := w.start("three")
	c := w.attach(three, "c", "cyd", auth.RoleViewer)
	if members := c.join("p/r").Members; len(members) != 2 {
		t.Errorf("members, from the log: %+v", members)
	}
	a.wantPresence("joined", "c")
	a.ask(wire.TypeRooms, wire.RoomRequest{})
	if list := next[*wire.RoomList](a).Rooms; len(list) != 1 || list[0].Members != 2 {
		t.Errorf("%+v", list)
	}
}

func TestABanByAnotherModeratorHoldsEverywhereAndOutlivesARestart(t *testing.T) {
	w := newWorld(t)
	one, die := w.start("one")
	two, _ := w.start("two")
	banned, other := w.attach(one, "a", "ada", auth.RoleOperator), w.attach(one, "b", "bob", auth.RoleViewer)
	moderator := w.attach(two, "m", "mia", auth.RoleAdmin)
	for _, e := range []*ear{banned, other, moderator} {
		e.join("p/r")
	}
	moderator.ask(wire.TypeBan, wire.RoomRequest{Target: wire.Target{Room: "p/r", User: "p/_users/ada"}, Reason: "noise"})
	for _, e := range []*ear{banned, other, moderator} {
		for m := next[*wire.RoomPresence](e); m.Event != "kicked" || m.Session != "a"; m = next[*wire.RoomPresence](e) {
		}
	}
	moderator.ask(wire.TypeSend, wire.RoomRequest{Target: wire.Target{Room: "p/r"}, ID: "m1", Type: "chat", Payload: []byte("1")})
	next[*wire.RoomMessage](other)
	wantBanned := func(e *ear) {
		t.Helper()
		e.ask(wire.TypeJoin, wire.RoomRequest{Target: wire.Target{Room: "p/r"}})
		if m := next[*wire.ErrorMsg](e); m.Code != wire.CodeBanned || m.Room != "p/r" {
			t.Errorf("%+v", m)
		}
	}
	wantBanned(banned)
	select {
	case m := <-banned.told:
		t.Errorf("who is banned is told %+v", m)
	default:
	}
	var refusal *wire.Error
	send := wire.RoomRequest{Target: wire.Target{Room: "p/r"}, ID: "m2", Type: "chat", Payload: []byte("2")}
	if err := one.Handle("a", wire.TypeSend, &send); !errors.As(err, &refusal) || refusal.Code != wire.CodeBanned {
		t.Errorf("send: %v", err)
	}
	die()
	again, _ := w.start("one")
	wantBanned(w.attach(again, "a2", "ada", auth.RoleAdmin)) // also who could lift it
	w.attach(again, "b2", "bob", auth.RoleViewer).join("p/r")
}

func TestAJoinThatIsUnderWayEndsWithTheRight(t *testing.T) {
	w := newWorld(t)
	one, _ := w.start("one")
	a := w.attach(one, "a", "ada", auth.RoleViewer)
	a.ask(wire.TypeJoin, wire.RoomRequest{Target: wire.Target{Room: "p/r"}})
	one.Attach("a", &auth.Principal{Subject: "ada", Tenant: "p", Roles: []string{auth.RoleDevice}}, nil, nil)
	if m := next[*wire.Left](a); m.Room != "p/r" {
		t.Errorf("%+v", m)
	}
	b := w.attach(one, "b", "bob", auth.RoleViewer)
	if members := b.join("p/r").Members; len(members) != 1 {
		t.Errorf("%+v", members)
	}
}
