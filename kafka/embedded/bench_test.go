package embedded

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// setups compare ways to reach the broker and to make writes durable.
var setups = []struct {
	name   string
	unix   bool
	opts   []kfake.Opt
	period time.Duration
}{
	{name: "memory"},
	{name: "memory/sync-1s", period: time.Second},
	{name: "memory/sync-100ms", period: 100 * time.Millisecond},
	{name: "memory/fsync-each", opts: []kfake.Opt{kfake.SyncWrites()}},
	{name: "unix", unix: true},
}

// overSetups runs a benchmark over each with a function that connects.
func overSetups(b *testing.B, run func(*testing.B, func() *raw)) {
	for i := range setups {
		s := &setups[i]
		b.Run(s.name, func(b *testing.B) {
			br := &Broker{dir: b.TempDir(), listener: newListener(), log: slog.New(slog.DiscardHandler)}
			opts := append(br.clusterOptions(DefaultConfig()), s.opts...)
			dial := func() (net.Conn, error) { return br.Dial(b.Context(), "", "") }
			if s.unix {
				path := filepath.Join(br.dir, "sock")
				opts = append(opts, kfake.ListenFn(func(string, string) (net.Listener, error) { return net.Listen("unix", path) }))
				dial = func() (net.Conn, error) { return net.Dial("unix", path) }
			}
			cluster, err := kfake.NewCluster(opts...)
			must(b, err)
			defer cluster.Close()
			must(b, cluster.CreateTopic("a", 1, nil))
			if s.period > 0 {
				go newSyncer(br.dir).run(b.Context(), s.period, func(err error) { b.Error(err) })
			}
			run(b, func() *raw {
				c, err := dial()
				must(b, err)
				b.Cleanup(func() { c.Close() })
				return newRaw(c)
			})
		})
	}
}

func BenchmarkProduceAck(b *testing.B) {
	overSetups(b, func(b *testing.B, dial func() *raw) {
		r := dial()
		p := get[producer](b)(r.initProducer(""))
		rec := number(0, 500)
		took := make([]time.Duration, 0, b.N)
		for seq := int32(0); b.Loop(); seq++ {
			began := time.Now()
			get[int64](b)(r.produce("a", 0, p, seq, rec))
			took = append(took, time.Since(began))
		}
		reportQuantiles(b, took)
	})
}

// BenchmarkProduceToFetch is the time from sending a record to having it in a fetch that waited for it, at
// up to 1,000 records/s, and the processor time of client and broker for the two requests.
func BenchmarkProduceToFetch(b *testing.B) {
	overSetups(b, func(b *testing.B, dial func() *raw) {
		w, r := dial(), dial()
		p := get[producer](b)(w.initProducer(""))
		got := make(chan time.Time)
		done := make(chan struct{})
		defer func() { <-done }()
		go func() {
			defer close(done)
			defer close(got)
			for at := int64(0); ; {
				recs, err := r.fetch("a", 0, at, 10_000)
				if err != nil {
					return
				}
				for range recs {
					got <- time.Now()
				}
				at += int64(len(recs))
			}
		}()
		rec := number(0, 500)
		took := make([]time.Duration, 0, b.N)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		cpu := cpuTime()
		for seq := int32(0); b.Loop(); seq++ {
			<-tick.C
			began := time.Now()
			get[int64](b)(w.produce("a", 0, p, seq, rec))
			took = append(took, (<-got).Sub(began))
		}
		b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(len(took)), "cpu-µs/op")
		reportQuantiles(b, took)
		r.conn.Close()
	})
}

func BenchmarkThroughput(b *testing.B) {
	overSetups(b, func(b *testing.B, dial func() *raw) {
		w, r := dial(), dial()
		p := get[producer](b)(w.initProducer(""))
		recs := make([]record, 1000)
		for i := range recs {
			recs[i] = number(int64(i), 100)
		}
		b.SetBytes(int64(len(encodeBatch(p, 0, recs))))
		done := make(chan struct{})
		total := make(chan int64, 1)
		go func() {
			defer close(done)
			for at, end := int64(0), int64(-1); at != end; {
				got, err := r.fetch("a", 0, at, 100)
				if err != nil {
					b.Error(err)
					return
				}
				at += int64(len(got))
				select {
				case end = <-total:
				default:
				}
			}
		}()
		seq := int32(0)
		for b.Loop() {
			get[int64](b)(w.produce("a", 0, p, seq, recs...))
			seq += int32(len(recs))
		}
		total <- int64(seq)
		<-done
	})
}

func BenchmarkOpenAfterCrash(b *testing.B) {
	for _, clean := range []bool{false, true} {
		b.Run(fmt.Sprintf("clean=%v", clean), func(b *testing.B) {
			dir := b.TempDir()
			br := open(b, Options{Dir: dir})
			r := rawClient(b, br)
			must(b, r.createTopic("a", 4, nil))
			p := get[producer](b)(r.initProducer(""))
			const batches, size = 25_000, 2000
			for i := range int32(batches) {
				get[int64](b)(r.produce("a", i%4, p, i/4, number(int64(i), size)))
			}
			must(b, br.Close())
			b.SetBytes(batches * size)
			for b.Loop() {
				if !clean {
					must(b, removeIfExists(filepath.Join(dir, cleanFile)))
				}
				br := open(b, Options{Dir: dir})
				b.StopTimer()
				must(b, br.Close())
				b.StartTimer()
			}
		})
	}
}

func reportQuantiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	for _, q := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*q/100].Nanoseconds())/1000, fmt.Sprintf("p%d-µs", q))
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
