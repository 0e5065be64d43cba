package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"
)

// fleet sends readings at a fixed rate over all its devices. One goroutine paces all of them in steps of
// 2 ms, and the frames of one device that are due in a step leave in one write, so that the load costs
// little beside the server on the same machine.
type fleet struct {
	cfg   E2E
	conns []*device

	sent     atomic.Int64
	accepted atomic.Int64
	refused  atomic.Int64
}

type device struct {
	gws.BuiltinEventHandler
	fleet *fleet
	conn  *gws.Conn
	raw   net.Conn
	path  string
	next  int64 // readings made
	seq   int64
	body  []byte
	out   []byte
}

const paceStep = 2 * time.Millisecond

func dialFleet(url string, cfg E2E) (*fleet, error) {
	f := &fleet{cfg: cfg}
	for i := range cfg.Devices {
		d := &device{fleet: f, path: fmt.Sprintf("bench/d%d", i)}
		conn, err := dial(d, &gws.ClientOption{Addr: url, ReadBufferSize: 4096})
		if err != nil {
			f.close()
			return nil, fmt.Errorf("connect device %d: %w", i, err)
		}
		d.conn, d.raw = conn, conn.NetConn()
		f.conns = append(f.conns, d)
		go conn.ReadLoop()
	}
	return f, nil
}

// dial opens a WebSocket. A failed handshake leaves a response whose body is to be closed.
func dial(handler gws.Event, option *gws.ClientOption) (*gws.Conn, error) {
	conn, response, err := gws.NewClient(handler, option)
	if response != nil && response.Body != nil && err != nil {
		return nil, errors.Join(err, response.Body.Close())
	}
	return conn, err
}

// OnMessage counts what receipts say. Only two numbers are of interest, so they are cut out of the text.
func (d *device) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer func() { _ = message.Close() }()
	text := message.Bytes()
	d.fleet.accepted.Add(max(0, numberAfter(text, `"accepted":`)))
	if retry := numberAfter(text, `"retry_after_ms":`); retry > 0 {
		d.fleet.refused.Add(1)
	}
}

// run paces until ctx ends. A write that blocks delays the pace, but not the due time that readings carry:
// the delay counts as latency.
func (f *fleet) run(ctx context.Context) error {
	perFrame := f.cfg.FrameReadings
	frames := f.cfg.Rate / float64(perFrame)
	start := time.Now()
	var done int64
	ticker := time.NewTicker(paceStep)
	defer ticker.Stop()
	for {
		due := int64(time.Since(start).Seconds() * frames)
		for ; done < due; done++ {
			at := start.UnixMicro() + int64(float64(done)*1e6/frames)
			f.conns[done%int64(len(f.conns))].appendFrame(at, perFrame)
		}
		if err := f.flush(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		f.sent.Store(done * int64(perFrame))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (f *fleet) flush() error {
	for _, d := range f.conns {
		if len(d.out) == 0 {
			continue
		}
		if _, err := d.raw.Write(d.out); err != nil {
			return fmt.Errorf("device %s: write: %w", d.path, err)
		}
		d.out = d.out[:0]
	}
	return nil
}

// close ends the connections once what they still have in flight is receipted, or after a second.
func (f *fleet) close() {
	var wait sync.WaitGroup
	for _, d := range f.conns {
		wait.Go(func() { _ = d.conn.WriteClose(1000, nil) })
	}
	wait.Wait()
}

// appendFrame adds one WebSocket frame of n readings whose newest was due at at (µs).
func (d *device) appendFrame(at int64, n int) {
	d.body = d.body[:0]
	if n == 1 {
		d.body = append(d.body, `{"device":"`...)
		d.body = append(d.body, d.path...)
		d.body = append(d.body, `","metric":"`...)
		d.body = d.appendReading(d.body, at)
	} else {
		d.seq++
		d.body = append(d.body, `{"device":"`...)
		d.body = append(d.body, d.path...)
		d.body = append(d.body, `","session":"bench","seq":`...)
		d.body = strconv.AppendInt(d.body, d.seq, 10)
		d.body = append(d.body, `,"readings":[`...)
		for i := range n {
			if i > 0 {
				d.body = append(d.body, ',')
			}
			d.body = append(d.body, `{"metric":"`...)
			d.body = d.appendReading(d.body, at-int64(n-1-i))
		}
		d.body = append(d.body, `]}`...)
	}
	d.out = appendClientFrame(d.out, d.body)
}

var benchMetrics = [...]string{"temperature", "pressure", "vibration", "current", "voltage", "speed", "torque", "level", "flow", "humidity"}

func (d *device) appendReading(dst []byte, at int64) []byte {
	i := d.next
	d.next++
	value := 20 + float64((i*2654435761)%1000)/200
	if i%1009 == 7 {
		value += 60
	}
	dst = append(dst, benchMetrics[i%int64(min(d.fleet.cfg.Metrics, len(benchMetrics)))]...)
	dst = append(dst, `","ts":`...)
	dst = strconv.AppendInt(dst, at, 10)
	dst = append(dst, `,"value":`...)
	dst = strconv.AppendFloat(dst, value, 'f', 3, 64)
	return append(dst, '}')
}

// appendClientFrame appends a final text frame, masked with a zero key: legal, and it costs the load
// nothing.
func appendClientFrame(dst, payload []byte) []byte {
	const finalText, masked = 0x81, 0x80
	dst = append(dst, finalText)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = append(dst, masked|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, masked|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, payload...)
}
