//go:build soak

package soak

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

// perFrame is how many readings a frame of the overload has.
const perFrame = 100

// flooder is a device that costs this machine little: its frames differ in their number only.
type flooder struct {
	gws.BuiltinEventHandler
	path   string
	conn   *gws.Conn
	frame  []byte // header, zero mask, text
	digits int    // where the number is in it

	sent, receipts atomic.Int64 // frames
	accepted       atomic.Int64 // readings
	credit         atomic.Int64
	pause          atomic.Int64 // until then (Unix ms) an honest device sends nothing
	changed        chan struct{}

	leaving atomic.Bool // it closes the connection itself

	mu      sync.Mutex
	refused map[string]int // frames by code
	wrong   []string
}

// firstNumber has as many digits as all that follow.
const firstNumber = 1_000_000_000

func dialFlooder(t *testing.T, addr, path, token string) *flooder {
	t.Helper()
	f := &flooder{path: path, refused: map[string]int{}, changed: make(chan struct{}, 1)}
	f.credit.Store(16)
	head := fmt.Sprintf(`{"device":%q,"session":"flood","seq":`, path)
	var readings []string
	for i := range perFrame {
		readings = append(readings, fmt.Sprintf(`{"metric":"m%d","value":%d.5}`, i%4, i))
	}
	body := head + strconv.Itoa(firstNumber) + `,"readings":[` + strings.Join(readings, ",") + `]}`
	f.frame = append(f.frame, 0x81, 0x80|126)
	f.frame = binary.BigEndian.AppendUint16(f.frame, uint16(len(body)))
	f.frame = append(f.frame, 0, 0, 0, 0)
	f.digits = len(f.frame) + len(head)
	f.frame = append(f.frame, body...)
	conn, _, err := gws.NewClient(f, &gws.ClientOption{
		Addr: "ws://" + addr + "/v1/ingest", RequestHeader: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		t.Fatalf("connect %s: %v", path, err)
	}
	f.conn = conn
	go conn.ReadLoop()
	return f
}

func (f *flooder) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	r, err := wire.DecodeReceipt(m.Bytes())
	switch {
	case err != nil:
		f.complain("not a receipt: %.200s", m.Bytes())
	case r.Err != nil && r.RetryAfter > 0:
		f.pause.Store(time.Now().UnixMilli() + r.RetryAfter)
		f.mu.Lock()
		f.refused[r.Err.Code]++
		f.mu.Unlock()
	case r.Accepted != perFrame:
		f.complain("neither stored nor refused: %.300s", m.Bytes())
	default:
		f.accepted.Add(perFrame)
	}
	if err == nil {
		f.credit.Store(int64(max(1, r.Credit)))
	}
	f.receipts.Add(1)
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *flooder) OnClose(_ *gws.Conn, err error) {
	if !f.leaving.Load() {
		f.complain("closed: %v", err)
	}
}

func (f *flooder) close() {
	f.leaving.Store(true)
	_ = f.conn.WriteClose(1000, nil)
}

func (f *flooder) complain(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrong = append(f.wrong, fmt.Sprintf(f.path+": "+format, args...))
}

// write sends n frames at once.
func (f *flooder) write(buffer []byte, n int) ([]byte, error) {
	buffer = buffer[:0]
	for i := range n {
		start := len(buffer)
		buffer = append(buffer, f.frame...)
		number := strconv.AppendInt(nil, firstNumber+f.sent.Load()+int64(i), 10)
		copy(buffer[start+f.digits:], number)
	}
	if _, err := f.conn.NetConn().Write(buffer); err != nil {
		return buffer, err
	}
	f.sent.Add(int64(n))
	return buffer, nil
}

// obey sends as fast as credit allows, until ctx ends.
func (f *flooder) obey(ctx context.Context) {
	var buffer []byte
	for ctx.Err() == nil {
		room := f.credit.Load() - (f.sent.Load() - f.receipts.Load())
		if room < 1 || time.Now().UnixMilli() < f.pause.Load() {
			select {
			case <-f.changed:
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		var err error
		if buffer, err = f.write(buffer, int(room)); err != nil {
			f.complain("write: %v", err)
			return
		}
	}
}

// insist sends frames at a rate, whatever the server says, until ctx ends. What the socket does not take is late, not
// given up. It returns how many were due.
func (f *flooder) insist(ctx context.Context, rate float64) (due int64) {
	var buffer []byte
	began := time.Now()
	for ctx.Err() == nil {
		due = int64(time.Since(began).Seconds() * rate)
		n := min(due-f.sent.Load(), 128)
		if n < 1 {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		// Bounded, so that the end of ctx is seen; a frame that is cut in two would end the connection.
		var err error
		if buffer, err = f.write(buffer, int(n)); err != nil {
			f.complain("write: %v", err)
			return due
		}
	}
	return due
}

// settle waits until each frame has its receipt.
func (f *flooder) settle(t *testing.T) {
	eventually(t, 2*time.Minute, f.path+" has a receipt for each frame", func(context.Context) error {
		if sent, told := f.sent.Load(), f.receipts.Load(); told < sent {
			return fmt.Errorf("%d of %d", told, sent)
		}
		return nil
	})
}
