package push

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// rawClient speaks WebSocket by hand, and so can see and send what a library would not.
type rawClient struct {
	t  *testing.T
	in *bufio.Reader
	net.Conn
}

func (ts *testServer) dialRaw(t *testing.T, query string) *rawClient {
	t.Helper()
	c, err := net.Dial("tcp", ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	return upgradeRaw(t, c, query)
}

// upgradeRaw makes a WebSocket of a connection.
func upgradeRaw(t *testing.T, c net.Conn, query string) *rawClient {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET /v1/live%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", query)
	in := bufio.NewReaderSize(c, 1024)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	return &rawClient{t, in, c}
}

// frame reads one whole frame.
func (r *rawClient) frame() (opcode, []byte, error) {
	var h [2]byte
	if _, err := io.ReadFull(r.in, h[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1])
	if more := map[byte]int{126: 2, 127: 8}[h[1]]; more > 0 {
		var b [8]byte
		if _, err := io.ReadFull(r.in, b[8-more:]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r.in, body)
	return opcode(h[0] & 0x0f), body, err
}

// A large frame has been begun when the client says goodbye, or something that it must not say. The frame
// ends as a frame, and then comes the answer.
func TestCloseFrameWaitsForTheEndOfTheFrameInFlight(t *testing.T) {
	s := startServer(t, smallBuffers)
	us := make([]telemetry.Update, 20_000)
	for i := range us {
		us[i] = single(fmt.Sprintf("plant/line%d/dev%d/temperature", i%10, i), 0, float64(i))
	}
	s.feed(us...)
	for _, tc := range []struct {
		name   string
		said   []byte
		code   uint16
		reason closeReason
	}{
		{"close", []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}, wire.CloseNormal, endedByClient},
		{"too large a message", []byte{0x81, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, wire.CloseTooLarge, endedTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := s.hub.m.closes[tc.reason].Get()
			c := s.dialRaw(t, "?subscribe=%23")
			if op, body, err := c.frame(); op != opText || err != nil {
				t.Fatal("no welcome:", op, string(body), err)
			}
			if _, err := c.in.Peek(100); err != nil { // the snapshot has begun
				t.Fatal(err)
			}
			if _, err := c.Write(tc.said); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the server has heard it", func() bool {
				for _, other := range s.conns.list() {
					other.mu.Lock()
					heard := other.bye != nil
					other.mu.Unlock()
					if heard {
						return true
					}
				}
				return false
			})
			f := newFollower(t)
			if op, body, err := c.frame(); op != opText || err != nil {
				t.Fatalf("snapshot: opcode %d, %d bytes, %v", op, len(body), err)
			} else if _, ok := f.take(body).(*wire.Subscribed); !ok {
				t.Fatalf("got %T", f.last)
			}
			op, body, err := c.frame()
			if op != opClose || err != nil || binary.BigEndian.Uint16(body) != tc.code {
				t.Fatalf("opcode %d, %q, %v; want a close frame with %d", op, body, err, tc.code)
			}
			if _, err := c.in.ReadByte(); err != io.EOF { //nolint:errorlint // nothing wraps it
				t.Errorf("after the close frame: %v", err)
			}
			_ = c.Close()
			eventually(t, "it is counted", func() bool { return s.hub.m.closes[tc.reason].Get() == before+1 })
		})
	}
}

func TestClientThatLeavesWithoutReadingIsCutInTime(t *testing.T) {
	s := startServer(t, func(o *Options) {
		smallBuffers(o)
		o.Config.DrainTimeout = 50 * time.Millisecond
	})
	us := make([]telemetry.Update, 20_000)
	for i := range us {
		us[i] = single(fmt.Sprintf("plant/line%d/dev%d/temperature", i%10, i), 0, float64(i))
	}
	s.feed(us...)
	c := s.dialRaw(t, "?subscribe=%23")
	if _, err := c.in.Peek(100); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return s.hub.m.connections.Load() == 0 })
}
