package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// StateResult tells what the state of many series takes, and how long its restore.
type StateResult struct {
	// Series counts all whose state there is, with full windows all but those of the backlog.
	Series int `json:"series"`
	// RecordBytes is what a checkpoint keeps of a series in weir.state (key and value, its share of the device's record
	// included), LatestBytes in weir.latest.
	RecordBytes float64 `json:"state_bytes_per_series"`
	LatestBytes float64 `json:"latest_bytes_per_series"`
	// HeapBytes is live memory for a series after a restore, over that of a process without state.
	HeapBytes float64 `json:"heap_bytes_per_series"`
	RSS       float64 `json:"rss_mib"`
	// Ready is the time from the start of the process until all partitions are restored and owned; Restore is the sum of
	// the partitions' restores, which run side by side.
	Ready   float64 `json:"ready_s"`
	Restore float64 `json:"restore_s_sum"`
}

func (p *Pipeline) devices() int { return max(1, p.Series/stateMetric) }

// fleet is that of the restore and of the steady load.
func (p *Pipeline) fleet(batch, from int, session string) Fleet {
	return Fleet{Name: "state", Devices: p.devices(), Metrics: stateMetric, Batch: batch, Step: time.Second, From: from, Session: session}
}

// state fills the windows of many series, has them checkpointed, and starts again. before is the live heap without state.
func (p *Pipeline) state(ctx context.Context, before float64) (*StateResult, error) {
	f := p.fleet(windowSteps*stateMetric, 0, "fill")
	n := p.devices() * f.Batch
	p.say("filling the windows of %d series", p.devices()*stateMetric)
	err := p.withClient(ctx, func(ctx context.Context, c *kafka.Client) error { return Preload(ctx, c, &f, n) })
	if err != nil {
		return nil, fmt.Errorf("preload: %w", err)
	}
	s, err := p.start(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	_, err = p.watch(ctx, s, n)
	s.stop()
	if err != nil {
		return nil, fmt.Errorf("fill: %w", err)
	}
	r := new(StateResult)
	if err := p.withClient(ctx, r.measure); err != nil {
		return nil, err
	}
	p.say("restoring")
	if s, err = p.start(ctx, nil, nil); err != nil {
		return nil, err
	}
	defer s.stop()
	r.Ready = s.startup.Seconds()
	if r.RSS, err = residentMiB(s.pid()); err != nil {
		return nil, err
	}
	heap, err := s.liveHeap(ctx)
	if err != nil {
		return nil, err
	}
	m, err := s.metrics(ctx)
	if err != nil {
		return nil, err
	}
	r.Restore = m["weir_pipeline_restore_seconds_sum"]
	r.HeapBytes = (heap - before) / float64(r.Series)
	return r, nil
}

// measure adds up the newest record of each key.
func (r *StateResult) measure(ctx context.Context, client *kafka.Client) error {
	state, err := newest(ctx, client, wire.TopicState)
	if err != nil {
		return err
	}
	latest, err := newest(ctx, client, wire.TopicLatest)
	if err != nil {
		return err
	}
	var stateBytes, latestBytes int
	for key, size := range state {
		stateBytes += size
		if bytes.HasPrefix([]byte(key), []byte("s/")) {
			r.Series++
		}
	}
	for key, size := range latest {
		if kind, _ := wire.ParseLatestKey([]byte(key)); kind == wire.LatestSeries {
			latestBytes += size
		}
	}
	if r.Series == 0 {
		return fmt.Errorf("%s holds no series", wire.TopicState)
	}
	r.RecordBytes, r.LatestBytes = float64(stateBytes)/float64(r.Series), float64(latestBytes)/float64(r.Series)
	return nil
}

// newest is the size of the newest record of each key of a compacted topic, without what was deleted.
func newest(ctx context.Context, client *kafka.Client, topic string) (map[string]int, error) {
	sizes := make(map[string]int)
	err := readTopic(ctx, client, topic, func(rec *kafka.Record) error {
		switch key := string(rec.Key); {
		case key == kafka.FenceKey:
		case rec.Value == nil:
			delete(sizes, key)
		default:
			sizes[key] = len(rec.Key) + len(rec.Value)
		}
		return nil
	})
	return sizes, err
}

// CountUpdates counts the readings that weir.updates tells of, and the rows that do.
func CountUpdates(ctx context.Context, client *kafka.Client) (readings, rows int64, err error) {
	var decoded []telemetry.Update
	err = readTopic(ctx, client, wire.TopicUpdates, func(rec *kafka.Record) (err error) {
		if string(rec.Key) == kafka.FenceKey || wire.IsControl(rec.Value) {
			return nil
		}
		if decoded, err = wire.DecodeUpdateBatch(rec.Value, decoded[:0], nil); err != nil {
			return err
		}
		rows += int64(len(decoded))
		for i := range decoded {
			u := &decoded[i]
			readings += int64(u.N + u.Late + u.Invalid)
		}
		return nil
	})
	return readings, rows, err
}

func readTopic(ctx context.Context, client *kafka.Client, topic string, fn func(*kafka.Record) error) error {
	ranges, err := client.Offsets(ctx, topic)
	if err != nil {
		return err
	}
	for partition, r := range ranges {
		if err := client.ReadRange(ctx, topic, partition, r.First, r.End, fn); err != nil {
			return fmt.Errorf("read %s/%d: %w", topic, partition, err)
		}
	}
	return nil
}

// CheckpointResult compares a steady load with checkpoints as configured and without.
type CheckpointResult struct {
	Rate   float64 `json:"readings_per_s"`
	Series int     `json:"series"`
	// AppliedWith and AppliedWithout are the readings/s that were applied: where they are less than Rate, the machine was
	// too busy for this comparison.
	AppliedWith    float64 `json:"applied_with_per_s"`
	AppliedWithout float64 `json:"applied_without_per_s"`
	// With and Without are the cores that all processes used, Share is the difference.
	With    float64 `json:"cores_with"`
	Without float64 `json:"cores_without"`
	Share   float64 `json:"cores_of_checkpoints"`
	// Checkpoints is how many there were (of all partitions) while it was measured, in Seconds; Pause and Took are means.
	Checkpoints float64 `json:"checkpoints"`
	Pause       float64 `json:"pause_ms_mean"`
	Took        float64 `json:"took_ms_mean"`
	Seconds     float64 `json:"seconds"`
	// Load says in which process the load runs, which is in both figures.
	Load string  `json:"load"`
	RSS  float64 `json:"rss_mib"`
}

// settle is how long a steady load runs before it is measured: more than the default checkpoint period.
const settle = 6 * time.Second

func (p *Pipeline) checkpoints(ctx context.Context) (*CheckpointResult, error) {
	r := &CheckpointResult{Rate: p.Rate, Series: p.devices() * stateMetric, Seconds: p.Measure.Seconds(), Load: "in the measured process"}
	if len(p.Brokers) > 0 {
		r.Load = "in a process that is not measured"
	}
	steps := int(p.Rate*(2*settle+p.Measure).Seconds())/r.Series + 1
	p.say("steady load of %.0f readings/s, with checkpoints", p.Rate)
	before, after, err := p.steady(ctx, paced{p.fleet(stateMetric, windowSteps, "with"), p.Rate}, nil)
	if err != nil {
		return nil, err
	}
	per := func(name string) float64 {
		n := after.metrics[name+"_count"] - before.metrics[name+"_count"]
		return (after.metrics[name+"_sum"] - before.metrics[name+"_sum"]) / max(n, 1) * 1e3
	}
	r.With, r.AppliedWith, r.RSS = cores(before, after), applied(before, after), after.rss
	r.Checkpoints = after.metrics["weir_pipeline_checkpoint_seconds_count"] - before.metrics["weir_pipeline_checkpoint_seconds_count"]
	r.Took, r.Pause = per("weir_pipeline_checkpoint_seconds"), per("weir_pipeline_checkpoint_pause_seconds")
	p.say("steady load of %.0f readings/s, without checkpoints", p.Rate)
	off := map[string]string{"pipeline.checkpoint_period": "1h"}
	if before, after, err = p.steady(ctx, paced{p.fleet(stateMetric, windowSteps+steps, "without"), p.Rate}, off); err != nil {
		return nil, err
	}
	r.Without, r.AppliedWithout = cores(before, after), applied(before, after)
	r.Share = r.With - r.Without
	return r, nil
}

// moment is what a process has used and counted until then.
type moment struct {
	at      time.Time
	cpu     float64
	rss     float64
	metrics map[string]float64
}

func cores(a, b moment) float64 { return (b.cpu - a.cpu) / b.at.Sub(a.at).Seconds() }

// steady runs a process under a load and tells how it stood before and after the measured part.
func (p *Pipeline) steady(ctx context.Context, load paced, set map[string]string) (before, after moment, err error) {
	s, err := p.start(ctx, &load, set)
	if err != nil {
		return before, after, err
	}
	defer s.stop()
	failed := make(chan error, 1)
	if len(p.Brokers) > 0 {
		ctx, cancel := context.WithCancel(ctx)
		loaded := make(chan struct{})
		defer func() { cancel(); <-loaded }()
		go func() {
			defer close(loaded)
			if err := p.loadFromHere(ctx, &load); err != nil {
				failed <- err
			}
		}()
	}
	if err := pause(ctx, settle, failed); err != nil {
		return before, after, err
	}
	if before, err = p.moment(ctx, s); err != nil {
		return before, after, err
	}
	if err := pause(ctx, p.Measure, failed); err != nil {
		return before, after, err
	}
	if after, err = p.moment(ctx, s); err != nil {
		return before, after, err
	}
	return before, after, nil
}

// applied is how many readings a process applied a second.
func applied(a, b moment) float64 {
	const counter = "weir_pipeline_readings_total"
	return (b.metrics[counter] - a.metrics[counter]) / b.at.Sub(a.at).Seconds()
}

func (p *Pipeline) loadFromHere(ctx context.Context, load *paced) error {
	return p.withClient(ctx, func(ctx context.Context, c *kafka.Client) error {
		return (&loader{client: c, partitions: p.Partitions}).pace(ctx, &load.Fleet, load.Rate)
	})
}

func (p *Pipeline) moment(ctx context.Context, s *Process) (m moment, err error) {
	m.at = time.Now()
	if m.cpu, err = cpuSeconds(s.pid()); err != nil {
		return m, err
	}
	if p.BrokerPid > 0 {
		broker, err := cpuSeconds(p.BrokerPid)
		if err != nil {
			return m, err
		}
		m.cpu += broker
	}
	if m.rss, err = residentMiB(s.pid()); err != nil {
		return m, err
	}
	m.metrics, err = s.metrics(ctx)
	return m, err
}
