package push

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"
)

// TestIdleConnectionsAreSmall opens connections by hand, so that their other end costs next to nothing.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, tc := range []struct{ name, path, header string }{
		{"plain", "/v1/live", upgrade},
		{"compressed", "/v1/live", upgrade + "Sec-WebSocket-Extensions: permessage-deflate\r\n"},
		{"events", "/v1/events", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			request := fmt.Sprintf("GET %s?subscribe=%%23 HTTP/1.1\r\nHost: x\r\n%s\r\n", tc.path, tc.header)
			idleConnections(t, request, 16<<10)
		})
	}
}

// idleConnections fails the test if a connection that is opened by the request takes more than most bytes.
func idleConnections(t *testing.T, request string, most int64) {
	if underRace {
		t.Skip("the race detector changes what memory things take")
	}
	const n = 1000
	s := startServer(t, nil)
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := memory()
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols && res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
		conns[i] = c
	}
	eventually(t, "all snapshots are sent", func() bool { return s.hub.m.frames[frameSnapshot].Get() == n })
	per := (int64(memory()) - int64(before)) / n // below 0: what the tests before left was freed meanwhile
	t.Logf("%d bytes per idle connection with one subscription, this test's end included", per)
	if per > most {
		t.Errorf("an idle connection takes %d bytes", per)
	}
}
