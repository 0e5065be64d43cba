package device_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"weir/config"
	device "weir/sdk/go"
)

// sieve is a connection on which messages of the server can be swallowed, as by a broken proxy between. It reads what is
// neither compressed nor fragmented.
type sieve struct {
	net.Conn
	keep func(message []byte) bool
	in   []byte // of the server, not taken apart
	out  []byte // for the client
	open bool   // the upgrade was passed on
}

func (s *sieve) Read(b []byte) (int, error) {
	for len(s.out) == 0 {
		s.pass()
		if len(s.out) > 0 {
			break
		}
		chunk := make([]byte, 64<<10)
		n, err := s.Conn.Read(chunk)
		if s.in = append(s.in, chunk[:n]...); err != nil && n == 0 {
			return 0, err
		}
	}
	n := copy(b, s.out)
	s.out = s.out[n:]
	return n, nil
}

// pass hands on what is whole.
func (s *sieve) pass() {
	if !s.open {
		end := bytes.Index(s.in, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		s.out, s.in, s.open = append(s.out, s.in[:end+4]...), s.in[end+4:], true
	}
	for len(s.in) >= 2 {
		head, size := 2, int(s.in[1]&0x7f)
		switch size {
		case 126:
			head = 4
		case 127:
			head = 10
		}
		if len(s.in) < head {
			return
		}
		if head > 2 {
			size = 0
			for _, b := range s.in[2:head] {
				size = size<<8 | int(b)
			}
		}
		if len(s.in) < head+size {
			return
		}
		if s.keep(s.in[head : head+size]) {
			s.out = append(s.out, s.in[:head+size]...)
		}
		s.in = s.in[head+size:]
	}
}

// hole swallows messages while it is open, and counts them by kind.
type hole struct {
	mu        sync.Mutex
	open      bool
	alerts    bool // these too
	swallowed map[string]int
}

func (h *hole) keep(message []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for kind, falls := range map[string]bool{"updates": h.open, "alert": h.open && h.alerts} {
		if falls && bytes.HasPrefix(message, []byte(`{"type":"`+kind+`"`)) {
			h.swallowed[kind]++
			return false
		}
	}
	return true
}

func (h *hole) set(open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = open
}

func (h *hole) has(updates, alerts int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.swallowed["updates"] >= updates && h.swallowed["alert"] >= alerts
}

const hotPlan = `
pipelines:
  - match: "plant1/#"
    rules: off
  - match: "plant1/#"
    rules: [{name: hot, kind: threshold, above: 90}]
`

// An alert that fires and ends while messages do not reach the client is told when it finds that out, and once.
func TestWhatARealServersConnectionLostIsToldOnce(t *testing.T) {
	c := config.Default()
	c.PipelinesFile = filepath.Join(t.TempDir(), "plans.yaml")
	if err := os.WriteFile(c.PipelinesFile, []byte(hotPlan), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, alerts := range []bool{false, true} {
		t.Run(fmt.Sprintf("alerts lost: %v", alerts), func(t *testing.T) {
			w := startWeir(t, c)
			h := &hole{alerts: alerts, swallowed: make(map[string]int)}
			l := w.live(func(o *device.LiveOptions) {
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, address)
					if err != nil {
						return nil, err
					}
					return &sieve{Conn: conn, keep: h.keep}, nil
				}
			})
			told := make(map[string]int)
			readings, last := uint64(0), 0.0
			sub, err := l.Subscribe(device.SubscribeOptions{Patterns: []string{"plant1/#"}, MaxHz: device.Unlimited})
			if err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			read := func(what string, enough func() bool) {
				t.Helper()
				for !enough() {
					c, err := sub.Next(ctx)
					if err != nil {
						t.Fatalf("%s: %v; alerts %v, %d readings, %+v", what, err, told, readings, sub.Stats())
					}
					for i := range c.Rows {
						readings, last = readings+c.Rows[i].N, c.Rows[i].Last
					}
					for i := range c.Alerts {
						told[string(c.Alerts[i].Phase)]++
					}
				}
			}
			if c, err := sub.Next(ctx); err != nil || !c.Reset || len(c.Rows) > 0 {
				t.Fatalf("%+v, %v", c, err)
			}
			p := newPress(t, w, 1)
			p.send(20)
			read("the first", func() bool { return last == 20 })
			h.set(true)
			p.send(95)
			p.send(21)
			lost := 0
			if alerts {
				lost = 2
			}
			for !h.has(1, lost) {
				if ctx.Err() != nil {
					t.Fatalf("swallowed %v", h.swallowed)
				}
				time.Sleep(time.Millisecond)
			}
			h.set(false)
			p.send(22)
			read("the last", func() bool { return last == 22 && told["resolved"] > 0 })
			n := sub.Stats()
			if readings != 4 || told["firing"] != 1 || told["resolved"] != 1 || n.Gaps != 1 || n.Resumes != 1 || n.Resyncs > 0 {
				t.Errorf("%d readings, alerts %v, %+v", readings, told, n)
			}
		})
	}
}
