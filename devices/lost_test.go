package devices

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pair are two instances, a and b, that share a table and know of each other whether they are there.
type pair struct {
	table *memory
	a, b  *Registry
	stopB func()

	mu   sync.Mutex
	gone bool // b
}

func openPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{table: newMemory()}
	alive := func(node string) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return node != "b" || !p.gone
	}
	oa, ob := options(p.table, "a"), options(p.table, "b")
	oa.Alive, ob.Alive = alive, alive
	p.a, p.b = open(t, oa), open(t, ob)
	run(t, p.a)
	p.stopB = run(t, p.b)
	return p
}

func (p *pair) lose(gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = gone
}

func TestADeviceThatHadMovedToAnInstanceThatDiesIsOffline(t *testing.T) {
	for name, pause := range map[string]time.Duration{"at once": 0, "after it was offline": 40 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := openPair(t)
				c := p.a.Connect(socket)
				c.Attach("p/d")
				time.Sleep(40 * time.Second)
				c.Close(false)
				time.Sleep(pause)
				p.b.Connect(socket).Attach("p/d")
				time.Sleep(40 * time.Second)
				if got := p.a.storedPresence("p/d"); got.Node != "b" || got.state != Online {
					t.Fatalf("before: %+v", got)
				}
				p.stopB()
				p.lose(true)
				time.Sleep(time.Minute)
				expectState(t, p.a, "p/d", "offline")
			})
		})
	}
}

func TestADeviceThatIsHereIsTakenOverFromAnInstanceThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		c := p.a.Connect(socket)
		c.Attach("p/d")
		time.Sleep(3 * time.Second)
		p.b.Connect(socket).Attach("p/d")
		time.Sleep(40 * time.Second)
		p.stopB()
		p.lose(true)
		time.Sleep(time.Minute)
		if got := p.a.storedPresence("p/d"); got.Node != "a" || got.state != Online {
			t.Errorf("%+v", got)
		}
		before := p.table.written("conn/p/d")
		time.Sleep(10 * time.Minute)
		if n := p.table.written("conn/p/d") - before; n != 0 {
			t.Errorf("%d more records", n)
		}
	})
}

func TestARollingRestartIsNotSeenByDevicesThatMoveInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		d := p.b.Connect(socket)
		d.Attach("p/d")
		time.Sleep(44500 * time.Millisecond)
		d.Close(true)
		p.stopB()
		p.lose(true)
		for range 9 { // longer than a sweep
			time.Sleep(time.Second)
			expectState(t, p.a, "p/d", "online")
		}
		p.a.Connect(socket).Attach("p/d")
		time.Sleep(time.Minute)
		expectState(t, p.a, "p/d", "online")
		if n := p.table.written("conn/p/d"); n != 2 {
			t.Errorf("%d records, want one of each instance", n)
		}
	})
}

func TestAnInstanceThatIsMissingForAMomentKeepsItsDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.b.Connect(socket).Attach("p/d")
		time.Sleep(time.Minute)
		for range 10 {
			p.lose(true)
			time.Sleep(8 * time.Second)
			p.lose(false)
			time.Sleep(8 * time.Second)
		}
		if n := p.table.written("conn/p/d"); n != 1 {
			t.Errorf("%d records", n)
		}
	})
}

func TestASilentDeviceThatIsConnectedCorrectsWhoCallsItOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		c := p.a.Connect(socket)
		c.Attach("p/d")
		time.Sleep(20 * time.Minute)
		expectState(t, p.a, "p/d", "stale")
		d := p.b.Connect(socket) // it is at b, too, for a moment
		d.Attach("p/d")
		time.Sleep(10 * time.Second)
		d.Close(true)
		time.Sleep(time.Minute)
		expectState(t, p.a, "p/d", "stale")
		c.Close(true)
		time.Sleep(time.Minute)
		expectState(t, p.a, "p/d", "offline")
	})
}

func TestReadingsOverHTTPElsewhereDoNotTakeAConnectedDeviceAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		c := p.a.Connect(socket)
		c.Attach("p/d")
		for i := range 400 {
			time.Sleep(5 * time.Second)
			p.a.Frame("p/d", &FrameInfo{Accepted: 1, Now: time.Now().UnixMicro()})
			if i == 100 {
				p.b.Frame("p/d", &FrameInfo{Accepted: 1, HTTP: true, Now: time.Now().UnixMicro()})
			}
		}
		if n := p.table.written("conn/p/d"); n != 1 {
			t.Errorf("%d records", n)
		}
		p.b.Frame("p/d", &FrameInfo{Accepted: 1, HTTP: true, Now: time.Now().UnixMicro()})
		c.Close(true)
		time.Sleep(10 * time.Second)
		expectState(t, p.a, "p/d", "online") // as b says
	})
}

