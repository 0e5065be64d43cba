package push

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// stacks is what the stacks of all goroutines take, those that have ended left out.
func stacks() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
}

func TestASilentClientIsWaitedForOnASmallStack(t *testing.T) {
	if testing.Short() || underRace || runtime.GOOS != "linux" {
		t.Skip("opens 500 connections, and measures their stacks")
	}
	s := startServer(t, nil)
	const clients = 500
	before := stacks()
	for i := range clients {
		c := s.dialRaw(t, "")
		if _, err := c.Write(clientFrame(0x81, fmt.Sprintf(`{"type":"subscribe","payload":{"id":"a","patterns":["p%d"]}}`, i))); err != nil {
			t.Fatal(err)
		}
		for op, body, err := c.frame(); ; op, body, err = c.frame() {
			if err != nil || op == opClose {
				t.Fatalf("opcode %d, %q, %v", op, body, err)
			}
			if bytes.HasPrefix(body, []byte(`{"type":"subscribed"`)) {
				break
			}
		}
	}
	// The HTTP server's goroutines and the writers end in their own time.
	eventually(t, "a connection has 3 KiB of stack", func() bool { return (stacks()-before)/clients <= 3<<10 })
}
