package device

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"weir/wire"
)

// outage makes a client that has so many frames of the past when its server comes back.
func outage(t *testing.T, s *server, frames int) *Client {
	s.down = true
	c := start(t, s, func(o *Options) { o.BacklogAfter = time.Minute; o.Retry.Max = time.Second })
	for i := range frames {
		send(t, c, float64(i))
	}
	time.Sleep(2 * time.Minute)
	s.setDown(false)
	return c
}

func TestLiveReadingsDoNotWaitForABacklogThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &server{answer: func(a *arrival) *wire.Receipt {
			if a.Backlog && time.Since(began) < 10*time.Minute {
				return &wire.Receipt{Credit: 1, RetryAfter: 30_000, Err: wire.NewError(wire.CodeLimitGlobal, "")}
			}
			return accept(a)
		}}
		c := outage(t, s, 100)
		sent := map[float64]time.Time{}
		for i := range 120 {
			time.Sleep(time.Second)
			v := float64(1000 + i)
			sent[v] = time.Now()
			send(t, c, v)
		}
		flush(t, c)
		live := 0
		for _, a := range s.seen() {
			at, ok := sent[a.Readings[0].Value]
			if !ok {
				continue
			}
			live++
			if wait := a.at.Sub(at); wait > 5*time.Second {
				t.Errorf("a live reading waited %v", wait)
			}
		}
		if live != len(sent) {
			t.Errorf("%d live frames arrived, want %d", live, len(sent))
		}
		if n := c.Stats(); n.Accepted != 220 {
			t.Errorf("%+v", n)
		}
		finish(t, s, c)
	})
}

func TestEachLaneKeepsWithinItsCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan *arrival, 300)
		s := &server{answer: func(a *arrival) *wire.Receipt { held <- a; return nil }}
		c := outage(t, s, 60)
		time.Sleep(3 * time.Second) // to connect
		for i := range 60 {
			send(t, c, float64(1000+i))
		}
		flying := map[bool]int{}
		for answered := 0; answered < 120; {
			synctest.Wait()
			for n := len(held); n > 0; n-- {
				a := <-held
				flying[a.Backlog]++
				held <- a
			}
			if answered > 2*firstCredit && (flying[true] > 2 || flying[true]+flying[false] > 5) {
				t.Errorf("%d of the past and %d live in flight", flying[true], flying[false])
			}
			clear(flying)
			a := <-held
			r := &wire.Receipt{Accepted: 1, Credit: 5}
			if a.Backlog {
				r.Credit = 2
			}
			a.peer.reply(a, r)
			answered++
		}
		flush(t, c)
		finish(t, s, c)
	})
}

func TestWhatFlushHasWaitedForIsCountedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		told := false
		c := start(t, s, func(o *Options) {
			o.OnReceipt = func(Receipt) { time.Sleep(time.Second); told = true }
		})
		send(t, c, 1)
		flush(t, c)
		if n := c.Stats(); n.Accepted != 1 || !told {
			t.Errorf("told %v, %+v", told, n)
		}
		finish(t, s, c)
	})
}

// fullDisk is a store that fails to decide.
type fullDisk struct {
	store
	full bool
}

func (f *fullDisk) decide(first, last uint64, to lane) error {
	if f.full {
		return errors.New("no space left on device")
	}
	return f.store.decide(first, last, to)
}

func TestLanesAreOnDiskBeforeFramesAreSent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "buffer")
	d, _ := openTestDisk(t, path, identity{device: "a/b"})
	full := &fullDisk{store: d, full: true}
	c := &Client{store: full}
	c.o.Buffer = Disk(path, BufferLimits{})
	c.o.BacklogAfter = time.Minute
	for range 3 {
		e := &entry{at: time.Now().Add(-time.Hour).UnixMilli(), body: []byte("x"), size: 1, readings: 1}
		if _, err := c.pushLocked(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := newSession(c, newLink()).open(""); err == nil {
		t.Fatal("a session opened without room on the disk")
	}
	full.full = false
	s := newSession(c, newLink())
	if err := s.open(""); err != nil {
		t.Fatal(err)
	}
	sent := s.next(time.Now())
	if sent == nil || sent.lane != backlog {
		t.Fatalf("%+v is to be sent", sent)
	}
	_ = d.close()
	d, left := openTestDisk(t, path, identity{device: "a/b"})
	for _, e := range left.entries {
		if e.lane != backlog {
			t.Errorf("frame %d was of the past, and is of lane %d after a restart", e.seq, e.lane)
		}
	}
	_ = d.close()
}
