package device

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/wire"
)

func TestLiveCloseCodesAreObeyed(t *testing.T) {
	for _, info := range wire.CloseCodes() {
		for _, fixed := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				s := newLiveServer()
				s.greet = func(p *livePeer) {
					if p.number == 1 {
						p.close(info.Code, info.Reason)
						return
					}
					p.welcome()
				}
				k := new(tokens)
				l := startLive(t, s, func(o *LiveOptions) {
					if fixed {
						o.Token = "t1"
					} else {
						o.TokenSource = k.next
					}
				})
				sub := follow(t, l, SubscribeOptions{})
				_, err := sub.Next(t.Context())
				if info.Action == wire.ActionStop || info.Action == wire.ActionToken && fixed {
					var closed *ClosedError
					if !errors.As(err, &closed) || closed.Code != info.Code || !errors.Is(l.Err(), closed) {
						t.Errorf("%d %s: %v", info.Code, info.Reason, err)
					}
					<-l.Done()
					if n := len(s.dialled()); n != 1 {
						t.Errorf("%d %s: %d connections", info.Code, info.Reason, n)
					}
				} else if err != nil || !fixed && s.peers[1].header.Get("Authorization") != "Bearer t2" {
					t.Errorf("%d %s: %v", info.Code, info.Reason, err)
				}
				finishLive(s, l)
			})
		}
	}
}

func TestAttemptsAreSpreadAndMayRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.down = true
		var told []Connection
		l := startLive(t, s, func(o *LiveOptions) {
			o.Retry = Retry{First: time.Second, Max: 8 * time.Second, Attempts: 10}
			o.OnConnection = func(c Connection) { told = append(told, c) }
		})
		sub := follow(t, l, SubscribeOptions{})
		<-l.Done()
		dials := s.dialled()
		if len(dials) != 10 || len(told) != 10 || l.Stats().DialErrors != 10 {
			t.Fatalf("%d attempts, %d told", len(dials), len(told))
		}
		for i := range dials[1:] {
			if wait, most := dials[i+1].Sub(dials[i]), min(8*time.Second, time.Second<<i); wait > most+time.Millisecond {
				t.Errorf("wait %d: %v, at most %v", i, wait, most)
			}
		}
		var dial *DialError
		if _, err := sub.Next(t.Context()); !errors.As(err, &dial) || !errors.As(l.Err(), &dial) {
			t.Errorf("%v", err)
		}
		if _, err := l.Subscribe(SubscribeOptions{Patterns: []string{"#"}}); err == nil {
			t.Error("subscribed after the end")
		}
		finishLive(s, l)
	})
}

func TestClientsOfAServerThatDrainsComeBackSpreadOut(t *testing.T) {
	least, most := time.Hour, time.Duration(0)
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			s := newLiveServer()
			l := startLive(t, s, nil)
			sub := follow(t, l, SubscribeOptions{})
			next(t, sub)
			p := s.peer()
			at := time.Now()
			p.write(&wire.Draining{ReconnectAfterMS: 1000, JitterMS: 9000})
			p.close(wire.CloseDraining, wire.ReasonDraining)
			next(t, sub)
			d := s.dialled()[1].Sub(at)
			least, most = min(least, d), max(most, d)
			finishLive(s, l)
		})
	}
	if least < time.Second || least > 4*time.Second || most > 10*time.Second || most < 7*time.Second {
		t.Errorf("after %v to %v", least, most)
	}
}

func TestARefusedHandshakeIsRepeatedWhenTheServerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.refuse = func(dial int) (int, http.Header) {
			if dial == 1 {
				return http.StatusServiceUnavailable, http.Header{"Retry-After": {"20"}}
			}
			return 0, nil
		}
		l := startLive(t, s, nil)
		next(t, follow(t, l, SubscribeOptions{}))
		if d := s.dialled(); d[1].Sub(d[0]) < 20*time.Second || d[1].Sub(d[0]) > 21*time.Second {
			t.Errorf("after %v", d[1].Sub(d[0]))
		}
		finishLive(s, l)
	})
}

func TestTwoSilentHeartbeatsEndAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		time.Sleep(time.Hour) // the server answers pings
		if n := len(s.dialled()); n != 1 || l.Stats().RTT != 0 {
			t.Errorf("%d connections, %+v", n, l.Stats())
		}
		if n := len(s.peer().said("app_ping")); n < 350 || n > 361 {
			t.Errorf("%d pings", n)
		}
		p := s.peer()
		p.mute.Store(true)
		time.Sleep(10*time.Second - time.Millisecond)
		if s.peer() != p {
			t.Error("ended too early")
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if s.peer() == p {
			t.Error("not ended")
		}
		finishLive(s, l)
	})
}

func TestAServerThatNeverSaysWelcomeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.greet = func(p *livePeer) {
			if p.number > 1 {
				p.welcome()
				return
			}
			go func() {
				for {
					select {
					case <-time.After(time.Second):
						_ = p.socket.WritePing(nil)
					case <-p.ended:
						return
					}
				}
			}()
		}
		l := startLive(t, s, nil)
		next(t, follow(t, l, SubscribeOptions{}))
		if d := s.dialled(); len(d) != 2 || d[1].Sub(d[0]) < 60*time.Second || d[1].Sub(d[0]) > 62*time.Second {
			t.Errorf("%v", d)
		}
		finishLive(s, l)
	})
}

func TestPingsOfTheServerAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		l := startLive(t, s, nil)
		next(t, follow(t, l, SubscribeOptions{}))
		s.peer().text(`{"type":"app_ping","payload":{"t":5}}`)
		synctest.Wait()
		if got := s.peer().said("app_pong"); len(got) != 1 || got[0] != `{"type":"app_pong","payload":{"t":5}}` {
			t.Errorf("%q", got)
		}
		finishLive(s, l)
	})
}

func TestLiveCredentialsComeFirstAndAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.greet = func(*livePeer) {}
		s.heard = func(p *livePeer, kind string, _ json.RawMessage) bool {
			if kind == wire.TypeAuth && len(p.said("auth")) == 1 {
				p.welcome()
			}
			return false
		}
		k := new(tokens)
		l := startLive(t, s, func(o *LiveOptions) { o.TokenSource, o.TokenInMessage = k.next, true })
		next(t, follow(t, l, SubscribeOptions{}))
		p := s.peer()
		if p.header.Get("Authorization") != "" || p.all()[0] != `{"type":"auth","payload":{"token":"t1"}}` {
			t.Errorf("%q", p.all())
		}
		p.write(&wire.TokenExpiring{})
		p.write(&wire.TokenExpiring{})
		synctest.Wait()
		if got := p.said("auth"); len(got) < 2 || got[1] != `{"type":"auth","payload":{"token":"t2"}}` || len(s.dialled()) != 1 {
			t.Errorf("%q", got)
		}
		finishLive(s, l)
	})
}
