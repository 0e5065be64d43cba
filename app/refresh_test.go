package app

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// told is a socket with all that it is told: messages, and in the end why it was closed.
type told struct {
	gws.BuiltinEventHandler
	conn     *gws.Conn
	messages chan string
}

func (s *told) OnMessage(_ *gws.Conn, m *gws.Message) { s.messages <- m.Data.String(); _ = m.Close() }
func (s *told) OnClose(_ *gws.Conn, err error) {
	reason := "lost"
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		reason = string(closed.Reason)
	}
	s.messages <- "closed " + reason
}

// until waits for a message that holds a text.
func (s *told) until(t *testing.T, text string) string {
	t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case m := <-s.messages:
			if strings.Contains(m, text) {
				return m
			}
		case <-deadline:
			t.Fatalf("was not told %q", text)
		}
	}
}

func (s *secured) connect(path, access string) *told {
	s.t.Helper()
	c := &told{messages: make(chan string, 1<<10)}
	conn, _, err := gws.NewClient(c, &gws.ClientOption{
		Addr: strings.Replace(s.URL(), "http", "ws", 1) + path, RequestHeader: http.Header{"Authorization": {"Bearer " + access}}})
	must(s.t, err)
	c.conn = conn
	var loop sync.WaitGroup
	loop.Go(conn.ReadLoop)
	s.t.Cleanup(func() { _ = conn.NetConn().Close(); loop.Wait() })
	return c
}

func TestARefreshTokenIsRenewedOverAnOpenConnectionAndItsReuseEndsAll(t *testing.T) {
	s := startSecured(t)
	for path, who := range map[string]string{"v1/ingest": "device1", "v1/live": "viewer1"} {
		type grant struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
		}
		status, body := s.ask("none", "POST", "/v1/session", `{"token":"`+s.tokens[who]+`","refresh":true}`)
		var first grant
		if err := json.Unmarshal(body, &first); status != http.StatusOK || err != nil || first.Refresh == "" {
			t.Fatalf("%s: %d %s", who, status, body)
		}
		c := s.connect(path, first.Access)
		must(t, c.conn.WriteString(`{"type":"auth","payload":{"refresh_token":"`+first.Refresh+`"}}`))
		var second struct{ Payload grant }
		must(t, json.Unmarshal([]byte(c.until(t, "refresh_token")), &second))
		if second.Payload.Refresh == first.Refresh || second.Payload.Access == first.Access {
			t.Errorf("%s: nothing was renewed", path)
		}
		other := s.connect(path, second.Payload.Access)
		must(t, other.conn.WriteString(`{"type":"app_ping"}`))
		other.until(t, "app_pong")
		// Whoever has the token of before is a thief, or was robbed.
		thief := s.connect(path, s.tokens[who])
		must(t, thief.conn.WriteString(`{"type":"auth","payload":{"refresh_token":"`+first.Refresh+`"}}`))
		thief.until(t, "token_revoked")
		c.until(t, "closed token_revoked")
		other.until(t, "closed token_revoked")
	}
}
