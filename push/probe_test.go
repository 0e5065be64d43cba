package push

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"weir/internal/wsframe"
	"weir/telemetry"
	"weir/wire"
)

// Clients that read in small pieces, and then all there is. That begins with what the kernels had, a frame in flight and one
// that waited. The next is the newest there is, and adds up with them.
func TestSlowReaderGetsWhatIsNewAndLittleThatIsOld(t *testing.T) {
	const names, ticks, held = 100, 200, 64 << 10
	for name, piece := range map[string]func(tick int) int{
		"a byte each tick":           func(int) int { return 1 },
		"1,000 bytes each tick":      func(int) int { return 1000 },
		"reads 20 ticks, not others": func(tick int) int { return held * (1 - tick/20%2) },
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, nil)
			feed := func(v telemetry.Version) {
				us := make([]telemetry.Update, names)
				for i := range us {
					us[i] = single(fmt.Sprintf("p/d%d/m", i), v, float64(v))
				}
				s.feed(us...)
			}
			feed(0)
			tcp, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			if err := tcp.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			c := upgradeRaw(t, tcp, "?subscribe=%23&max_hz=0")
			eventually(t, "it subscribes", func() bool { return s.hub.m.subscriptions.Load() == 1 })

			near, most := s.conns.list()[0], 0
			pieces, in := io.Pipe()
			defer in.Close()
			raw := c.in
			c.in = bufio.NewReaderSize(pieces, 16)
			told := make(chan []byte, 10*ticks)
			go func() { // answers pings when it has come to them
				for {
					op, body, err := c.frame()
					if err != nil {
						return
					}
					if op == wsframe.OpPing {
						_, _ = c.Write(clientFrame(0x8a, string(body)))
					} else {
						told <- body
					}
				}
			}()
			for v := telemetry.Version(1); v < ticks; v++ {
				feed(v)
				_ = c.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
				_, _ = io.CopyN(in, raw, int64(piece(int(v))))
				most = max(most, unacknowledged(near.conn))
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			f, old, frames := newFollower(t), 0, 0
			for len(told) > 0 {
				f.take(<-told)
			}
			feed(ticks)
			go func() { _, _ = io.Copy(in, raw) }()
			for fresh := false; !fresh; {
				body := <-told
				m, ok := f.take(body).(*wire.Updates)
				if fresh = ok && m.Rows[0].Update.Version == ticks; ok && !fresh {
					old += len(body)
					frames++
				}
			}
			t.Logf("%d bytes in the kernel at most; then %d frames of %d bytes that were old", most, frames, old)
			if most > held {
				t.Errorf("the kernel held %d bytes", most)
			}
			if old > held {
				t.Errorf("%d bytes were old", old)
			}
			for i := range names {
				if got := f.series("#", fmt.Sprintf("p/d%d/m", i)); got.seen != ticks || got.n != uint64(ticks-got.base) {
					t.Fatalf("%+v", got)
				}
			}
		})
	}
}
