package devices

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/auth"
)

var socket = Peer{Transport: "websocket", Principal: "key-1", Remote: "192.0.2.7"}

func TestADeviceIsOnlineWhileItIsConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		r := open(t, options(table, "a"))
		defer run(t, r)()
		c := r.Connect(socket)
		c.Attach("p/d")
		time.Sleep(time.Second)
		expectState(t, r, "p/d", "online")
		p := r.storedPresence("p/d")
		if p.Node != "a" || p.Transport != "websocket" || p.Principal != "key-1" || p.Remote != "192.0.2.7" {
			t.Errorf("record: %+v", p)
		}
		left := time.Now()
		c.Close(false)
		time.Sleep(time.Second)
		expectState(t, r, "p/d", "online") // within the grace
		time.Sleep(2 * time.Second)
		expectState(t, r, "p/d", "offline")
		if since := r.storedPresence("p/d").Since; since != left.UnixMicro() {
			t.Errorf("offline since %s after it was cut off", time.UnixMicro(since).Sub(left))
		}
	})
}

func TestAReconnectWithinTheGraceIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		r := open(t, options(table, "a"))
		defer run(t, r)()
		for range 20 {
			c := r.Connect(socket)
			c.Attach("p/d")
			time.Sleep(5 * time.Second)
			c.Close(false)
			time.Sleep(1500 * time.Millisecond)
		}
		if n := table.written("conn/p/d"); n != 1 {
			t.Errorf("%d records, want 1", n)
		}
	})
}

func TestFramesWriteNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		r := open(t, options(table, "a"))
		defer run(t, r)()
		c := r.Connect(socket)
		for range 1000 {
			c.Attach("p/d")
			r.Frame("p/d", &FrameInfo{Accepted: 1, Now: time.Now().UnixMicro()})
			time.Sleep(100 * time.Millisecond)
		}
		if n := table.written("conn/p/d"); n != 1 {
			t.Errorf("%d records, want 1", n)
		}
	})
}

func TestAConnectedDeviceThatIsSilentIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, options(newMemory(), "a"))
		defer run(t, r)()
		describe(t, r, "p/d", `{"expected_interval":"1m"}`)
		c := r.Connect(socket)
		defer c.Close(true)
		c.Attach("p/d")
		time.Sleep(3*time.Minute - 10*time.Second)
		expectState(t, r, "p/d", "online")
		time.Sleep(20 * time.Second)
		expectState(t, r, "p/d", "stale")
		r.Frame("p/d", &FrameInfo{Accepted: 1, Now: time.Now().UnixMicro()})
		time.Sleep(time.Second)
		expectState(t, r, "p/d", "online")
	})
}

func TestADeviceOverHTTPIsOnlineWhileReadingsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, options(newMemory(), "a"))
		defer run(t, r)()
		describe(t, r, "p/d", `{"expected_interval":60}`)
		for range 5 {
			r.Frame("p/d", &FrameInfo{Accepted: 1, Now: time.Now().UnixMicro(), HTTP: true})
			time.Sleep(time.Minute)
			expectState(t, r, "p/d", "online")
		}
		time.Sleep(time.Minute + 30*time.Second)
		expectState(t, r, "p/d", "online")
		time.Sleep(time.Minute)
		expectState(t, r, "p/d", "offline")
	})
}

func TestARefusedFrameOverHTTPIsNoPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, options(newMemory(), "a"))
		defer run(t, r)()
		r.Frame("p/d", &FrameInfo{Rejected: 3, Code: "value_type", Now: time.Now().UnixMicro(), HTTP: true})
		time.Sleep(time.Minute)
		expectState(t, r, "p/d", "none")
	})
}

func TestManyTransitionsAreWrittenAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		o := options(table, "a")
		o.Config.PresenceWrites = 100
		r := open(t, o)
		defer run(t, r)()
		c := r.Connect(socket)
		defer c.Close(true)
		for i := range 1000 {
			c.Attach("p/" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		}
		time.Sleep(2100 * time.Millisecond)
		if n := r.countState(Online); n < 100 || n > 220 {
			t.Errorf("%d written in 2 s at 100 a second", n)
		}
		time.Sleep(10 * time.Second)
		if n := r.countState(Online); n != 1000 {
			t.Errorf("%d written in the end", n)
		}
	})
}

func TestPresenceSurvivesAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		r := open(t, options(table, "a"))
		defer run(t, r)()
		table.mu.Lock()
		table.fail = true
		table.mu.Unlock()
		c := r.Connect(socket)
		defer c.Close(true)
		c.Attach("p/d")
		time.Sleep(10 * time.Second)
		expectState(t, r, "p/d", "none")
		table.mu.Lock()
		table.fail = false
		table.mu.Unlock()
		time.Sleep(5 * time.Second)
		expectState(t, r, "p/d", "online")
	})
}

func TestAConnectionSpeaksForSoManyDevices(t *testing.T) {
	o := options(newMemory(), "a")
	o.Config.MaxPerConnection = 2
	r := open(t, o)
	c := r.Connect(socket)
	if !c.Attach("p/1") || !c.Attach("p/2") || c.Attach("p/3") || !c.Attach("p/1") {
		t.Error("the first two are attached, the third is not")
	}
}

func TestTwoInstancesAgreeOnWhoHasTheDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		a, b := open(t, options(table, "a")), open(t, options(table, "b"))
		defer run(t, a)()
		defer run(t, b)()
		first := a.Connect(socket)
		first.Attach("p/d")
		time.Sleep(3 * time.Second)
		second := b.Connect(socket)
		second.Attach("p/d")
		time.Sleep(3 * time.Second)
		before := table.written("conn/p/d")
		first.Close(false) // its end was not seen before
		time.Sleep(10 * time.Second)
		if n := table.written("conn/p/d") - before; n != 0 {
			t.Errorf("%d records of a device that did not move", n)
		}
		expectState(t, a, "p/d", "online")
		if p := a.storedPresence("p/d"); p.Node != "b" {
			t.Errorf("the device is said to be at %s", p.Node)
		}
		second.Close(false)
		time.Sleep(10 * time.Second)
		expectState(t, a, "p/d", "offline")
	})
}

