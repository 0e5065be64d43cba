package bench

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/lxzan/gws"
)

// audience is the dashboards. They read every row of every frame, but cut out only what the measures need.
type audience struct {
	conns []*dashboard

	subscribed atomic.Int64
	recording  atomic.Bool
}

type dashboard struct {
	gws.BuiltinEventHandler
	audience *audience
	conn     *gws.Conn

	mu       sync.Mutex
	latency  *hdrhistogram.Histogram
	rows     int64
	readings int64
	frames   int64
	bytes    int64
	err      error
}

// lowest and highest latency told apart, in microseconds.
const (
	minLatency = 1
	maxLatency = 60_000_000
)

func dialAudience(url string, cfg E2E) (*audience, error) {
	a := &audience{}
	for i := range cfg.Dashboards {
		d := &dashboard{audience: a, latency: hdrhistogram.New(minLatency, maxLatency, 3)}
		conn, err := dial(d, &gws.ClientOption{Addr: url, ReadBufferSize: 32 << 10, ReadMaxPayloadSize: 64 << 20})
		if err != nil {
			a.close()
			return nil, fmt.Errorf("connect dashboard %d: %w", i, err)
		}
		d.conn = conn
		a.conns = append(a.conns, d)
		go conn.ReadLoop()
		if err := conn.WriteString(subscribeMessage(cfg, i)); err != nil {
			a.close()
			return nil, fmt.Errorf("subscribe dashboard %d: %w", i, err)
		}
	}
	return a, nil
}

// subscribeMessage asks for all devices, or for a window of cfg.Sees devices that begins at another one for
// each dashboard.
func subscribeMessage(cfg E2E, i int) string {
	patterns := []string{`"bench/#"`}
	if cfg.Sees > 0 && cfg.Sees < cfg.Devices {
		patterns = patterns[:0]
		for k := range cfg.Sees {
			patterns = append(patterns, fmt.Sprintf(`"bench/d%d/#"`, (i*cfg.Sees+k)%cfg.Devices))
		}
	}
	return fmt.Sprintf(`{"type":"subscribe","payload":{"id":"bench","patterns":[%s],"max_hz":%g}}`,
		strings.Join(patterns, ","), cfg.MaxHz)
}

// Positions in a row after the series' index: see docs/protocol/live.md.
const (
	columnN        = 3
	columnLastTime = 7
	columns        = 20
)

var (
	updatesPrefix    = []byte(`{"type":"updates"`)
	subscribedPrefix = []byte(`{"type":"subscribed"`)
	rowsKey          = []byte(`"rows":[[`)
)

func (d *dashboard) OnMessage(_ *gws.Conn, message *gws.Message) {
	now := time.Now().UnixMicro()
	defer func() { _ = message.Close() }()
	text := message.Bytes()
	switch {
	case bytes.HasPrefix(text, subscribedPrefix):
		d.audience.subscribed.Add(1)
	case bytes.HasPrefix(text, updatesPrefix):
		d.updates(now, text)
	}
}

func (d *dashboard) updates(now int64, text []byte) {
	if !d.audience.recording.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.frames++
	d.bytes += int64(len(text))
	start := bytes.Index(text, rowsKey)
	if start < 0 {
		return
	}
	rows := text[start+len(rowsKey):]
	for {
		end := bytes.IndexByte(rows, ']')
		if end < 0 {
			d.err = fmt.Errorf("a row without end in %.80q", text)
			return
		}
		d.row(now, rows[:end])
		rows = rows[end+1:]
		if len(rows) < 2 || rows[0] != ',' {
			return
		}
		rows = rows[2:]
	}
}

func (d *dashboard) row(now int64, row []byte) {
	d.rows++
	for column := 0; column <= columnLastTime; column++ {
		end := bytes.IndexByte(row, ',')
		if end < 0 {
			d.err = fmt.Errorf("a row with %d columns, want %d", column+1, columns)
			return
		}
		switch column {
		case columnN:
			d.readings += number(row[:end])
		case columnLastTime:
			if at := number(row[:end]); at > 0 {
				_ = d.latency.RecordValue(min(maxLatency, max(minLatency, now-at)))
			}
		}
		row = row[end+1:]
	}
}

// received sums up over all dashboards.
type received struct {
	latency                       *hdrhistogram.Histogram
	rows, readings, frames, bytes int64
}

func (a *audience) collect() (received, error) {
	sum := received{latency: hdrhistogram.New(minLatency, maxLatency, 3)}
	for i, d := range a.conns {
		d.mu.Lock()
		if d.err != nil {
			d.mu.Unlock()
			return sum, fmt.Errorf("dashboard %d: %w", i, d.err)
		}
		sum.latency.Merge(d.latency)
		sum.rows += d.rows
		sum.readings += d.readings
		sum.frames += d.frames
		sum.bytes += d.bytes
		d.mu.Unlock()
	}
	return sum, nil
}

func (a *audience) close() {
	var wait sync.WaitGroup
	for _, d := range a.conns {
		wait.Go(func() { _ = d.conn.WriteClose(1000, nil) })
	}
	wait.Wait()
}

// number reads the leading decimal integer of text; anything else, such as null, is 0.
func number(text []byte) (n int64) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return n
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

func numberAfter(text []byte, key string) (n int64) {
	for {
		i := bytes.Index(text, []byte(key))
		if i < 0 {
			return n
		}
		text = text[i+len(key):]
		n += number(text)
	}
}
