package push

import (
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"weir/telemetry"
)

// benchBatch is n updates of as many series, whose versions advance with each call of the result.
func benchBatch(n int) func() []telemetry.Update {
	us := make([]telemetry.Update, n)
	for i := range us {
		us[i] = single(fmt.Sprintf("plant1/line%d/press%d/temperature", i/10, i), -1, 20+float64(i)/16)
		us[i].Version, us[i].Since = telemetry.NoVersion, telemetry.NoVersion
	}
	v := telemetry.NoVersion
	return func() []telemetry.Update {
		v++
		for i := range us {
			us[i].Since, us[i].Version = v-1, v
		}
		return us
	}
}

// openView opens a view that nobody reads and that never speaks by itself.
func openView(h *hub, nth int, texts ...string) *view {
	h.mu.Lock()
	defer h.mu.Unlock()
	ps, key := canonical(patterns(texts...))
	v := h.openViewLocked(viewKey{patterns: key + strconv.Itoa(nth), hz: 0.01}, ps, h.store.selected(ps, 1<<30))
	v.flushed = h.now()
	return v
}

func BenchmarkApply(b *testing.B) {
	for _, views := range []int{0, 1, 20} {
		b.Run(fmt.Sprintf("views=%d", views), func(b *testing.B) {
			h := testHub()
			next := benchBatch(1000)
			h.apply(0, next(), 0)
			for i := range views {
				v := openView(h, i, "plant1/#")
				defer v.stop()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += 1000 {
				h.apply(0, next(), int64(i))
			}
		})
	}
}

func BenchmarkEncodeFramePerRow(b *testing.B) {
	h := testHub()
	next := benchBatch(1000)
	h.apply(0, next(), 0)
	v := openView(h, 0, "plant1/#")
	defer v.stop()
	h.apply(0, next(), 1)
	bytes := 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += v.pending.len() {
		f := updatesFrame(rows{view: 1, dictionary: v.dictionary, from: len(v.dictionary), gathered: &v.pending, cursor: "c", pushed: 1, size: v.size})
		v.size, bytes = len(f.body), len(f.body)
	}
	b.ReportMetric(float64(bytes)/1000, "bytes/row")
}

// BenchmarkEncodingsPerRow is what a row takes in a shared frame of 1,000, by encoding.
func BenchmarkEncodingsPerRow(b *testing.B) {
	h := testHub()
	next := benchBatch(1000)
	h.apply(0, next(), 0)
	v := openView(h, 0, "plant1/#")
	defer v.stop()
	us := next()
	for i := range us { // as those of a detector are
		us[i].Last, us[i].Avg = 20+math.Sin(float64(i)), 20+math.Sin(float64(i))/3
		us[i].Lo, us[i].Hi, us[i].Score = us[i].Avg-math.Pi, us[i].Avg+math.Pi, 1/(float64(i)+3)
	}
	h.apply(0, us, 1)
	told := rows{view: 1, dictionary: v.dictionary, from: len(v.dictionary), gathered: &v.pending, cursor: "c", pushed: 1}
	for _, c := range []struct {
		name string
		e    encoding
	}{
		{"JSON", asJSON}, {"JSON, compressed", asJSONDeflate}, {"protobuf", asProto}, {"protobuf, compressed", asProtoDeflate}, {"events", asEvents},
	} {
		b.Run(c.name, func(b *testing.B) {
			bytes := 0
			b.ReportAllocs()
			for i := 0; i < b.N; i += v.pending.len() {
				var made variants
				f := h.deflater.squeeze(*made.frame(c.e, told.cursor, told.frame))
				bytes = f.size()
			}
			b.ReportMetric(float64(bytes)/1000, "bytes/row")
		})
	}
}

// BenchmarkFanOut sends a frame of 50 rows to 1,000 clients over loopback TCP and waits until all have it.
func BenchmarkFanOut(b *testing.B) {
	const clients, series = 1000, 50
	h := testHub()
	next := benchBatch(series)
	h.apply(0, next(), 0)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	got := &countWriter{reached: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	conns := make([]*client, clients)
	for i := range conns {
		far, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		near, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer far.Close()
		defer near.Close()
		wg.Go(func() { _, _ = io.Copy(got, far) })
		conns[i] = &client{hub: h, conn: near, limits: limits{losslessBytes: 1 << 20}}
		if err := h.subscribe(conns[i], "x", choice{patterns: patterns("#"), hz: 0}, nil); err != nil {
			b.Fatal(err)
		}
	}
	for h.m.frames[frameSnapshot].Get() < clients || got.n.Load() != int64(h.m.bytes.Get()) {
		runtime.Gosched()
	}
	v := conns[0].subs.named("x").view
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		us := next()
		got.goal.Store(1 << 62)
		before := got.n.Load()
		h.apply(0, us, int64(i))
		got.expect(before + int64(v.size)*clients)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/clients, "ns/client")
	b.ReportMetric(float64(v.size), "bytes/frame")
	if h.m.frames[framePrivate].Get() > 0 {
		b.Error("some clients fell behind: the frames were not all shared")
	}
	for _, c := range conns {
		_ = c.conn.Close()
	}
	wg.Wait()
}

// countWriter counts what all clients have received, and tells when a goal is reached.
type countWriter struct {
	n, goal atomic.Int64
	reached chan struct{}
}

func (w *countWriter) Write(p []byte) (int, error) {
	n := w.n.Add(int64(len(p)))
	if goal := w.goal.Load(); n >= goal && n-int64(len(p)) < goal {
		w.reached <- struct{}{}
	}
	return len(p), nil
}

func (w *countWriter) expect(goal int64) {
	w.goal.Store(goal)
	if w.n.Load() >= goal {
		select {
		case <-w.reached:
		default:
		}
		return
	}
	<-w.reached
}