func TestTheDevicesOfAnInstanceThatIsGoneAreOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		var mu sync.Mutex
		dead := false
		o := options(table, "b")
		o.Alive = func(node string) bool {
			mu.Lock()
			defer mu.Unlock()
			return node != "a" || !dead
		}
		a, b := open(t, options(table, "a")), open(t, o)
		stop := run(t, a)
		defer run(t, b)()
		c := a.Connect(socket)
		c.Attach("p/d")
		time.Sleep(3 * time.Second)
		stop()
		time.Sleep(time.Minute)
		expectState(t, b, "p/d", "online")
		mu.Lock()
		dead = true
		mu.Unlock()
		time.Sleep(30 * time.Second)
		expectState(t, b, "p/d", "offline")
	})
}

func TestWhoHasTheDeviceCorrectsWhoTookItForLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		r := open(t, options(table, "a"))
		defer run(t, r)()
		c := r.Connect(socket)
		defer c.Close(true)
		c.Attach("p/d")
		time.Sleep(5 * time.Second)
		lost, err := json.Marshal(storedPresence{V: layout, State: "offline", Node: "b"})
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Put(t.Context(), "conn/p/d", lost); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		expectState(t, r, "p/d", "online")
	})
}

func TestADeletionElsewhereIsForgottenHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		a, b := open(t, options(table, "a")), open(t, options(table, "b"))
		defer run(t, a)()
		defer run(t, b)()
		c := a.Connect(socket)
		defer c.Close(true)
		c.Attach("p/d")
		a.Frame("p/d", &FrameInfo{Accepted: 5, Now: time.Now().UnixMicro()})
		time.Sleep(5 * time.Second)
		if err := b.Delete(t.Context(), "p/d", "operator"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if h, ok := a.Health("p/d", true); ok {
			t.Errorf("health after the deletion: %+v", h)
		}
		expectState(t, a, "p/d", "none")
		a.Frame("p/d", &FrameInfo{Accepted: 1, Now: time.Now().UnixMicro()})
		time.Sleep(5 * time.Second)
		expectState(t, b, "p/d", "online")
	})
}

func TestDevicesThatDoNotComeBackAfterARestartAreOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		a := open(t, options(table, "a"))
		stop := run(t, a)
		c := a.Connect(socket)
		c.Attach("p/back")
		c.Attach("p/lost")
		time.Sleep(3 * time.Second)
		stop()
		again := newMemory()
		again.values = table.values
		r := open(t, options(again, "a"))
		for key, value := range table.values { // as the table reads the topic
			for _, w := range again.watchers {
				w(key, value)
			}
		}
		defer run(t, r)()
		d := r.Connect(socket)
		defer d.Close(true)
		d.Attach("p/back")
		time.Sleep(20 * time.Second)
		expectState(t, r, "p/lost", "online")
		time.Sleep(20 * time.Second)
		expectState(t, r, "p/lost", "offline")
		expectState(t, r, "p/back", "online")
	})
}

// submitted collects the frames of last wills.
type submitted struct {
	mu     sync.Mutex
	frames []string
}

func (s *submitted) take(_ context.Context, _ string, frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = append(s.frames, string(frame))
	return nil
}

func (s *submitted) n() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.frames)
}

func TestAWillIsCarriedOutOnceWhenTheDeviceIsCutOff(t *testing.T) {
	const payload = `{"device":"p/d","will":{"readings":[{"metric":"up","value":0}],"text":"gone dark"}}`
	for _, c := range []struct {
		name string
		end  func(*Registry, *Conn)
		want int
	}{
		{"cut off", func(_ *Registry, c *Conn) { c.Close(false); c.Close(false) }, 1},
		{"orderly", func(_ *Registry, c *Conn) { c.Close(true) }, 0},
		{"back in time", func(r *Registry, c *Conn) {
			c.Close(false)
			time.Sleep(time.Second)
			r.Connect(socket).Attach("p/d")
		}, 0},
		{"taken back", func(r *Registry, c *Conn) {
			c.SetWill("p/d", nil)
			c.Close(false)
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got submitted
				o := options(newMemory(), "a")
				o.Submit = got.take
				r := open(t, o)
				defer run(t, r)()
				conn := r.Connect(socket)
				if err := r.Hello(WithConn(t.Context(), conn), auth.Everybody(), "p/d", json.RawMessage(payload)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				c.end(r, conn)
				time.Sleep(30 * time.Second)
				if got.n() != c.want {
					t.Fatalf("%d wills, want %d", got.n(), c.want)
				}
				if c.want == 1 && (got.frames[0] != `{"device":"p/d","readings":[{"metric":"up","value":0}]}` || r.storedPresence("p/d").Text != "gone dark") {
					t.Errorf("frame %s, presence %+v", got.frames[0], r.storedPresence("p/d"))
				}
			})
		})
	}
}

func describe(t *testing.T, r *Registry, device, text string) {
	t.Helper()
	meta, refusal := DecodeMeta([]byte(text), "")
	if refusal != nil {
		t.Fatal(refusal)
	}
	if _, _, refusal := r.setMeta(t.Context(), setting{device: device, meta: meta, by: "test", expected: anyVersion}); refusal != nil {
		t.Fatal(refusal)
	}
}
