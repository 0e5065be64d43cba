package device_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"weir/auth"
	"weir/config"
	device "weir/sdk/go"
	"weir/wire"
)

// secured is a server that asks who one is.
type secured struct {
	*weir
	signer *auth.Signer
}

func startSecured(t *testing.T) *secured {
	t.Helper()
	c := config.Default()
	c.Data = t.TempDir()
	w := runWeir(t, c)
	signer, err := auth.ReadSigner(filepath.Join(c.Data, "credentials", "signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &secured{weir: w, signer: signer}
}

func (s *secured) token(user, role string, lasting time.Duration) string {
	s.t.Helper()
	now := time.Now()
	token, _, err := s.signer.Mint(auth.Token{
		Subject: user, Tenant: "plant1", Roles: []string{role}, Read: []string{"plant1/#"}, Expires: now.Add(lasting),
	}, now)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// live connects as a user. The test ends it.
func (w *weir) live(change func(o *device.LiveOptions)) *device.Live {
	w.t.Helper()
	o := device.LiveOptions{URL: w.url("/v1/live"), Retry: device.Retry{First: 20 * time.Millisecond, Max: 200 * time.Millisecond}}
	if change != nil {
		change(&o)
	}
	l, err := device.NewLive(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(l.Close)
	return l
}

func (s *secured) user(user, role string) *device.Live {
	s.t.Helper()
	return s.live(func(o *device.LiveOptions) { o.Token = s.token(user, role, time.Hour) })
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func joined(t *testing.T, l *device.Live, room string, last int) *device.Room {
	t.Helper()
	r, err := l.Join(within(t), room, device.JoinOptions{Last: last})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func event(t *testing.T, r *device.Room) device.RoomEvent {
	t.Helper()
	e, err := r.Next(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// message is the next event, which is a message.
func message(t *testing.T, r *device.Room) *device.Message {
	t.Helper()
	e := event(t, r)
	if e.Message == nil {
		t.Fatalf("%+v, want a message", e)
	}
	return e.Message
}

func code(err error) string {
	var refused *device.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return fmt.Sprint(err)
}

const ops = "plant1/ops"

func TestPeopleTalkInARoom(t *testing.T) {
	s := startSecured(t)
	alice, bob := s.user("alice", auth.RoleOperator), s.user("bob", auth.RoleOperator)
	a := joined(t, alice, ops, 0)
	b := joined(t, bob, ops, 0)
	if e := event(t, a); e.Presence == nil || e.Presence.Event != "joined" || e.Presence.User != "plant1/_users/bob" {
		t.Errorf("%+v", e)
	}
	if m := a.Members(); len(m) != 2 || m[0].User != "plant1/_users/alice" || m[1].Away {
		t.Errorf("%+v", m)
	}
	version, err := a.Send(within(t), "chat", map[string]string{"text": "hello"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*device.Room{a, b} { // who sent it reads it, too
		if err := r.WaitFor(within(t), version); err != nil {
			t.Error(err)
		}
		if m := message(t, r); m.Version != version || string(m.Payload) != `{"text":"hello"}` || m.From.User != "plant1/_users/alice" {
			t.Errorf("%+v", m)
		}
	}
	out := device.Outgoing{Target: device.Target{Room: ops}, Type: "chat", Payload: 1, ID: "m1", ExcludeSelf: true}
	if version, err = alice.Send(within(t), out); err != nil {
		t.Fatal(err)
	}
	if again, err := alice.Send(within(t), out); err != nil || again != version {
		t.Errorf("sent again it has version %d, not %d; %v", again, version, err)
	}
	if err := a.WaitFor(within(t), version); err != nil {
		t.Error(err)
	}
	if _, err := b.Send(within(t), "chat", 2); err != nil {
		t.Fatal(err)
	}
	if m, n := message(t, b), message(t, b); m.ID != "m1" || string(n.Payload) != "2" {
		t.Errorf("%+v, %+v", m, n)
	}
	if m := message(t, a); string(m.Payload) != "2" {
		t.Errorf("%+v: one's own was not wanted", m)
	}
	if rooms, err := bob.Rooms(within(t)); err != nil || len(rooms) != 1 || rooms[0].Members != 2 || rooms[0].Version == 0 {
		t.Errorf("%+v, %v", rooms, err)
	}
	late := joined(t, s.user("carol", auth.RoleViewer), ops, 2)
	if m, n := message(t, late), message(t, late); m.ID != "m1" || string(n.Payload) != "2" {
		t.Errorf("%+v, %+v", m, n)
	}
	b.Leave()
	if e := event(t, late); e.Presence == nil || e.Presence.Event != "left" || len(late.Members()) != 2 {
		t.Errorf("%+v", e)
	}
}

func TestModeratorsKickAndBan(t *testing.T) {
	s := startSecured(t)
	admin, bob, carol := s.user("admin", auth.RoleAdmin), s.user("bob", auth.RoleOperator), s.user("carol", auth.RoleViewer)
	c := joined(t, carol, ops, 0)
	b := joined(t, bob, ops, 0)
	if e := event(t, c); e.Presence == nil || e.Presence.Event != "joined" {
		t.Errorf("%+v", e)
	}
	if _, err := c.Send(within(t), "chat", 1); code(err) != wire.CodeForbidden {
		t.Errorf("a viewer sent: %v", err)
	}
	if _, err := bob.Kick(within(t), ops, "plant1/_users/carol", ""); code(err) != wire.CodeForbidden {
		t.Errorf("an operator kicked: %v", err)
	}
	if _, err := bob.Join(within(t), "plant2/ops", device.JoinOptions{}); code(err) != wire.CodeForbidden {
		t.Errorf("in another tenant's room: %v", err)
	}
	var newest int64
	moderate := func(f func() (int64, error)) {
		t.Helper()
		version, err := f()
		if err != nil || version <= newest {
			t.Fatalf("version %d after %d: %v", version, newest, err)
		}
		newest = version
		if e := event(t, b); e.Presence == nil || e.Presence.Event != "kicked" {
			t.Errorf("%+v", e)
		}
		if _, err := b.Next(within(t)); !errors.Is(err, device.ErrKicked) {
			t.Errorf("%v", err)
		}
		if e := event(t, c); e.Presence == nil || e.Presence.Event != "kicked" || len(c.Members()) != 1 {
			t.Errorf("%+v", e)
		}
	}
	moderate(func() (int64, error) { return admin.Kick(within(t), ops, "plant1/_users/bob", "noise") })
	b = joined(t, bob, ops, 0)
	event(t, c)
	moderate(func() (int64, error) { return admin.Ban(within(t), ops, "plant1/_users/bob", time.Hour, "noise") })
	if _, err := bob.Join(within(t), ops, device.JoinOptions{}); code(err) != wire.CodeBanned {
		t.Errorf("%v", err)
	}
	if _, err := bob.Send(within(t), device.Outgoing{Target: device.Target{Room: ops}, Type: "chat"}); code(err) != wire.CodeBanned {
		t.Errorf("%v", err)
	}
	joined(t, bob, "plant1/other", 0)
}

func TestMessagesToAUserWaitUntilTheyAreAcknowledged(t *testing.T) {
	s := startSecured(t)
	alice := s.user("alice", auth.RoleOperator)
	send := func(id string) {
		t.Helper()
		_, err := alice.Send(within(t), device.Outgoing{Target: device.Target{User: "plant1/_users/bob"}, Type: "mail", ID: id})
		if err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan device.Message, 100)
	bob := func() *device.Live {
		return s.live(func(o *device.LiveOptions) {
			o.Token, o.OnMessage = s.token("bob", auth.RoleViewer, time.Hour), func(m device.Message) { got <- m }
		})
	}
	take := func(id string) device.Message {
		t.Helper()
		select {
		case m := <-got:
			if m.ID != id || m.From.User != "plant1/_users/alice" {
				t.Errorf("%+v, want %s", m, id)
			}
			return m
		case <-within(t).Done():
			t.Fatalf("no %s", id)
		}
		panic("not reached")
	}
	send("one")
	send("two")
	first := bob()
	one := take("one")
	take("two")
	first.Interrupt(0) // what is not acknowledged comes again, and is told once
	send("three")
	take("three")
	first.Ack(&one)
	joined(t, first, "plant1/after", 0) // messages are handled in order
	first.Close()
	bob()
	take("two")
	take("three")
	if len(got) > 0 {
		t.Errorf("%d more", len(got))
	}
}

// Several people talk while connections are cut and the server is started again: each message is told once, in order, to
// all, and nobody hears of a gap.
func TestMissedMessagesOfARoomAreToldOnceAndInOrder(t *testing.T) {
	const senders, each = 3, 100
	c := config.Default()
	c.Data = t.TempDir()
	w := startWeir(t, c)
	var lives []*device.Live
	for i := range senders + 2 {
		lives = append(lives, w.live(func(o *device.LiveOptions) { o.Protobuf = i%2 == 0 }))
	}
	told := make([][]string, len(lives))
	var readers, writers sync.WaitGroup
	for i, l := range lives {
		r := joined(t, l, ops, 0)
		readers.Go(func() {
			for len(told[i]) < senders*each {
				e, err := r.Next(within(t))
				switch {
				case err != nil || e.Missed:
					t.Errorf("reader %d: %+v, %v", i, e, err)
					return
				case e.Message != nil:
					told[i] = append(told[i], e.Message.ID)
				}
			}
		})
	}
	stop := cutLives(2, lives)
	for i := range senders {
		writers.Go(func() {
			for n := range each {
				out := device.Outgoing{Target: device.Target{Room: ops}, Type: "chat", Payload: n, ID: fmt.Sprintf("%d.%d", i, n)}
				version, err := lives[i].Send(within(t), out)
				if err != nil || version <= 0 {
					t.Errorf("%d, %v", version, err)
					return
				}
				if i == 0 && n == each/2 {
					w.stop()
					w.start()
				}
			}
		})
	}
	writers.Wait()
	cuts := stop()
	readers.Wait()
	for i := range told {
		if fmt.Sprint(told[i]) != fmt.Sprint(told[0]) {
			t.Errorf("reader %d was told\n%v\nand the first\n%v", i, told[i], told[0])
		}
	}
	next := make([]int, senders)
	for _, id := range told[0] {
		var i, n int
		if _, err := fmt.Sscanf(id, "%d.%d", &i, &n); err != nil || next[i] != n {
			t.Fatalf("%s after %d messages of that sender: %v", id, next[i], told[0])
		}
		next[i]++
	}
	t.Logf("%d messages, %d cuts", len(told[0]), cuts)
}
