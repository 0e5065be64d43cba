package ingest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/wire"
)

const mib = 1 << 20

// padded is a reading in a message of a given length.
func padded(bytes int) []byte {
	const empty = `{"device":"a/b","metric":"m","value":1,"pad":""}`
	return []byte(strings.Replace(empty, `""}`, `"`+strings.Repeat("x", bytes-len(empty))+`"}`, 1))
}

// announce writes the header of a message of a given length, and no more.
func announce(t *testing.T, conn net.Conn, bytes int) {
	t.Helper()
	header := binary.BigEndian.AppendUint64([]byte{finalFrame | opText, 0x80 | 127}, uint64(bytes))
	if _, err := conn.Write(append(header, 0, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
}

func accepted(t *testing.T, br *bufio.Reader, frame uint64) {
	t.Helper()
	_, payload, err := readFrame(br)
	if err != nil {
		t.Fatalf("receipt %d: %v", frame, err)
	}
	if r, err := wire.DecodeReceipt(payload); err != nil || r.Frame != frame || r.Accepted != 1 {
		t.Fatalf("receipt %d: %s, %v", frame, payload, err)
	}
}

func TestConnectionsThatOnlyAnnounceHoldNoMoreThanTheBudget(t *testing.T) {
	s := start(t, nullProducer{}, func(o *Options) {
		o.Config.MaxPendingBytes = 8 * mib
	})
	var liars []net.Conn
	for range 100 {
		conn, _ := s.rawDial(t, nil)
		liars = append(liars, conn)
	}
	before := heapInUse()
	for _, conn := range liars {
		announce(t, conn, mib)
	}
	var holders []*conn
	eventually(t, "eight hold the budget and the others wait", func() bool {
		holders = nil
		s.each(func(c *conn) {
			if !c.busy.Load() {
				holders = append(holders, c)
			}
		})
		return len(holders) == 8 && s.pending.taken.Load() == 8*mib
	})
	if grown := heapInUse() - before; grown > 24*mib {
		t.Errorf("100 headers made the heap grow by %d bytes", grown)
	}

	// Who sends frames of common size notices nothing; who sends a large one is served in turn.
	d := s.dial(t, "", nil)
	d.send(string(padded(freeBytes)))
	if r := d.receipt(); r.Accepted != 1 {
		t.Fatalf("small frame: %+v", r)
	}
	d.send(string(padded(mib)))
	for _, c := range holders {
		c.began.Add(-2 * s.cfg.MessageTimeout.Microseconds())
	}
	eventually(t, "connections are closed for messages that do not come", func() bool {
		return s.count(`weir_ingest_closed_total{reason="slow_upload"}`) >= 8
	})
	for _, conn := range liars {
		_ = conn.Close()
	}
	if r := d.receipt(); r.Accepted != 1 {
		t.Fatalf("large frame: %+v", r)
	}
	eventually(t, "everything is given back", func() bool { return s.pending.taken.Load() == 0 })
	if s.set.GetOrCreateFloatCounter(`weir_ingest_blocked_seconds_total{by="pending_bytes"}`).Get() <= 0 {
		t.Error("the waiting was not counted")
	}
}

// Large messages that follow each other closely need the whole budget each, and the reader sees the header of the
// next before it has done with the last.
func TestLargeMessagesOfOneConnectionDoNotWaitForThemselves(t *testing.T) {
	large := masked(opText, padded(mib))
	first, rest := masked(opText, padded(mib/2)), masked(0, nil)
	first[0] &^= finalFrame // a message in two frames, the second empty
	burst := append(append(append(append([]byte{}, large...), large...), append(first, rest...)...), masked(opText, []byte(oneReading))...)
	for name, early := range map[string][]byte{"after the handshake": nil, "along with it": burst[:3000]} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nullProducer{}, func(o *Options) { o.Config.MaxPendingBytes = 2 * mib })
			conn, br := s.rawDial(t, early)
			go func() {
				_, _ = conn.Write(burst[len(early):])
				_, _ = conn.Write(burst)
			}()
			for frame := range uint64(8) {
				accepted(t, br, frame+1)
			}
			eventually(t, "given back", func() bool { return s.pending.taken.Load() == 0 })
		})
	}
}

