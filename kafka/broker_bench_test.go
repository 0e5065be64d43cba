package kafka_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"weir/kafka"
	"weir/kafka/kafkatest"
)

const benchTopic = "bench"

func benchClient(b *testing.B) (*kafka.Client, kafka.Options) {
	b.Helper()
	cluster := kafkatest.Embedded(b)
	b.Cleanup(cluster.Close)
	opts := cluster.Options()
	client, err := kafka.New(opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	if err := client.EnsureTopics(context.Background(), []kafka.TopicSpec{{Name: benchTopic, Partitions: 1}}); err != nil {
		b.Fatal(err)
	}
	return client, opts
}

func benchProducer(b *testing.B, client *kafka.Client, linger time.Duration) *kafka.Producer {
	b.Helper()
	p, err := client.NewProducer(context.Background(), kafka.ProducerOptions{Linger: linger})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	return p
}

// fill produces n records of 100 bytes.
func fill(b *testing.B, p *kafka.Producer, n int) {
	b.Helper()
	recs := []kafka.Record{{Key: []byte("plant1/line3/press7"), Value: make([]byte, 100)}}
	failed := func(_ int64, err error) {
		if err != nil {
			b.Error(err)
		}
	}
	for range n {
		if err := p.Produce(context.Background(), benchTopic, 0, recs, failed); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkProduce(b *testing.B) {
	client, _ := benchClient(b)
	p := benchProducer(b, client, 2*time.Millisecond)
	b.ReportAllocs()
	b.ResetTimer()
	fill(b, p, b.N)
}

func BenchmarkProduceSync(b *testing.B) {
	client, _ := benchClient(b)
	p := benchProducer(b, client, 0)
	recs := []kafka.Record{{Value: make([]byte, 100)}}
	for b.Loop() {
		if _, err := p.ProduceSync(context.Background(), benchTopic, 0, recs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProduceToFetch(b *testing.B) {
	client, _ := benchClient(b)
	p := benchProducer(b, client, 2*time.Millisecond)
	tail := client.NewTail(kafka.TailOptions{Topic: benchTopic, Offset: kafka.FirstOffset})
	b.Cleanup(func() { _ = tail.Close() })
	b.ResetTimer()
	got := make(chan error, 1)
	go func() {
		for n := 0; n < b.N; {
			f, err := tail.Next(context.Background())
			if err != nil {
				got <- err
				return
			}
			n += len(f.Records)
		}
		got <- nil
	}()
	fill(b, p, b.N)
	if err := <-got; err != nil {
		b.Fatal(err)
	}
}

const fetchedRecords = 200_000

func BenchmarkTail(b *testing.B) {
	client, _ := benchClient(b)
	fill(b, benchProducer(b, client, 0), fetchedRecords)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		err := client.ReadRange(context.Background(), benchTopic, 0, 0, fetchedRecords, func(*kafka.Record) error {
			n++
			return nil
		})
		if err != nil || n != fetchedRecords {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.N*fetchedRecords)/b.Elapsed().Seconds(), "records/s")
}

// The same through kafka-go's own fetch, which is why Tail has one of its own.
func BenchmarkTailByKafkaGo(b *testing.B) {
	client, opts := benchClient(b)
	fill(b, benchProducer(b, client, 0), fetchedRecords)
	transport := &kafkago.Transport{Dial: opts.Dial}
	defer transport.CloseIdleConnections()
	api := &kafkago.Client{Addr: kafkago.TCP(opts.Brokers...), Transport: transport}
	b.ReportAllocs()
	for b.Loop() {
		for offset := int64(0); offset < fetchedRecords; {
			res, err := api.Fetch(context.Background(), &kafkago.FetchRequest{Topic: benchTopic, Offset: offset, MinBytes: 1, MaxBytes: 1 << 20})
			if err != nil {
				b.Fatal(err)
			}
			for {
				r, err := res.Records.ReadRecord()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
				offset = r.Offset + 1
			}
		}
	}
	b.ReportMetric(float64(b.N*fetchedRecords)/b.Elapsed().Seconds(), "records/s")
}
