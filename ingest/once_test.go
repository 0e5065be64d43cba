package ingest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/pipeline"
	"weir/wire"
)

// plant is a broker with all topics, a pipeline that comes and goes, and any number of ingest servers.
type plant struct {
	t      *testing.T
	broker *embedded.Broker
	client *kafka.Client
	stop   func() // the pipeline
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	broker, err := embedded.Open(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	client, err := kafka.New(broker.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var specs []kafka.TopicSpec
	for _, spec := range wire.TopicSpecs() {
		specs = append(specs, kafka.TopicSpec{Name: spec.Name, Partitions: 4, Compact: spec.Compact})
	}
	if err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	return &plant{t: t, broker: broker, client: client}
}

// pipe runs a pipeline, after the one that ran before has stopped.
func (p *plant) pipe() *metrics.Set {
	p.t.Helper()
	if p.stop != nil {
		p.stop()
	}
	config, set := pipeline.DefaultConfig(), metrics.NewSet()
	config.CheckpointPeriod, config.FetchWait = 20*time.Millisecond, 50*time.Millisecond
	line, err := pipeline.New(pipeline.Options{Client: p.client, Config: config, Metrics: set})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := line.Run(ctx); err != nil {
			p.t.Errorf("pipeline: %v", err)
		}
	})
	p.stop = sync.OnceFunc(func() { cancel(); run.Wait() })
	p.t.Cleanup(p.stop)
	eventually(p.t, "the pipeline owns all partitions", line.Ready)
	return set
}

// instance is an ingest server with a producer of its own, as a process of its own would have.
func (p *plant) instance() *site {
	p.t.Helper()
	producer, err := p.client.NewProducer(p.t.Context(), kafka.ProducerOptions{CloseTimeout: time.Second})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = producer.Close() })
	return start(p.t, producer)
}

// counted sums, per series, how many readings the updates stand for.
func (p *plant) counted() map[string]uint64 {
	p.t.Helper()
	ranges, err := p.client.Offsets(p.t.Context(), wire.TopicUpdates)
	if err != nil {
		p.t.Fatal(err)
	}
	out := make(map[string]uint64)
	for partition, held := range ranges {
		var filter kafka.FenceFilter
		err := p.client.ReadRange(p.t.Context(), wire.TopicUpdates, partition, held.First, held.End, func(r *kafka.Record) error {
			if !filter.Accept(r) {
				return nil
			}
			rows, err := wire.DecodeUpdateBatch(r.Value, nil, nil)
			for i := range rows {
				out[rows[i].Series] += rows[i].N + rows[i].Late + rows[i].Invalid
			}
			return err
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return out
}

// numbered is a frame of two readings at the present time.
func numbered(device, session string, seq int) string {
	return fmt.Sprintf(`{"device":%q,"session":%q,"seq":%d,"readings":[{"metric":"a","value":%d},{"metric":"b","value":1}]}`, device, session, seq, seq)
}

// await waits until the pipeline has counted n of each series, and then that it stays so.
func (p *plant) await(n uint64, series ...string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%d of each of %v are counted", n, series), func() bool {
		counted := p.counted()
		for _, s := range series {
			if counted[s] < n {
				return false
			}
		}
		return true
	})
	for _, s := range series {
		if got := p.counted()[s]; got != n {
			p.t.Errorf("%s was counted %d times, want %d", s, got, n)
		}
	}
}

func TestAFrameSentToTwoInstancesIsCountedOnce(t *testing.T) {
	p := newPlant(t)
	set := p.pipe()
	one, other := p.instance().dial(t, "", nil), p.instance().dial(t, "", nil)
	const frames = 50
	for seq := range frames {
		for i, d := range []*device{one, other} {
			d.send(numbered("plant1/a", "boot", seq))
			// The other instance does not know that it is a duplicate; the pipeline does.
			if r := d.receipt(); r.Accepted != 2 || r.Duplicate != 0 {
				t.Fatalf("instance %d, frame %d: %+v", i, seq, r)
			}
		}
	}
	duplicates := set.GetOrCreateCounter("weir_pipeline_duplicates_total")
	eventually(t, "all of it has been read", func() bool { return duplicates.Get() == 2*frames })
	p.await(frames, "plant1/a/a", "plant1/a/b")
	one.send(numbered("plant1/a", "boot", 7))
	if r := one.receipt(); r.Duplicate != 2 || r.Accepted != 0 {
		t.Errorf("the instance that took it: %+v", r)
	}
}

func TestResendsAcrossRestartsOfIngestAndPipelineAreCountedOnce(t *testing.T) {
	p := newPlant(t)
	series := []string{"plant1/a/a", "plant1/a/b", "plant1/b/a"}
	const frames = 20
	sent := 0
	for round := range 3 {
		p.pipe()
		s := p.instance()
		d := s.dial(t, "", nil)
		// Of what the round before has sent, the device has got no receipt: it sends it all again.
		for seq := max(0, sent-frames); seq < sent+frames; seq++ {
			for _, name := range []string{"plant1/a", "plant1/b"} {
				d.send(numbered(name, "boot", seq))
				if r := d.receipt(); r.Accepted != 2 {
					t.Fatalf("round %d, frame %d: %+v", round, seq, r)
				}
			}
		}
		sent += frames
		p.await(uint64(sent), series...)
		s.stop()
	}
	// A new boot may use the same numbers.
	p.pipe()
	d := p.instance().dial(t, "", nil)
	d.send(numbered("plant1/a", "next boot", 3))
	d.receipt()
	p.await(uint64(sent)+1, "plant1/a/a")
}

// A frame of several devices of which one partition's part is not stored is not stored as a whole, as far as the
// device knows. It sends all of it again, and what had been stored is counted once.
func TestAFrameThatWasStoredInPartIsCountedOnceWhenItIsSentAgain(t *testing.T) {
	p := newPlant(t)
	p.pipe()
	producer, err := p.client.NewProducer(t.Context(), kafka.ProducerOptions{CloseTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producer.Close() })
	names := devicesOn(t)
	partly := &failing{Producer: producer, partition: 2, left: 1}
	d := start(t, partly).dial(t, "", nil)
	frame := fmt.Sprintf(`{"session":"s","seq":1,"readings":[{"device":%q,"metric":"m","value":1},{"device":%q,"metric":"m","value":1}]}`, names[1], names[2])
	d.send(frame)
	if r := d.receipt(); codeOf(r) != wire.CodeNotStored || r.Accepted != 0 || r.RetryAfter == 0 {
		t.Fatalf("half of it failed: %+v", r)
	}
	p.await(1, names[1]+"/m")
	d.send(frame)
	if r := d.receipt(); r.Accepted != 2 {
		t.Fatalf("sent again: %+v", r)
	}
	p.await(1, names[1]+"/m", names[2]+"/m")
	d.send(numbered(names[1], "s", 2)) // behind it, so that a second count would show
	d.receipt()
	p.await(1, names[1]+"/a")
	p.await(1, names[1]+"/m", names[2]+"/m")
}

// failing is a producer that fails for a partition, so many times.
type failing struct {
	Producer
	partition, left int
}

func (f *failing) Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(int64, error)) error {
	if partition == f.partition && f.left > 0 {
		f.left--
		return kafka.ErrTimeout
	}
	return f.Producer.Produce(ctx, topic, partition, recs, done)
}