func TestASteadySlowUploadIsNotIdle(t *testing.T) {
	// Time is what the test says, as in the next: a byte comes whenever most of the time has passed.
	const most, step = 10 * time.Minute, 7 * time.Minute
	s := start(t, nullProducer{}, func(o *Options) { o.Config.IdleTimeout = most })
	device, br := s.rawDial(t, nil)
	frame := masked(opText, padded(100))
	for i := range frame {
		s.each(func(c *conn) { c.lastHeard.Add(-step.Microseconds()) })
		if _, err := device.Write(frame[i : i+1]); err != nil {
			t.Fatalf("after %d bytes: %v", i, err)
		}
		eventually(t, "the byte is heard", func() (is bool) {
			s.each(func(c *conn) { is = nowMicros()-c.lastHeard.Load() < (step / 2).Microseconds() })
			return is
		})
		s.sweep()
	}
	for {
		opcode, payload, err := readFrame(br)
		if err != nil || opcode == opClose {
			t.Fatalf("frame %x %q, %v", opcode, payload, err)
		}
		if opcode == opText {
			if r, err := wire.DecodeReceipt(payload); err != nil || r.Accepted != 1 {
				t.Errorf("receipt %s, %v", payload, err)
			}
			return
		}
	}
}

func TestAMessageThatTakesTooLongEndsItsConnection(t *testing.T) {
	s := start(t, nullProducer{}, func(o *Options) { o.Config.MessageTimeout = 500 * time.Millisecond })
	conn, br := s.rawDial(t, nil)
	frame := masked(opText, padded(120))
	go func() {
		for i := range frame {
			if _, err := conn.Write(frame[i : i+1]); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // the device's speed
		}
	}()
	opcode, payload, err := readFrame(br)
	for ; err == nil && opcode == opPing; opcode, payload, err = readFrame(br) {
	}
	if err != nil || opcode != opClose || binary.BigEndian.Uint16(payload) != wire.CloseNoProgress {
		t.Errorf("frame %x %q, %v", opcode, payload, err)
	}
	if n := s.count(`weir_ingest_closed_total{reason="slow_upload"}`); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

// Frames that follow each other without a pause are not one long message.
func TestABusyConnectionIsNotTakenForASlowMessage(t *testing.T) {
	// Time is what the test says: it moves into the past what the connection has noted, by most of what a message may take.
	const most, step = 10 * time.Minute, 7 * time.Minute
	s := start(t, nullProducer{}, func(o *Options) { o.Config.IdleTimeout, o.Config.MessageTimeout = most, most })
	device, br := s.rawDial(t, nil)
	frame := masked(opText, padded(700))
	write := func(bytes ...byte) {
		t.Helper()
		if _, err := device.Write(bytes); err != nil {
			t.Fatal(err)
		}
	}
	begun := func() {
		t.Helper()
		eventually(t, "a message has begun, and none is being taken", func() (is bool) {
			s.each(func(c *conn) { is = c.began.Load() != 0 && !c.busy.Load() })
			return is
		})
	}
	write(frame[:300]...)
	for n := uint64(1); n <= 5; n++ { // always in the middle of one
		begun()
		s.each(func(c *conn) { c.began.Add(-step.Microseconds()) })
		s.sweep()
		s.each(func(c *conn) {
			if v := c.verdict.Load(); v != 0 {
				t.Fatalf("given up after %d messages: %d", n-1, v)
			}
		})
		write(append(append([]byte{}, frame[300:]...), frame[:300]...)...)
		accepted(t, br, n)
	}
	begun()
	s.each(func(c *conn) { c.began.Add(-2 * step.Microseconds()) })
	s.sweep()
	opcode, payload, err := readFrame(br)
	if err != nil || opcode != opClose || binary.BigEndian.Uint16(payload) != wire.CloseNoProgress {
		t.Errorf("one that takes too long: %x %q, %v", opcode, payload, err)
	}
}

// witness notes at each write whether the connection's reader had been woken.
type witness struct {
	net.Conn
	ctx   context.Context
	woken []bool
}

func (w *witness) Write(p []byte) (int, error) {
	w.woken = append(w.woken, w.ctx.Err() != nil)
	return len(p), nil
}

func TestAReaderIsNotWokenBeforeTheReasonOfTheEndIsSent(t *testing.T) {
	s := start(t, nullProducer{})
	mine, peer := net.Pipe()
	_ = peer.Close()
	c := newConn(s.Server, dialect{})
	w := &witness{Conn: mine, ctx: c.ctx}
	c.net = &lingering{Conn: w}
	c.close(wire.CloseDraining, wire.ReasonDraining)
	if fmt.Sprint(w.woken) != "[false]" || c.ctx.Err() == nil {
		t.Errorf("woken at the writes: %v; after them: %v", w.woken, c.ctx.Err())
	}
	c.echo(closeFrame(closeNormal, "")) // as a reader does that was woken
	if len(w.woken) != 1 {
		t.Errorf("%d close frames", len(w.woken))
	}
}

func TestAStopDoesNotWaitForAMessageThatWaitsForRoom(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p, func(o *Options) { o.Config.MaxPendingBytes = 2 * mib; o.Config.DrainTimeout = time.Minute })
	if !s.pending.try(2 * mib) {
		t.Fatal("no room at the start")
	}
	socket, br := s.rawDial(t, nil)
	if _, err := socket.Write(append(masked(opText, []byte(oneReading)), masked(opText, padded(mib))[:1000]...)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first frame is taken and the second waits", func() bool {
		waiting := false
		s.each(func(c *conn) { waiting = c.busy.Load() })
		return p.asked() == 1 && waiting
	})
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.stop() }()
	eventually(t, "draining", func() bool { return s.Ready() != nil })
	p.release()
	accepted(t, br, 1)
	opcode, payload, err := readFrame(br)
	if err != nil || opcode != opClose || binary.BigEndian.Uint16(payload) != wire.CloseDraining {
		t.Errorf("frame %x %q, %v", opcode, payload, err)
	}
	_ = socket.Close()
	<-stopped
	if n := s.pending.taken.Load(); n != 2*mib {
		t.Errorf("%d bytes taken", n)
	}
}

