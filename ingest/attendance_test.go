package ingest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/kafka"
	"weir/wire"
)

// states counts the connections by what their readers and writers do.
func (s *site) states() (reading, writing int) {
	s.each(func(c *conn) {
		if c.reader.Load() == readerReads {
			reading++
		}
		if c.work.Load() != writerIdle {
			writing++
		}
	})
	return reading, writing
}

func (s *site) laden() (n int) {
	s.each(func(c *conn) {
		if c.laden.Load() {
			n++
		}
	})
	return n
}

func rests(t *testing.T, s *site) {
	t.Helper()
	eventually(t, "nobody reads or writes", func() bool {
		reading, writing := s.states()
		return reading+writing == 0
	})
}

func TestASilentClientCostsNeitherReaderNorWriter(t *testing.T) {
	s := start(t, nullProducer{})
	d := s.dial(t, "", nil)
	rests(t, s)
	d.send(oneReading)
	d.receipt()
	rests(t, s)
	if n := s.laden(); n != 0 {
		t.Error("a client that has spoken once keeps its encoder and ring")
	}
	for range 5 { // lively
		d.send(oneReading)
		d.receipt()
	}
	if reading, writing := s.states(); reading != 1 || writing != 1 {
		t.Errorf("%d readers, %d writers of a lively client", reading, writing)
	}
	rests(t, s) // livelyTime is over
	d.send(oneReading)
	if r := d.receipt(); r.Frame != 7 {
		t.Errorf("%+v", r)
	}
}

func TestWhatASilentClientDoesNotNeedIsGivenBack(t *testing.T) {
	s := start(t, nullProducer{})
	d := s.dial(t, "", nil)
	for range 3 {
		d.send(oneReading)
		d.receipt()
	}
	rests(t, s)
	if s.laden() != 1 {
		t.Fatal("a client that may go on has nothing left")
	}
	s.each(func(c *conn) { c.lighten(ladenTime.Microseconds() + 1) })
	if s.laden() != 0 {
		t.Error("kept")
	}
	d.send(oneReading)
	if r := d.receipt(); r.Frame != 4 || r.Accepted != 1 {
		t.Errorf("%+v", r)
	}
}

func TestAReceiptThatIsDueKeepsItsPlaceWhileTheClientIsSilent(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p)
	d := s.dial(t, "", nil)
	d.send(oneReading)
	eventually(t, "it is taken", func() bool { return p.asked() == 1 })
	rests(t, s)
	s.each(func(c *conn) { c.lighten(ladenTime.Microseconds() + 1) })
	d.send(oneReading)
	eventually(t, "it is taken, too", func() bool { return p.asked() == 2 })
	p.release()
	for i := range 2 {
		if r := d.receipt(); r.Frame != uint64(i+1) || r.Accepted != 1 {
			t.Errorf("%+v", r)
		}
	}
	eventually(t, "nothing is kept", func() bool {
		s.each(func(c *conn) { c.lighten(ladenTime.Microseconds() + 1) })
		return s.laden() == 0
	})
}

// A client is watched on the smallest stack there is. If this fails, the watch calls something that needs more: then
// each connection costs 2 KiB more, and all new goroutines begin with more.
func TestAClientIsWatchedOnASmallStack(t *testing.T) {
	if testing.Short() || underRace || runtime.GOOS != "linux" {
		t.Skip("opens 1,000 connections, and measures their stacks")
	}
	s := start(t, nullProducer{})
	const clients = 1000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range clients {
		s.rawDial(t, nil)
	}
	rests(t, s)
	runtime.GC()
	runtime.ReadMemStats(&after)
	// Of the HTTP server's goroutines, some are still there.
	if each := int64(after.StackInuse-before.StackInuse) / clients; each > 3<<10 {
		t.Errorf("%d bytes of stack a connection", each)
	}
}

// Receipts, pings and messages of others come at random, to clients that are lively or silent at random, and at some
// moment the server stops. Everything that is owed arrives: no signal is lost between a writer's last look and its end.
func TestNothingIsForgottenBetweenWritersLooks(t *testing.T) {
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			s := start(t, lateProducer{}, func(o *Options) { o.Config.ReceiptDelay = time.Duration(round) * time.Millisecond })
			const clients = 16
			var all sync.WaitGroup
			for i := range clients {
				conn, br := s.rawDial(t, nil)
				_ = conn.SetReadDeadline(time.Now().Add(4 * patience))
				all.Go(func() { exchange(t, s, conn, br, uint64(i)) })
			}
			all.Wait()
			s.stop()
		})
	}
}

