package ingest

import (
	"context"
	"sync"
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/table"
	"weir/nodes"
	"weir/pipeline"
	"weir/wire"
)

// registryLags is a nodes.Registry as the app shows it to ingest.
type registryLags struct{ *nodes.Registry }

func (l registryLags) Lag(partition int) (Lag, bool) {
	lag, known := l.Registry.Lag(partition)
	return Lag{Age: time.Duration(lag.Age) * time.Microsecond, Records: lag.Records, Bytes: lag.Bytes}, known
}

// nodes runs a registry on the plant's broker, as a process without a pipeline has it.
func (p *plant) nodes() *nodes.Registry {
	p.t.Helper()
	producer, err := p.client.NewProducer(p.t.Context(), kafka.ProducerOptions{CloseTimeout: time.Second})
	if err != nil {
		p.t.Fatal(err)
	}
	t := table.New(table.Options{Client: p.client, Producer: producer, Topic: wire.TopicNodes, Partitions: 4})
	registry, err := nodes.NewRegistry(nodes.RegistryOptions{Table: t, Client: p.client, Group: pipeline.Group, Partitions: 4})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = t.Run(ctx) })
	run.Go(func() { _ = registry.Run(ctx) })
	p.t.Cleanup(func() { cancel(); run.Wait(); _ = producer.Close() })
	return registry
}

// While no pipeline runs, nobody reports a lag: ingest learns it from what the group has committed, slows devices down,
// refuses them, and takes them again when a pipeline has caught up. What was receipted is counted once, what was
// refused is not there.
func TestIngestWaitsForAPipelineThatIsAwayAndGoesOnWhenItIsBack(t *testing.T) {
	t.Parallel() // it waits
	p := newPlant(t)
	producer, err := p.client.NewProducer(t.Context(), kafka.ProducerOptions{CloseTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producer.Close() })
	lags := registryLags{p.nodes()}
	s := start(t, producer, func(o *Options) {
		o.Lags = lags
		o.Config.Admission = Admission{Slow: 500 * time.Millisecond, Stop: time.Second}
	})
	d, seq, accepted, refused := s.dial(t, "", nil), 0, 0, 0
	send := func() *wire.Receipt {
		d.send(numbered("plant1/a", "boot", seq))
		r := d.receipt()
		switch {
		case codeOf(r) == wire.CodeLagging && r.Accepted == 0 && r.RetryAfter > 0:
			refused++
		case r.Err == nil && r.Accepted == 2:
			accepted++
			seq++
		default:
			t.Fatalf("%+v", r)
		}
		return r
	}
	for range 10 {
		send()
	}
	eventually(t, "a device is refused", func() bool { return codeOf(send()) == wire.CodeLagging })
	if r := send(); r.Credit != 1 {
		t.Errorf("credit %d while nothing is taken", r.Credit)
	}
	stored := accepted
	p.pipe()
	eventually(t, "it is taken again", func() bool { send(); return accepted > stored })
	p.await(uint64(accepted), "plant1/a/a", "plant1/a/b")
	if refused == 0 {
		t.Error("nothing was refused")
	}
}
