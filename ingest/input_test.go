package ingest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/telemetry"
	"weir/wire"
)

func TestBadInputGetsACodeAndAPathAndTheConnectionLivesOn(t *testing.T) {
	future := time.Now().Add(time.Hour).UnixMilli()
	cases := []struct {
		name, frame string
		whole       bool // the frame as a whole is refused
		code, path  string
	}{
		{"broken JSON", `{"device":"a/b","metric":`, true, wire.CodeJSONSyntax, "metric"},
		{"binary junk", "\x00\xff\xfe\x01\x02", true, wire.CodeFormatUnknown, ""},
		{"empty", ``, true, wire.CodeFrameEmpty, ""},
		{"a number", `42`, true, wire.CodeFormatUnknown, ""},
		{"NaN", `{"device":"a/b","metric":"m","value":NaN}`, false, wire.CodeValueNotFinite, "value"},
		{"Infinity", `{"device":"a/b","metric":"m","value":Infinity}`, false, wire.CodeValueNotFinite, "value"},
		{"overflow", `{"device":"a/b","metric":"m","value":1e999}`, false, wire.CodeValueNotFinite, "value"},
		{"null", `{"device":"a/b","metric":"m","value":null}`, false, wire.CodeValueType, "value"},
		{"text", `{"device":"a/b","metric":"m","value":"hot"}`, false, wire.CodeValueType, "value"},
		{"huge integer", `{"device":"a/b","metric":"m","value":9007199254740993}`, false, wire.CodeValueUnsafe, "value"},
		{"readings no array", `{"device":"a/b","readings":{"metric":"m"}}`, true, wire.CodeReadingsType, "readings"},
		{"reading no object", `{"device":"a/b","readings":[7]}`, false, wire.CodeReadingType, "readings[0]"},
		{"device a number", `{"device":7,"metric":"m","value":1}`, false, wire.CodeDeviceType, "device"},
		{"no device", `{"metric":"m","value":1}`, false, wire.CodeDeviceMissing, "device"},
		{"no metric", `{"device":"a/b","value":1}`, false, wire.CodeMetricMissing, "metric"},
		{"deep nesting", strings.Repeat("[", 64) + strings.Repeat("]", 64), true, wire.CodeJSONDepth, "[0]"},
		{"invalid UTF-8", "{\"device\":\"a/\xff\",\"metric\":\"m\",\"value\":1}", true, wire.CodeJSONUTF8, "device"},
		{"wildcard", `{"device":"a/#","metric":"m","value":1}`, false, telemetry.CodePathWildcard, "device"},
		{"reserved", `{"device":"_weir/x","metric":"m","value":1}`, false, telemetry.CodePathReserved, "device"},
		{"far future", fmt.Sprintf(`{"device":"a/b","metric":"m","value":1,"ts":%d}`, future), false, wire.CodeTimeFuture, "ts"},
		{"bad time", `{"device":"a/b","metric":"m","value":1,"ts":"yesterday"}`, false, wire.CodeTimeInvalid, "ts"},
		{"second of two", `{"device":"a/b","readings":[{"metric":"m","value":1},{"metric":"m","value":"x"}]}`, false, wire.CodeValueType, "readings[1].value"},
	}
	p := &logProducer{}
	s := start(t, p)
	d := s.dial(t, "", nil)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d.t = t
			opcode := gws.OpcodeText
			if i%2 == 1 {
				opcode = gws.OpcodeBinary
			}
			if err := d.conn.WriteMessage(opcode, []byte(c.frame)); err != nil {
				t.Fatal(err)
			}
			r := d.receipt()
			code, path, counter := "", "", `weir_ingest_readings_rejected_total{code=%q}`
			switch {
			case c.whole && r.Err != nil:
				code, path, counter = r.Err.Code, r.Err.Path, `weir_ingest_frames_rejected_total{code=%q}`
			case !c.whole && len(r.Rejected) == 1:
				code, path = r.Rejected[0].Code, r.Rejected[0].Path
			}
			if code != c.code || path != c.path {
				t.Errorf("refused with %q at %q, want %q at %q: %+v", code, path, c.code, c.path, r)
			}
			if s.count(fmt.Sprintf(counter, c.code)) == 0 {
				t.Errorf("%s was not counted", c.code)
			}
			letters := p.stored(wire.TopicDeadLetters)
			letter, err := wire.DecodeDeadLetter(letters[len(letters)-1].Value)
			if err != nil {
				t.Fatal(err)
			}
			if letter.Code != c.code || letter.Path != c.path || string(letter.Raw) != c.frame || letter.Stage != "ingest" || letter.Time == 0 {
				t.Errorf("dead letter: %+v", letter)
			}
		})
	}
	d.t = t
	d.send(oneReading)
	if r := d.receipt(); r.Accepted != 1 || r.Frame != uint64(len(cases)+1) {
		t.Errorf("after all that: %+v", r)
	}
}

func TestADeadLetterKeepsABoundedPartOfTheFrame(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	d := s.dial(t, "", nil)
	d.send(strings.Repeat("x", 200<<10))
	if r := d.receipt(); r.Err == nil {
		t.Fatalf("receipt: %+v", r)
	}
	letter, err := wire.DecodeDeadLetter(p.stored(wire.TopicDeadLetters)[0].Value)
	if err != nil || len(letter.Raw) != maxDeadLetterBytes {
		t.Errorf("dead letter of %d bytes, %v", len(letter.Raw), err)
	}
}

