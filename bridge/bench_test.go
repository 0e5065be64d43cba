package bridge

import (
	"context"
	"fmt"
	"testing"
	"time"

	"weir/kafka"
)

func BenchmarkApply(b *testing.B) {
	p, err := Parse([]byte(orders))
	must(b, err)
	one := p.Bridges()[0]
	now := time.Now()
	r := kafka.Record{Key: []byte("k"), Time: now.UnixMilli(),
		Value: []byte(`{"site":"plant1","line":"ops","title":"Oil leak","due":"2026-01-01","lines":[{"sku":"a","n":1},{"sku":"b","n":2}]}`)}
	b.ReportAllocs()
	for b.Loop() {
		if out := one.Apply(Origin{Topic: "erp.orders", Record: &r}, now); out.Verdict != Sent {
			b.Fatal(out.Failure)
		}
	}
}

// BenchmarkCarry is how long a record takes from its topic to weir.messages, committed, one partition on the embedded broker.
func BenchmarkCarry(b *testing.B) {
	w := open(b)
	w.topic("erp.orders", 1)
	for i := range b.N {
		value := fmt.Appendf(nil, `{"site":"plant1","line":"ops","title":"%d"}`, i)
		must(b, w.producer.Produce(context.Background(), "erp.orders", 0, []kafka.Record{{Value: value}}, nil))
	}
	must(b, w.producer.Flush(context.Background()))
	r := w.run(orders)
	eventually(b, "it has begun", func() bool { return len(r.State()) == 1 && len(r.State()[0].Partitions) == 1 })
	begin := r.State()[0].Partitions[0].Next
	b.ResetTimer()
	for r.State()[0].Partitions[0].Next < int64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(int64(b.N)-begin)/max(b.Elapsed().Seconds(), 1e-9), "records/s")
}