// lateProducer acknowledges after a while, from goroutines of its own.
type lateProducer struct{}

func (lateProducer) Produce(_ context.Context, _ string, _ int, _ []kafka.Record, done func(int64, error)) error {
	go func() {
		for range rand.IntN(20) {
			runtime.Gosched()
		}
		done(0, nil)
	}()
	return nil
}

// exchange is a client's side: it waits for the receipts of some frames, pongs and posts, again and again.
func exchange(t *testing.T, s *site, client net.Conn, br *bufio.Reader, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	frame := uint64(0)
	for range 400 {
		frames, pings := random.IntN(4), 0
		if random.IntN(8) == 0 {
			pings = 1
		}
		var out []byte
		for range frames {
			out = append(out, masked(opText, []byte(oneReading))...)
		}
		for range pings {
			out = append(out, masked(opPing, []byte("?"))...)
		}
		if frames+pings == 0 {
			continue
		}
		if _, err := client.Write(out); err != nil {
			t.Errorf("client %d: %v", seed, err)
			return
		}
		for due := frames + pings; due > 0; due-- {
			opcode, payload, err := readFrame(br)
			switch {
			case err != nil:
				t.Errorf("client %d waits for %d of %d: %v", seed, due, frames+pings, err)
				return
			case opcode == opPong:
			default:
				frame++
				if r, err := wire.DecodeReceipt(payload); err != nil || r.Frame != frame || r.Accepted != 1 {
					t.Errorf("client %d, frame %d: %s", seed, frame, payload)
					return
				}
			}
		}
		if random.IntN(8) == 0 {
			s.each(func(c *conn) {
				c.lively.Store(false)
				c.signal()
				c.lighten(random.Int64N(2 * ladenTime.Microseconds()))
			})
		}
	}
}

func TestAPostReachesASilentClient(t *testing.T) {
	s := start(t, nullProducer{})
	client, br := s.rawDial(t, nil)
	_ = client.SetReadDeadline(time.Now().Add(patience))
	eventually(t, "the client is known", func() bool {
		n := 0
		s.each(func(*conn) { n++ })
		return n == 1
	})
	for i := range 200 {
		text := strings.Repeat("x", i+1)
		s.each(func(c *conn) {
			if !c.post([]byte(text)) {
				t.Error("refused")
			}
		})
		if _, payload, err := readFrame(br); err != nil || string(payload) != text {
			t.Fatalf("post %d: %q, %v", i, payload, err)
		}
	}
}

// sink is a connection that takes what is written.
type sink struct {
	net.Conn
	taken atomic.Int64
}

func (s *sink) Write(p []byte) (int, error) {
	s.taken.Add(int64(len(p)))
	return len(p), nil
}

func (*sink) SetWriteDeadline(time.Time) error { return nil }

// A post comes just when the writer, which has no other reason to stay, has looked for the last time.
func TestNoSignalIsLostWhileAWriterEnds(t *testing.T) {
	s := start(t, nullProducer{})
	c := newConn(s.Server, dialect{})
	out := new(sink)
	c.net = &lingering{Conn: out}
	due := int64(0)
	for i := range 50_000 {
		c.lively.Store(i%16 == 0)
		if !c.post([]byte("x")) {
			t.Fatal("refused")
		}
		due += 3
		deadline := time.Now().Add(patience)
		for n := 0; out.taken.Load() < due; n++ {
			if n%1024 == 1023 && time.Now().After(deadline) {
				t.Fatalf("post %d stays, the writer is in state %d", i, c.work.Load())
			}
			runtime.Gosched()
		}
		for range rand.IntN(2000) { // some microseconds: as long as the writer looks
			out.taken.Load()
		}
	}
	c.lively.Store(false)
	c.signal()
	eventually(t, "the writer has ended", func() bool { return c.work.Load() == writerIdle })
	c.cancel()
}

func TestAWriterThatIsSignalledLooksAgain(t *testing.T) {
	s := start(t, nullProducer{})
	for _, lively := range []bool{false, true} {
		c := newConn(s.Server, dialect{})
		c.lively.Store(lively)
		c.work.Store(writerRuns)
		c.signal() // after the last look
		again := make(chan bool, 2)
		go func() {
			c.sleep(0)
			again <- c.rest()
		}()
		select {
		case looks := <-again:
			if !looks || c.work.Load() != writerRuns {
				t.Errorf("lively %v: state %d", lively, c.work.Load())
			}
		case <-time.After(patience):
			t.Fatalf("lively %v: it sleeps", lively)
		}
		c.cancel()
	}
}
