package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

// tokens hands out t1, t2, … and counts.
type tokens struct{ asked int }

func (k *tokens) next(context.Context) (string, error) {
	k.asked++
	return fmt.Sprintf("t%d", k.asked), nil
}

func TestCloseCodesAreObeyed(t *testing.T) {
	for _, info := range wire.CloseCodes() {
		for _, fixed := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				s := new(server)
				s.answer = func(a *arrival) *wire.Receipt {
					if a.conn == 1 {
						a.peer.close(info.Code, info.Reason)
						return nil
					}
					return accept(a)
				}
				k := new(tokens)
				c := start(t, s, func(o *Options) {
					if fixed {
						o.Token = "t1"
					} else {
						o.TokenSource = k.next
					}
				})
				send(t, c, 1)
				stop := info.Action == wire.ActionStop || info.Action == wire.ActionToken && fixed
				if stop {
					<-c.Done()
					var closed *ClosedError
					if !errors.As(c.Err(), &closed) || closed.Code != info.Code {
						t.Errorf("%d %s: error %v", info.Code, info.Reason, c.Err())
					}
					time.Sleep(time.Hour)
					if n := len(s.dialled()); n != 1 {
						t.Errorf("%d %s: %d connections, want 1", info.Code, info.Reason, n)
					}
					_ = c.Close(context.Background())
					s.wg.Wait()
					return
				}
				flush(t, c)
				if n := c.Stats(); n.Accepted != 1 || n.Connects != 2 {
					t.Errorf("%d %s: %+v", info.Code, info.Reason, n)
				}
				if !fixed && s.peers[1].header.Get("Authorization") != "Bearer t2" {
					t.Errorf("%d %s: came back with %q", info.Code, info.Reason, s.peers[1].header.Get("Authorization"))
				}
				finish(t, s, c)
			})
		}
	}
}

func TestRefusedHandshakes(t *testing.T) {
	for status, stops := range map[int]bool{401: false, 403: true, 404: false, 429: false, 503: false} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{answer: accept}
			s.refuse = func(dial int) (int, http.Header) {
				if dial == 1 {
					return status, nil
				}
				return 0, nil
			}
			k := new(tokens)
			c := start(t, s, func(o *Options) { o.TokenSource = k.next })
			send(t, c, 1)
			if stops {
				<-c.Done()
				var dial *DialError
				if !errors.As(c.Err(), &dial) || dial.Status != status {
					t.Errorf("%d: %v", status, c.Err())
				}
				_ = c.Close(context.Background())
				s.wg.Wait()
				return
			}
			flush(t, c)
			if k.asked != 2 {
				t.Errorf("%d: asked for %d tokens, want 2", status, k.asked)
			}
			finish(t, s, c)
		})
	}
}

func TestErrorsDoNotShowCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept, down: true}
		c := start(t, s, func(o *Options) { o.URL += "?access_token=hush"; o.Token = "hush"; o.Retry.Attempts = 1 })
		<-c.Done()
		if text := c.Err().Error(); strings.Contains(text, "hush") {
			t.Error(text)
		}
		_ = c.Close(context.Background())
	})
}

func TestCredentialMayComeAsTheFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		s.heard = func(p *peer, kind string, payload json.RawMessage) {
			time.Sleep(time.Second)
			s.mu.Lock()
			frames := p.frames
			s.mu.Unlock()
			if kind != wire.TypeAuth || frames > 0 {
				t.Errorf("%s after %d frames", kind, frames)
			}
			p.write(`{"type":"authenticated","payload":{"subject":"x","roles":["device"]}}`)
		}
		c := start(t, s, func(o *Options) { o.Token, o.TokenInMessage = `a"b`, true })
		send(t, c, 1)
		flush(t, c)
		if header := s.peers[0].header.Get("Authorization"); header != "" {
			t.Errorf("header %q as well", header)
		}
		if m := s.others(1); len(m) != 1 || m[0] != `{"type":"auth","payload":{"token":"a\"b"}}` {
			t.Errorf("%q", m)
		}
		finish(t, s, c)
	})
}

func TestTokenIsRenewedOverTheOpenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		k := new(tokens)
		c := start(t, s, func(o *Options) { o.TokenSource = k.next })
		send(t, c, 1)
		flush(t, c)
		s.peers[0].write(`{"type":"token_expiring","payload":{"expires_at":"2026-01-01T00:00:00Z"}}`)
		synctest.Wait()
		if m := s.others(1); len(m) != 1 || m[0] != `{"type":"auth","payload":{"token":"t2"}}` {
			t.Errorf("%q", m)
		}
		if n := c.Stats(); n.Connects != 1 {
			t.Errorf("%+v", n)
		}
		finish(t, s, c)
	})
}

func TestDrainingServerGetsNoMoreFramesAndItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		c := start(t, s, nil)
		send(t, c, 1)
		flush(t, c)
		s.peers[0].write(`{"type":"draining","payload":{"reconnect_after_ms":3000,"jitter_ms":1000}}`)
		synctest.Wait()
		send(t, c, 2)
		synctest.Wait()
		if n := len(s.seen()); n != 1 {
			t.Errorf("%d frames, want none after the announcement", n)
		}
		left := time.Now()
		s.peers[0].close(wire.CloseDraining, wire.ReasonDraining)
		flush(t, c)
		if wait := s.dialled()[1].Sub(left); wait < 3*time.Second || wait > 5*time.Second {
			t.Errorf("came back after %v, want 3 to 4 s and a short back-off", wait)
		}
		finish(t, s, c)
	})
}

func TestSilentServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		s.answer = func(a *arrival) *wire.Receipt {
			if a.conn == 1 {
				return nil
			}
			return accept(a)
		}
		c := start(t, s, func(o *Options) { o.ReceiptTimeout = 10 * time.Second })
		send(t, c, 1)
		flush(t, c)
		if seen := s.seen(); len(seen) != 2 || seen[1].at.Sub(seen[0].at) < 10*time.Second {
			t.Errorf("frames at %v", seen)
		}
		before := len(s.dialled())
		time.Sleep(10 * time.Minute) // idle, and the server answers pings
		if n := len(s.dialled()); n != before || s.peers[1].pings.Load() < 15 {
			t.Errorf("%d connections after idling, %d pings", n, s.peers[1].pings.Load())
		}
		finish(t, s, c)
	})
}

func TestCommandsAreCarriedOutOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		running := 0
		c := start(t, s, func(o *Options) {
			o.OnCommand = func(ctx context.Context, command Command) (any, error) {
				if running++; running > 1 {
					t.Error("two at once")
				}
				defer func() { running-- }()
				time.Sleep(time.Second)
				if command.Name == "fail" {
					return nil, errors.New("stuck")
				}
				return map[string]any{"did": command.Name, "args": command.Args}, ctx.Err()
			}
		})
		synctest.Wait()
		soon := time.Now().Add(time.Hour).Format(time.RFC3339)
		p := s.peers[0]
		p.write(`{"type":"command","payload":{"id":"1","name":"open","args":{"by":3},"expires_at":"` + soon + `"}}`)
		p.write(`{"type":"command","payload":{"id":"2","name":"fail","expires_at":"` + soon + `"}}`)
		p.write(`{"type":"command","payload":{"id":"3","name":"late","expires_at":"1999-01-01T00:00:00Z"}}`)
		p.write(`{"type":"command","payload":7}`)
		time.Sleep(time.Minute)
		got := s.others(1)
		for i, want := range []string{
			`"id":"1","ok":true,"result":{"args":{"by":3},"did":"open"}`, `"id":"2","ok":false,"error":"stuck"`, `"id":"3","ok":false,"error":"the command has expired"`,
		} {
			if len(got) != 3 || !strings.Contains(got[i], want) {
				t.Errorf("answers %q, want one with %s", got, want)
			}
		}
		// An answer outlives its connection.
		p.write(`{"type":"command","payload":{"id":"4","name":"open","expires_at":"` + soon + `"}}`)
		synctest.Wait()
		s.setDown(true)
		s.setDown(false)
		time.Sleep(time.Minute)
		if got := s.others(2); len(got) != 1 || !strings.Contains(got[0], `"id":"4","ok":true`) {
			t.Errorf("%q", got)
		}
		finish(t, s, c)
	})
}

func TestHelloIsSaidOnEachConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		c := start(t, s, nil)
		synctest.Wait()
		if err := c.Hello(Birth{Metadata: map[string]any{"time_zone": "Europe/Berlin"}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.Interrupt(time.Second)
		time.Sleep(time.Minute)
		want := `{"type":"hello","payload":{"device":"plant1/press1","metadata":{"time_zone":"Europe/Berlin"}}}`
		for conn := 1; conn <= 2; conn++ {
			if m := s.others(conn); !slices.Equal(m, []string{want}) {
				t.Errorf("connection %d: %q", conn, m)
			}
		}
		if q := s.peers[0].query; q != "device=plant1%2Fpress1" {
			t.Errorf("query %q", q)
		}
		finish(t, s, c)
	})
}

func TestInterruptStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		c := start(t, s, nil)
		synctest.Wait()
		c.Interrupt(time.Minute)
		send(t, c, 1)
		flush(t, c)
		if dials := s.dialled(); len(dials) != 2 || dials[1].Sub(dials[0]) < time.Minute {
			t.Errorf("dialled at %v", dials)
		}
		finish(t, s, c)
	})
}

func TestMessagesThatAreNotUnderstoodDoNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		s.answer = func(a *arrival) *wire.Receipt {
			if a.Seq > 1 {
				return accept(a)
			}
			for _, junk := range []string{``, `7`, `{`, `{"type":""}`, `{"type":"receipt"}`, `{"type":"receipt","payload":7}`,
				` {"type":"receipt","payload":{"frame":99}}`, `{"type":"draining","payload":-1}`[:20], `{"type":"news"}`,
				`{"type":"receipt","payload":{"frame":0,"credit":-7,"retry_after_ms":-1}}`, `{"type":"error","payload":{}}`} {
				a.peer.write(junk)
			}
			return accept(a)
		}
		c := start(t, s, nil)
		for i := range 10 {
			send(t, c, float64(i))
		}
		flush(t, c)
		if n := c.Stats(); n.Accepted != 10 || n.Connects != 1 {
			t.Errorf("%+v", n)
		}
		finish(t, s, c)
	})
}

func TestColumnsAndCompression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: func(a *arrival) *wire.Receipt { return &wire.Receipt{Accepted: 2, Credit: 8} }}
		c := start(t, s, func(o *Options) { o.Columns, o.Compress = true, true })
		send(t, c, 1.5, 2.5)
		flush(t, c)
		var columns wire.ReadingColumns
		if err := columns.Unmarshal([]byte(s.seen()[0].raw)); err != nil {
			t.Fatal(err)
		}
		if columns.Device != "plant1/press1" || columns.Session != c.Session() || columns.Seq != 1 || len(columns.Value) != 2 || columns.Value[1] != 2.5 {
			t.Errorf("%+v", columns)
		}
		if p := s.peers[0].socket.SubProtocol(); p != "weir.v1.columns" {
			t.Errorf("subprotocol %q", p)
		}
		if ext := s.peers[0].header.Get("Sec-WebSocket-Extensions"); !strings.Contains(ext, "permessage-deflate") {
			t.Errorf("extensions %q", ext)
		}
		finish(t, s, c)
	})
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		c := start(t, s, func(o *Options) { o.Compress = true })
		send(t, c, make([]float64, 500)...)
		flush(t, c)
		if n := c.Stats(); n.Accepted != 500 {
			t.Errorf("%+v", n)
		}
		finish(t, s, c)
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for field, o := range map[string]Options{
		"url":            {URL: "http://x", Device: "a/b"},
		"device":         {URL: testURL, Device: "a//b"},
		"token":          {URL: testURL, Device: "a/b", Token: "x", TokenSource: new(tokens).next},
		"buffer.no_sync": {URL: testURL, Device: "a/b", Session: "s", Buffer: Disk("buffer", BufferLimits{NoSync: true})},
		"session":        {URL: testURL, Device: "a/b", Session: strings.Repeat("x", 57)},
		"batch.readings": {URL: testURL, Device: "a/b", Batch: Batch{Readings: 5000}},
		"retry.first":    {URL: testURL, Device: "a/b", Retry: Retry{First: -1}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s: error %v", field, err)
		}
	}
}

var _ gws.Event = (*link)(nil)
