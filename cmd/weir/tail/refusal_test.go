package tail

import (
	"errors"
	"strings"
	"testing"

	"github.com/lxzan/gws"

	sdk "weir/sdk/go"
	"weir/wire"
)

func TestTailNamesTheRoomThatIsRefused(t *testing.T) {
	for _, c := range []struct{ answer, want, hint string }{
		{`{"type":"error","payload":{"code":"forbidden","message":"no","path":"payload.room","room":"plant1/ops"}}`, "refused room plant1/ops: forbidden: no", "join this room"},
		{`{"type":"error","payload":{"code":"banned","message":"until noon","path":"payload.room","room":"plant1/ops"}}`, "refused room plant1/ops: banned: until noon", ""},
		{`{"type":"presence","payload":{"room":"plant1/ops","event":"kicked","user":"plant1/_users/me","session":"s1"}}`, "ended the stay in room plant1/ops", ""},
	} {
		s := startServer(t, nil)
		s.greet = &wire.Welcome{Session: "s1", HeartbeatMS: 60_000}
		s.other = func(socket *gws.Conn, text string) {
			if strings.Contains(text, `"join"`) {
				if strings.Contains(c.answer, "kicked") {
					write(socket, &wire.Joined{Room: "plant1/ops"})
				}
				_ = socket.WriteString(c.answer)
			}
		}
		_, _, _, err := s.run(t, Options{Rooms: []string{"plant1/ops"}}, nil)
		var hinted interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), c.hint) || c.hint == "" && hinted.Hint() != "" {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestTailEndsWhenItIsRefused(t *testing.T) {
	t.Run("by a message", func(t *testing.T) {
		s := startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) {
			write(socket, &wire.ErrorMsg{Error: *wire.NewError(wire.CodePatternsTooMany, "payload.patterns"), ID: m.ID})
		})
		_, _, _, err := s.run(t, Options{}, nil)
		if err == nil || !strings.Contains(err.Error(), "more patterns") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("for what a flag says", func(t *testing.T) {
		s := startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) {
			write(socket, &wire.ErrorMsg{Error: *wire.NewError(wire.CodeFilterInvalid, "payload.filter"), ID: m.ID})
		})
		_, _, _, err := s.run(t, Options{Filter: "max >"}, nil)
		if err == nil || !strings.Contains(err.Error(), "at --filter") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("by a close code", func(t *testing.T) {
		s := startServer(t, func(_ int, socket *gws.Conn, _ wire.Subscribe) {
			_ = socket.WriteClose(wire.CloseProtocolError, []byte(wire.ReasonProtocolError))
		})
		_, _, _, err := s.run(t, Options{}, nil)
		var closed *sdk.ClosedError
		if !errors.As(err, &closed) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("by nobody being there", func(t *testing.T) {
		_, notes, _, err := new(server).run(t, Options{URL: "ws://127.0.0.1:1/v1/live"}, nil)
		var hinted interface{ Hint() string }
		if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "weir serve") || notes != "" {
			t.Errorf("error %v, notes %q", err, notes)
		}
	})
}

func TestTailShowsItsTokenAndSaysWhatToDoWhenThatIsNotEnough(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*gws.Conn, wire.Subscribe)
		read   []string
		hint   string
	}{
		"no credentials": {closing(wire.CloseRefused, wire.ReasonUnauthenticated), nil, "WEIR_TOKEN"},
		"expired":        {closing(wire.CloseTokenExpired, wire.ReasonTokenExpired), nil, "weir key create"},
		"revoked":        {closing(wire.CloseTokenRevoked, wire.ReasonTokenRevoked), nil, "--data"},
		"forbidden":      {forbidding, []string{"plant2/#", "plant3/a/#"}, "permit plant2/#, plant3/a/#"},
		"nothing":        {forbidding, nil, "permit no series"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) { c.answer(socket, m) })
			s.greet = &wire.Welcome{Read: c.read}
			_, _, _, err := s.run(t, Options{Token: "weir_a_secret"}, nil)
			var hinted interface{ Hint() string }
			if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), c.hint) {
				t.Errorf("error %v has no hint with %q", err, c.hint)
			}
			if strings.Contains(c.hint, "permit") && !strings.Contains(err.Error(), "forbidden at pattern plant1/#") {
				t.Errorf("error %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v tells the token", err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.token != "Bearer weir_a_secret" {
				t.Errorf("shown %q", s.token)
			}
		})
	}
}

func closing(code uint16, reason string) func(*gws.Conn, wire.Subscribe) {
	return func(s *gws.Conn, _ wire.Subscribe) { _ = s.WriteClose(code, []byte(reason)) }
}

func forbidding(s *gws.Conn, m wire.Subscribe) {
	write(s, &wire.ErrorMsg{Error: *wire.NewError(wire.CodeForbidden, "payload.patterns[0]"), ID: m.ID})
}
