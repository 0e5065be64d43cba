package push

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"

	"weir/telemetry"
	"weir/wire"
)

// fleet is an update of each of n series.
func fleet(n int, v telemetry.Version) []telemetry.Update {
	us := make([]telemetry.Update, n)
	for i := range us {
		us[i] = single(fmt.Sprintf("plant/line%d/temperature", i), v, rand.NormFloat64())
	}
	return us
}

func TestCompressedMessagesAreTheMessages(t *testing.T) {
	const names = 100
	s := startServer(t, nil)
	s.feed(fleet(names, 0)...)
	var clients []*wsClient
	for i := range 4 {
		c := s.dial(dialOptions{deflate: i > 0})
		c.send(`{"type":"subscribe","payload":{"id":"a subscription","patterns":["#"],"max_hz":0}}`)
		await[*wire.Subscribed](c, newFollower(t))
		clients = append(clients, c)
	}
	snapshots := s.hub.m.compressed.Get()
	if snapshots == 0 {
		t.Error("no snapshot was compressed")
	}
	sent := s.hub.m.bytes.Get()
	total, messages := 0, 0
	for v := telemetry.Version(1); v < 20; v++ {
		us := append(fleet(names, v), single(fmt.Sprintf("new/%d/m", v), 0, 1))
		s.feed(us...)
		s.hub.alerts(0, []telemetry.Alert{alert("x", "new/1/m", telemetry.Firing, v)}, int64(v))
		var want [][]byte
		for range 3 {
			m := clients[0].message("a message")
			want = append(want, m)
			total += len(m)
			if messages++; len(m) >= s.cfg.CompressMinBytes {
				snapshots += uint64(len(m)) // what has to be compressed from now on
			}
		}
		for _, c := range clients[1:] {
			for range 3 {
				got := c.message("a message")
				if !containsMessage(want, got) {
					t.Fatalf("a client with compression is told %s", got)
				}
			}
		}
	}
	if got := s.hub.m.compressed.Get(); got != snapshots {
		t.Errorf("%d bytes were compressed, want %d: each message once", got, snapshots)
	}
	eventually(t, "all is counted", func() bool { return s.hub.m.frames[frameShared].Get() == 4*19 })
	if got := int(s.hub.m.bytes.Get() - sent); got > total*5/2 {
		t.Errorf("%d bytes were sent to one client without and three with compression; the messages have %d", got, total)
	}
	clients[1].send(`{"type":"app_ping","payload":%q}`, strings.Repeat("ping ", 1000)) // gws compresses it
	if pong := await[*wire.Pong](clients[1], newFollower(t)); len(pong.Payload) != 5002 {
		t.Errorf("a compressed message of a client is answered with %d bytes", len(pong.Payload))
	}
}

func containsMessage(all [][]byte, m []byte) bool {
	for _, other := range all {
		if bytes.Equal(m, other) {
			return true
		}
	}
	return false
}

func TestCompressionIsAgreedOnOnTheServersTermsOnly(t *testing.T) {
	s := startServer(t, nil)
	off := startServer(t, func(o *Options) { o.Config.CompressMinBytes = 0 })
	for _, tc := range []struct {
		server *testServer
		offer  string
		want   string
	}{
		{s, "permessage-deflate; client_max_window_bits", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{s, "x-other, permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{s, "permessage-deflate; server_max_window_bits=9", ""},
		{s, "permessage-deflate-2", ""},
		{s, "", ""},
		{off, "permessage-deflate", ""},
	} {
		_, got := tc.server.dialOffering(t, tc.offer)
		if got != tc.want {
			t.Errorf("%q is answered by %q, want %q", tc.offer, got, tc.want)
		}
	}
}

// dialOffering asks for extensions, and returns also those that are agreed on.
func (ts *testServer) dialOffering(t *testing.T, offer string) (*rawClient, string) {
	t.Helper()
	c, err := net.Dial("tcp", ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET /v1/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: %s\r\n\r\n", offer)
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	return &rawClient{t, in, c}, res.Header.Get("Sec-WebSocket-Extensions")
}

func TestAMessageThatInflatesBeyondTheLimitEndsTheConnection(t *testing.T) {
	s := startServer(t, nil)
	var bomb bytes.Buffer
	w, err := flate.NewWriter(&bomb, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		_, _ = w.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	_ = w.Flush()
	if bomb.Len() > s.cfg.MaxMessageBytes {
		t.Fatalf("the bomb has %d bytes and would be too large as it is", bomb.Len())
	}
	before := heap()
	for range 20 {
		c, _ := s.dialOffering(t, "permessage-deflate")
		head := []byte{0xc1, 0xff, 0, 0, 0, 0, 0, 0, byte(bomb.Len() >> 8), byte(bomb.Len()), 0, 0, 0, 0}
		if _, err := c.Write(append(head, bomb.Bytes()...)); err != nil {
			t.Fatal(err)
		}
		c.waitClosed(wire.CloseMalformed, wire.ReasonProtocolError)
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

func TestWhatIsCompressedInPiecesIsReadAsOne(t *testing.T) {
	s := startServer(t, nil)
	d := &s.hub.deflater
	head, body := []byte(`{"id":"x"`), bytes.Repeat([]byte(`,"a":1`), 500)
	r := flate.NewReader(bytes.NewReader(append(d.append(storedBlock(nil, head), body), "\x00\x00\xff\xff\x01\x00\x00\xff\xff"...)))
	var got bytes.Buffer
	if _, err := got.ReadFrom(r); err != nil || got.String() != string(head)+string(body) {
		t.Errorf("%v: %s", err, &got)
	}
}