func TestPresenceThatIsWrittenBehindADeletionIsDeletedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, connected := range []bool{true, false} {
			table := newMemory()
			r := open(t, options(table, "a"))
			run(t, r)
			c := r.Connect(socket)
			c.Attach("p/d")
			time.Sleep(time.Second)
			value, _ := table.Get("conn/p/d")
			if !connected {
				c.Close(true)
				time.Sleep(10 * time.Second)
			}
			must(t, table.Delete(t.Context(), "conn/p/d"))
			must(t, table.Put(t.Context(), "conn/p/d", value)) // was in the producer's buffer
			time.Sleep(time.Minute)
			if want := map[bool]string{true: "none", false: "offline"}[connected]; r.state("p/d") != want {
				t.Errorf("connected %v: %s, want %s", connected, r.state("p/d"), want)
			}
			c.Close(true)
		}
	})
}

func TestAConnectionThatFoundNoRoomDoesNotEndAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, options(newMemory(), "a"))
		r.shards.limit = 1
		defer run(t, r)()
		other := "p/o"
		for r.shards.of(other) != r.shards.of("p/d") {
			other += "o"
		}
		full := r.Connect(socket)
		full.Attach(other)
		first := r.Connect(socket)
		first.Attach("p/d") // no room
		full.Close(true)
		time.Sleep(20 * time.Second)
		second := r.Connect(socket)
		second.Attach("p/d")
		first.Close(false)
		time.Sleep(30 * time.Second)
		expectState(t, r, "p/d", "online")
		second.Close(true)
		time.Sleep(30 * time.Second)
		expectState(t, r, "p/d", "offline")
	})
}

func TestAConnectionThatFoundNoRoomTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, options(newMemory(), "a"))
		r.shards.limit = 1
		defer run(t, r)()
		other := "p/o"
		for r.shards.of(other) != r.shards.of("p/d") {
			other += "o"
		}
		full := r.Connect(socket)
		full.Attach(other)
		c := r.Connect(socket)
		c.Attach("p/d")
		full.Close(true)
		time.Sleep(20 * time.Second)
		for range 2 {
			c.Attach("p/d") // with its next frame
			time.Sleep(time.Second)
			expectState(t, r, "p/d", "online")
		}
		c.Close(true)
		time.Sleep(10 * time.Second)
		expectState(t, r, "p/d", "offline")
	})
}

func TestAClockThatIsSetBackMakesNobodyStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(newMemory(), "a")
		var mu sync.Mutex
		var off time.Duration
		o.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(off)
		}
		set := func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			off = d
		}
		r := open(t, o)
		defer run(t, r)()
		set(24 * time.Hour)
		r.Frame("p/http", &FrameInfo{Accepted: 1, HTTP: true, Now: r.micros()})
		c := r.Connect(socket)
		c.Attach("p/left")
		describe(t, r, "p/left", `{}`)
		c.Close(false)
		set(0)
		meta, _ := DecodeMeta([]byte(`{"description":"new"}`), "")
		time.Sleep(2 * time.Second)
		if _, _, refusal := r.setMeta(t.Context(), setting{device: "p/left", meta: meta, expected: anyVersion, paced: true}); refusal != nil {
			t.Errorf("metadata two seconds later: %v", refusal)
		}
		time.Sleep(time.Hour)
		expectState(t, r, "p/http", "offline")
		expectState(t, r, "p/left", "offline")
		set(-time.Hour)
		for range 60 {
			r.Frame("p/http", &FrameInfo{Accepted: 60, Now: r.micros()})
			time.Sleep(time.Second)
		}
		h, _ := r.Health("p/http", true)
		if h.Rate.PerSecond < 50 || h.Rate.PerSecond > 70 || !h.LastSeen.Equal(r.now().UTC().Add(-time.Second)) {
			t.Errorf("after the clock was set back: %.1f a second, last seen %s", h.Rate.PerSecond, h.LastSeen)
		}
	})
}
