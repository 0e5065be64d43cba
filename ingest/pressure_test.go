package ingest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"weir/wire"
)

// flood writes frames until the socket takes no more, and tells how many bytes it took. Once it takes nothing at
// all is not enough: it may be the machine that had no time.
func flood(t *testing.T, conn net.Conn, frame []byte, most int) int {
	t.Helper()
	rest, taken := frame, 0
	for stopped := 0; taken < most; {
		_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := conn.Write(rest)
		taken += n
		if rest = rest[n:]; len(rest) == 0 {
			rest = frame
		}
		switch {
		case err == nil || n > 0:
			stopped = 0
		case !errors.Is(err, os.ErrDeadlineExceeded):
			t.Fatalf("after %d bytes: %v", taken, err)
		case stopped == 3:
			return taken
		default:
			stopped++
		}
	}
	t.Fatalf("the socket took %d bytes without a stop", taken)
	return 0
}

func TestBeyondTheCreditTheSocketIsNotRead(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p, func(o *Options) { o.Config.Credit = 8 })
	device, br := s.rawDial(t, nil)
	frame := masked(opText, fmt.Appendf(nil, `{"device":"a/b","metric":"m","value":1,"pad":%q}`, strings.Repeat("x", 60<<10)))
	flood(t, device, frame, 64<<20)
	eventually(t, "all of the credit is taken", func() bool { return p.asked() >= 8 })
	if n := p.asked(); n != 8 {
		t.Errorf("%d frames were taken with a credit of 8", n)
	}
	if n := s.inflight.Load(); n != 8 {
		t.Errorf("%d frames in flight", n)
	}
	s.each(func(c *conn) { c.lastHeard.Add(-2 * s.cfg.IdleTimeout.Microseconds()) })
	s.sweep() // who is not read may be silent
	p.release()
	for i := range 20 {
		_, payload, err := readFrame(br)
		if err != nil {
			t.Fatalf("receipt %d: %v", i+1, err)
		}
		if r, err := wire.DecodeReceipt(payload); err != nil || r.Frame != uint64(i+1) || r.Accepted != 1 {
			t.Fatalf("receipt %d: %s, %v", i+1, payload, err)
		}
	}
	if s.set.GetOrCreateFloatCounter(`weir_ingest_blocked_seconds_total{by="credit"}`).Get() <= 0 {
		t.Error("the blocked time was not counted")
	}
}

func TestADeviceThatReadsNoReceiptsStopsBeingReadAndIsClosed(t *testing.T) {
	p := &logProducer{}
	s := start(t, p, func(o *Options) { o.Config.WriteTimeout = 500 * time.Millisecond })
	conn, _ := s.rawDial(t, nil)
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	// Every frame is refused at length, so receipts fill the socket soon.
	frame := masked(opText, []byte(`{"device":"a/b","readings":[`+strings.Repeat(`7,`, 1000)+`7]}`))
	closed := false
	for !closed {
		_ = conn.SetWriteDeadline(time.Now().Add(patience))
		if _, err := conn.Write(frame); err != nil {
			closed = true
		}
	}
	eventually(t, "gone", func() bool { return s.connections.Load() == 0 })
	if n := s.count(`weir_ingest_closed_total{reason="slow"}`); n != 1 {
		t.Errorf("closed as slow: %d", n)
	}
	if s.inflight.Load() != 0 {
		t.Errorf("%d frames counted as in flight", s.inflight.Load())
	}
}

func TestRejectionsThatWaitAreBounded(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p)
	conn, _ := s.rawDial(t, nil)
	frame := masked(opText, []byte(`{"device":"a/b","readings":[`+strings.Repeat(`7,`, 4000)+`7]}`))
	flood(t, conn, frame, 64<<20)
	// 4,001 rejections are more than may wait, so that one frame is enough to stop.
	eventually(t, "one is taken", func() bool { return s.inflight.Load() > 0 })
	if n := s.inflight.Load(); n != 1 {
		t.Errorf("%d frames in flight", n)
	}
	p.release()
}
