package ingest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"weir/kafka"
)

// nullProducer acknowledges at once, in the caller's goroutine.
type nullProducer struct{}

func (nullProducer) Produce(_ context.Context, _ string, _ int, _ []kafka.Record, done func(int64, error)) error {
	done(0, nil)
	return nil
}

// unhindered has every limit on, and none of them is met: what they cost is in the numbers.
func unhindered(o *Options) {
	most := Limit{Rate: 1 << 30, Burst: 1 << 30}
	o.Config.Limits = Limits{Device: most, Key: most, Tenant: most, Global: most, Remembered: 1 << 10}
	o.Lags = new(lagging)
}

func benchFrame(readings int) []byte {
	const reading = `{"metric":"temperature","ts":1700000000%06d,"value":21.%d}`
	items := make([]string, readings)
	for i := range items {
		items[i] = fmt.Sprintf(reading, i, i)
	}
	return masked(opText, []byte(`{"device":"plant1/line3/press7","readings":[`+strings.Join(items, ",")+`]}`))
}

// BenchmarkSocket sends frames over loopback connections to a producer that does nothing. The client's side,
// a bare write per frame and a read of whatever comes, is in the same process and in the numbers.
func BenchmarkSocket(b *testing.B) {
	for _, c := range []struct{ devices, readings, burst int }{{1, 1, 1}, {10, 1, 1}, {10, 1, 16}, {10, 100, 1}} {
		b.Run(fmt.Sprintf("devices=%d/readings=%d/burst=%d", c.devices, c.readings, c.burst), func(b *testing.B) {
			s := start(b, nullProducer{}, unhindered)
			frame := benchFrame(c.readings)
			burst := make([]byte, 0, len(frame)*c.burst)
			for range c.burst {
				burst = append(burst, frame...)
			}
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			var sent atomic.Int64
			var clients sync.WaitGroup
			type link struct {
				io.Writer
				*bufio.Reader
			}
			links := make([]link, c.devices)
			for i := range links {
				links[i].Writer, links[i].Reader = s.rawDial(b, nil)
			}
			b.ResetTimer()
			for _, l := range links {
				clients.Go(func() {
					for sent.Add(int64(c.burst)) <= int64(b.N) {
						if _, err := l.Write(burst); err != nil {
							return
						}
					}
				})
				go func() { _, _ = io.Copy(io.Discard, l.Reader) }()
			}
			clients.Wait()
			eventually(b, "all answered", func() bool { return s.inflight.Load() == 0 })
			b.ReportMetric(float64(c.readings)*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
			b.ReportMetric(float64(s.count(`weir_ingest_receipt_writes_total`))/float64(b.N), "writes/frame")
		})
	}
}

// BenchmarkSubmit is the work of one frame without sockets.
func BenchmarkSubmit(b *testing.B) {
	for _, readings := range []int{1, 100} {
		b.Run(fmt.Sprintf("readings=%d", readings), func(b *testing.B) {
			s := start(b, nullProducer{}, unhindered)
			frame := benchFrame(readings)
			payload := frame[strings.IndexByte(string(frame), '{'):]
			e, r := newEncoder(s.Server, dialect{}), newReceipt(func() {})
			b.ReportAllocs()
			for b.Loop() {
				r.begin(1, 64, nowMicros())
				e.submit(context.Background(), payload, r)
				r.release()
			}
		})
	}
}
