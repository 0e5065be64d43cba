package push

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"testing"
	"time"

	"weir/wire"
)

// clientFrame is a masked frame, under a mask of zeros.
func clientFrame(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

// waitClosed reads up to the close frame, and what it says.
func (r *rawClient) waitClosed(code uint16, reason string) {
	r.t.Helper()
	for {
		op, body, err := r.frame()
		if err != nil {
			r.t.Fatalf("ended without a close frame: %v", err)
		}
		if op != opClose {
			continue
		}
		if len(body) < 2 || binary.BigEndian.Uint16(body) != code || string(body[2:]) != reason {
			r.t.Fatalf("close frame with %q, want %d %s", body, code, reason)
		}
		if _, err := r.in.ReadByte(); err != io.EOF { //nolint:errorlint // nothing wraps it
			r.t.Errorf("after the close frame: %v", err)
		}
		return
	}
}

func TestIllegalFramesEndTheConnectionWithTheReasonOfTheTable(t *testing.T) {
	endless := []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	for _, tc := range []struct {
		name   string
		said   []byte
		code   uint16
		reason string
		ended  closeReason
	}{
		{"length with the top bit set", endless, wire.CloseTooLarge, wire.ReasonFrameTooLarge, endedTooLarge},
		{"smallest such length", []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, wire.CloseTooLarge, wire.ReasonFrameTooLarge, endedTooLarge},
		{"such a length unmasked", []byte{0x81, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0}, wire.CloseTooLarge, wire.ReasonFrameTooLarge, endedTooLarge},
		{"after a message", append(clientFrame(0x81, `{"type":"app_ping"}`), endless...), wire.CloseTooLarge, wire.ReasonFrameTooLarge, endedTooLarge},
		{"too large a message", []byte{0x81, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, wire.CloseTooLarge, wire.ReasonFrameTooLarge, endedTooLarge},
		{"not masked", []byte{0x81, 0}, 1002, wire.ReasonProtocolError, endedProtocol},
		{"reserved bit", clientFrame(0xc1, "x"), 1002, wire.ReasonProtocolError, endedProtocol},
		{"reserved opcode", clientFrame(0x8b, ""), 1002, wire.ReasonProtocolError, endedProtocol},
		{"continuation of nothing", clientFrame(0x80, "x"), 1002, wire.ReasonProtocolError, endedProtocol},
		{"close with half a code", clientFrame(0x88, "\x03"), 1002, wire.ReasonProtocolError, endedProtocol},
		{"close with a code that is reserved", clientFrame(0x88, "\x03\xedbye"), 1002, wire.ReasonProtocolError, endedProtocol},
		{"close with a reason that is not UTF-8", clientFrame(0x88, "\x03\xe8bye\xff"), 1007, wire.ReasonProtocolError, endedProtocol},
		{"ping in fragments", clientFrame(0x09, ""), 1002, wire.ReasonProtocolError, endedProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var logged bytes.Buffer
			s := startServer(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
			c := s.dialRaw(t, "")
			if _, err := c.Write(tc.said); err != nil {
				t.Fatal(err)
			}
			c.waitClosed(tc.code, tc.reason)
			_ = c.Close()
			eventually(t, "it is counted", func() bool { return s.hub.m.closes[tc.ended].Get() == 1 })
			s.stop()
			if logged.Len() > 0 {
				t.Errorf("logged: %s", &logged)
			}
		})
	}
}

func TestFloodOfFramesThatAreNoMessagesEndsTheConnection(t *testing.T) {
	for name, said := range map[string][]byte{
		"pings":           clientFrame(0x89, ""),
		"pongs":           clientFrame(0x8a, "late"),
		"empty fragments": clientFrame(0x00, ""),
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(o *Options) { o.Config.MessageRate, o.Config.MessageBurst = 0.001, 20 })
			c := s.dialRaw(t, "")
			first := said
			if name == "empty fragments" {
				first = clientFrame(0x01, "") // of a message that never ends
			}
			if _, err := c.Write(append(bytes.Clone(first), bytes.Repeat(said, 19)...)); err != nil {
				t.Fatal(err)
			}
			// The message in between of a fragmented one would be illegal.
			if name != "empty fragments" {
				if _, err := c.Write(clientFrame(0x81, `{"type":"app_ping"}`)); err != nil {
					t.Fatal(err)
				}
				for op, body, err := c.frame(); !bytes.Contains(body, []byte(wire.TypePong)); op, body, err = c.frame() {
					if err != nil || op == opClose {
						t.Fatalf("burst not tolerated: opcode %d, %q, %v", op, body, err)
					}
				}
			}
			if _, err := c.Write(bytes.Repeat(said, 1000)); err != nil {
				t.Fatal(err)
			}
			c.waitClosed(wire.CloseProtocolError, wire.ReasonProtocolError)
			_ = c.Close()
			eventually(t, "it is counted", func() bool { return s.hub.m.closes[endedProtocol].Get() == 1 })
		})
	}
}

func TestFloodThatDoesNotStopIsCutInTime(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.DrainTimeout = 50 * time.Millisecond })
	c := s.dialRaw(t, "")
	flood := bytes.Repeat(clientFrame(0x89, ""), 1000)
	for {
		if _, err := c.Write(flood); err != nil {
			break
		}
	}
	eventually(t, "it is gone", func() bool { return s.hub.m.connections.Load() == 0 })
	if got := s.hub.m.closes[endedProtocol].Get(); got != 1 {
		t.Errorf("%d closed for a broken protocol, want 1", got)
	}
}

func TestLegalFramesPassHoweverTheyAreCut(t *testing.T) {
	s := startServer(t, nil)
	c := s.dialRaw(t, "")
	long := append([]byte{0x81, 0xfe, 0, 200, 0, 0, 0, 0}, `{"type":"app_ping","payload":"`...)
	long = append(append(long, bytes.Repeat([]byte("x"), 168)...), `"}`...)
	stream := append(clientFrame(0x01, `{"type":`), clientFrame(0x89, "between")...)
	stream = append(append(stream, clientFrame(0x80, `"app_ping"}`)...), long...)
	for i := range stream {
		if _, err := c.Write(stream[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	for pongs := 0; pongs < 2; {
		op, body, err := c.frame()
		if err != nil || op == opClose {
			t.Fatalf("opcode %d, %q, %v", op, body, err)
		}
		if bytes.Contains(body, []byte(wire.TypePong)) {
			pongs++
		}
	}
}
