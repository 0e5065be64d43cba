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
		fmt.Fprintf(c, "GET /v1/live?subscribe=%%23 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(res, err)
		}
		conns[i] = c
	}
	eventually(t, "all snapshots are sent", func() bool { return s.hub.m.frames[frameSnapshot].Get() == n })
	per := (memory() - before) / n
	t.Logf("%d bytes per idle connection with one subscription, this test's end included", per)
	if per > 16<<10 {
		t.Errorf("an idle connection takes %d bytes", per)
	}
}