func TestAFrameTooLargeIsClosedAs1009WithTheReason(t *testing.T) {
	s := start(t, &logProducer{})
	d := s.dial(t, "", nil)
	_ = d.conn.WriteMessage(gws.OpcodeText, make([]byte, 3<<20))
	if code, reason := d.closeCode(); code != wire.CloseTooLarge || reason != wire.ReasonFrameTooLarge {
		t.Errorf("closed %d %q", code, reason)
	}
	eventually(t, "counted", func() bool {
		return s.count(`weir_ingest_frames_rejected_total{code="frame_too_large"}`) == 1
	})
}

// rawDial makes a WebSocket connection of which the test writes every byte. early goes out with the request.
func (s *site) rawDial(t testing.TB, early []byte, headers ...string) (net.Conn, *bufio.Reader) {
	t.Helper()
	u, _ := url.Parse(s.url)
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	request := "GET /v1/ingest HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, header := range headers {
		request += header + "\r\n"
	}
	request += "\r\n"
	if _, err := conn.Write(append([]byte(request), early...)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", res, err)
	}
	return conn, br
}

// masked is a client's frame with a zero mask.
func masked(opcode byte, payload []byte) []byte {
	b := []byte{finalFrame | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// readFrame reads a server's frame.
func readFrame(br *bufio.Reader) (opcode byte, payload []byte, err error) {
	var h [2]byte
	if _, err = io.ReadFull(br, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(h[1])
	if n == 126 {
		var l [2]byte
		if _, err = io.ReadFull(br, l[:]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(l[:]))
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(br, payload)
	return h[0] & 0x0f, payload, err
}

func TestHostileHeadersEndTheConnectionOnly(t *testing.T) {
	s := start(t, &logProducer{})
	headers := map[string][]byte{
		"length with the top bit":  {0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0, 1, 2, 3, 4},
		"length of many gigabytes": {0x82, 0xff, 0, 0, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
		"no mask":                  {0x81, 0x01, 'x'},
		"reserved bits":            {0xf1, 0x80, 0, 0, 0, 0},
		"unknown opcode":           {0x8b, 0x80, 0, 0, 0, 0},
		"lone continuation":        {0x80, 0x80, 0, 0, 0, 0},
		"long ping":                append([]byte{0x89, 0x80 | 126, 0, 200, 0, 0, 0, 0}, make([]byte, 200)...),
	}
	for name, header := range headers {
		t.Run(name, func(t *testing.T) {
			conn, br := s.rawDial(t, nil)
			if _, err := conn.Write(header); err != nil {
				t.Fatal(err)
			}
			if opcode, _, err := readFrame(br); err == nil && opcode != opClose {
				t.Errorf("answered with opcode %d", opcode)
			}
			if _, err := io.Copy(io.Discard, br); err != nil {
				t.Errorf("the connection does not end cleanly: %v", err)
			}
		})
	}
	d := s.dial(t, "", nil)
	d.send(oneReading)
	if r := d.receipt(); r.Accepted != 1 {
		t.Errorf("after all that: %+v", r)
	}
}

func TestAFrameSentAlongWithTheHandshakeIsNotLost(t *testing.T) {
	s := start(t, &logProducer{})
	conn, br := s.rawDial(t, masked(opText, []byte(oneReading)))
	opcode, payload, err := readFrame(br)
	if err != nil || opcode != opText {
		t.Fatalf("opcode %d, %v", opcode, err)
	}
	if r, err := wire.DecodeReceipt(payload); err != nil || r.Accepted != 1 {
		t.Errorf("receipt %+v, %v", r, err)
	}
	_ = conn.Close()
}

func TestAPingIsEchoed(t *testing.T) {
	s := start(t, &logProducer{})
	conn, br := s.rawDial(t, nil)
	_, _ = conn.Write(masked(opPing, []byte("mark 7")))
	if opcode, payload, err := readFrame(br); err != nil || opcode != 0xA || string(payload) != "mark 7" {
		t.Errorf("opcode %d, payload %q, %v", opcode, payload, err)
	}
}

func TestASilentPeerIsPingedAndThenClosedWhileALiveOneStays(t *testing.T) {
	// Time is what the test says: it moves into the past when the connections were heard, twice by most of a timeout.
	const most, step = 10 * time.Minute, 7 * time.Minute
	s := start(t, &logProducer{}, func(o *Options) { o.Config.IdleTimeout = most })
	live := s.dial(t, "", nil) // answers pings, as every library does
	_, br := s.rawDial(t, nil)
	eventually(t, "both are there", func() bool { return s.connections.Load() == 2 })
	pass := func() {
		s.each(func(c *conn) { c.lastHeard.Add(-step.Microseconds()) })
		s.sweep()
	}
	pass()
	if opcode, payload, err := readFrame(br); err != nil || opcode != opPing {
		t.Fatalf("no ping but opcode %d, payload %q, %v", opcode, payload, err)
	}
	eventually(t, "one has answered", func() bool {
		heard := 0
		s.each(func(c *conn) {
			if nowMicros()-c.lastHeard.Load() < (most / 2).Microseconds() {
				heard++
			}
		})
		return heard == 1
	})
	pass()
	opcode, payload, err := readFrame(br)
	for ; err == nil && opcode == opPing; opcode, payload, err = readFrame(br) { // the server looks by itself, too
	}
	if err != nil || opcode != opClose || binary.BigEndian.Uint16(payload) != wire.CloseHeartbeat {
		t.Fatalf("opcode %d, payload %q, %v", opcode, payload, err)
	}
	live.send(oneReading)
	if r := live.receipt(); r.Accepted != 1 {
		t.Errorf("receipt %+v", r)
	}
}

// OnPing answers as libraries do; gws's built-in handler would leave the payload out.
func (d *device) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) }