// chunked hides a body's size, so that it is sent in chunks.
type chunked struct{ io.Reader }

func TestALargeBodyIsRefusedWhileThereIsNoRoom(t *testing.T) {
	s := start(t, nullProducer{}, func(o *Options) { o.Config.MaxPendingBytes = 2 * mib })
	post := func(body io.Reader) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, s.url+"/v1/readings", body)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
			t.Error("refused without Retry-After")
		}
		return res.StatusCode
	}
	text := func(bytes int) io.Reader { return strings.NewReader(string(padded(bytes))) }
	for _, full := range []bool{false, true, false} {
		if full && !s.pending.try(2*mib) {
			t.Fatal("a body has kept its room")
		}
		large := http.StatusOK
		if full {
			large = http.StatusServiceUnavailable
		}
		for name, c := range map[string]struct {
			body io.Reader
			want int
		}{
			"small":               {text(freeBytes), http.StatusOK},
			"small, in chunks":    {chunked{text(freeBytes - 1)}, http.StatusOK},
			"large":               {text(mib), large},
			"large, in chunks":    {chunked{text(mib)}, large},
			"too large":           {text(mib + 1), http.StatusRequestEntityTooLarge},
			"too large in chunks": {chunked{text(mib + 1)}, map[bool]int{true: large, false: http.StatusRequestEntityTooLarge}[full]},
		} {
			if got := post(c.body); got != c.want {
				t.Errorf("full %v, %s: status %d", full, name, got)
			}
		}
		if full {
			s.pending.giveBack(2 * mib)
		}
	}
	if n := s.count(`weir_ingest_refused_total{reason="pending_bytes"}`); n != 3 {
		t.Errorf("%d refusals counted", n)
	}
}

func TestTheBudgetHasRoomForTheLargestMessage(t *testing.T) {
	c := DefaultConfig()
	c.MaxFrameBytes, c.MaxPendingBytes = 4*mib, 8*mib-1
	if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "max_pending_bytes: ") {
		t.Error(err)
	}
	c.MaxPendingBytes++
	if err := c.Validate(); err != nil {
		t.Error(fmt.Errorf("exactly enough: %w", err))
	}
}
