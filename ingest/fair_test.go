package ingest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"weir/wire"
)

// closedWith reads until the close frame.
func closedWith(t *testing.T, br *bufio.Reader, code uint16, reason string) {
	t.Helper()
	for {
		opcode, payload, err := readFrame(br)
		if err != nil {
			t.Fatalf("no close frame: %v", err)
		}
		if opcode == opClose {
			if binary.BigEndian.Uint16(payload) != code || string(payload[2:]) != reason {
				t.Errorf("closed with %d %q", binary.BigEndian.Uint16(payload), payload[2:])
			}
			return
		}
	}
}

func TestRoomThatOthersWaitForIsNotLeftToMessagesThatDoNotCome(t *testing.T) {
	t.Parallel() // it waits
	s := start(t, nullProducer{}, func(o *Options) { o.Config.MaxPendingBytes = 4 * mib })
	var liars []net.Conn
	for range 12 {
		conn, _ := s.rawDial(t, nil)
		announce(t, conn, mib)
		liars = append(liars, conn)
	}
	eventually(t, "the room is taken", func() bool { return s.pending.taken.Load() == 4*mib })
	for _, conn := range liars[4:] { // those that wait in the line
		_ = conn.Close()
	}
	d := s.dial(t, "", nil)
	d.send(string(padded(mib)))
	if r := d.receipt(); r.Accepted != 1 { // within patience, of which a message may take much more
		t.Errorf("%+v", r)
	}
	if n := s.count(`weir_ingest_closed_total{reason="slow_upload"}`); n == 0 {
		t.Error("not counted")
	}
}

func TestOnlyMessagesThatDoNotComeDawdle(t *testing.T) {
	for _, c := range []struct {
		held time.Duration
		came int64
		want bool
	}{{holdGrace, 0, false}, {2 * holdGrace, 0, true}, {4 * time.Second, 4*holdRate - 1, true}, {4 * time.Second, 4 * holdRate, false}} {
		var conn conn
		now := nowMicros()
		conn.holds.Store(now - c.held.Microseconds())
		conn.came.Store(c.came)
		if got := conn.dawdles(now); got != c.want {
			t.Errorf("%d bytes in %s: %v", c.came, c.held, got)
		}
	}
	if new(conn).dawdles(nowMicros()) {
		t.Error("a connection that holds nothing dawdles")
	}
}

func TestALengthThatCannotBeEndsTheConnectionWithoutAPanic(t *testing.T) {
	var log bytes.Buffer
	s := start(t, &logProducer{}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	hostile := []byte{finalFrame | opText, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'x'}
	conn, br := s.rawDial(t, nil)
	if _, err := conn.Write(append(masked(opText, []byte(oneReading)), hostile...)); err != nil {
		t.Fatal(err)
	}
	closedWith(t, br, closeProtocol, wire.ReasonProtocolError)
	_ = conn.Close()
	s.stop()
	if n := s.count(`weir_ingest_closed_total{reason="protocol"}`); n != 1 {
		t.Errorf("counted %d times", n)
	}
	if n := s.count(`weir_ingest_panics_total`); n != 0 || strings.Contains(log.String(), "panic") {
		t.Errorf("%d panics, log: %s", n, log.String())
	}
	if n := s.count(`weir_ingest_frames_total{transport="websocket"}`); n != 1 {
		t.Errorf("%d frames taken of the one before", n)
	}
}

func TestFramesThatAreNotWebSocketsAreCounted(t *testing.T) {
	s := start(t, nullProducer{})
	conn, _ := s.rawDial(t, nil)
	if _, err := conn.Write(clientFrame(opText, true, false, 3)); err != nil { // not masked
		t.Fatal(err)
	}
	eventually(t, "it is counted", func() bool { return s.count(`weir_ingest_closed_total{reason="protocol"}`) == 1 })
}

func TestAMessageOfNothingButFragmentsEnds(t *testing.T) {
	for name, flood := range map[string][]byte{
		"empty":  bytes.Repeat(clientFrame(0, false, true, 0), maxFragments),
		"a byte": bytes.Repeat(clientFrame(0, false, true, 1), maxFragments),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nullProducer{})
			conn, br := s.rawDial(t, nil)
			go func() { _, _ = conn.Write(append(clientFrame(opText, false, true, 0), flood...)) }()
			closedWith(t, br, wire.CloseProtocolError, wire.ReasonProtocolError)
		})
	}
}

func TestAMessageThatIsEmptySoFarHasItsTime(t *testing.T) {
	s := start(t, nullProducer{}, func(o *Options) { o.Config.MessageTimeout = 50 * time.Millisecond })
	conn, br := s.rawDial(t, nil)
	if _, err := conn.Write(clientFrame(opText, false, true, 0)); err != nil {
		t.Fatal(err)
	}
	closedWith(t, br, wire.CloseNoProgress, wire.ReasonNoProgress)
}

func TestAFloodOfPingsEndsTheConnection(t *testing.T) {
	s := start(t, nullProducer{})
	conn, br := s.rawDial(t, nil)
	go func() { _, _ = conn.Write(bytes.Repeat(masked(opPing, nil), 10*controlsAtOnce)) }()
	closedWith(t, br, wire.CloseProtocolError, wire.ReasonProtocolError)
}

func TestPingsAtAModestRateAreAllowed(t *testing.T) {
	r := rate{perSecond: controlsPerSecond, atOnce: controlsAtOnce}
	now := nowMicros()
	if !r.allow(controlsAtOnce, now) {
		t.Fatal("a burst is refused")
	}
	for range 1000 {
		now += 1e6 / controlsPerSecond
		if !r.allow(1, now) {
			t.Fatal("a steady rate is refused")
		}
	}
	if r.allow(2, now) {
		t.Error("too many are allowed")
	}
}
