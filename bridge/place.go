package bridge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

const (
	fetchWait = 500 * time.Millisecond
	// lastCommit bounds what is still waited for when a partition is lost: acknowledgements, and then the commit.
	lastCommit = 2 * time.Second
	// releaseTimeout is how long a partition that is lost is waited for.
	releaseTimeout = 5 * time.Second
	commitPause    = 100 * time.Millisecond
	// heldPause is how often a pipeline that is behind is looked at.
	heldPause = 250 * time.Millisecond
	// maxLetterBytes is how much of a value a dead letter keeps.
	maxLetterBytes = 64 << 10
)

// place carries one partition. It belongs to one goroutine.
type place struct {
	r       *runner
	o       *Options
	a       *kafka.Assignment
	decoder wire.FrameDecoder
	session string
	carried int64 // the next offset to be carried

	mu      sync.Mutex
	waiting int           // writes that are not acknowledged
	err     error         // of the first that failed
	idle    chan struct{} // closed when none waits any more
}

func (s *Server) newPlace(r *runner, a *kafka.Assignment) *place {
	sum := sha256.Sum256([]byte(r.name + "\x00" + a.Topic + "\x00" + strconv.Itoa(a.Partition)))
	return &place{
		r: r, o: &s.o, a: a, session: "bridge-" + hex.EncodeToString(sum[:12]),
		decoder: wire.NewFrameDecoder(wire.FormatJSON, wire.DecoderOptions{Labels: s.o.Labels, MaxFuture: s.o.MaxFuture, MaxReadings: 1}),
	}
}

// run carries records until the partition is lost, which is no error.
func (p *place) run(ctx context.Context) error {
	offset, err := p.beginning(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	tail := p.o.Client.NewTail(kafka.TailOptions{
		Topic: p.a.Topic, Partition: p.a.Partition, Offset: offset, MaxBytes: p.o.Config.FetchBytes, MaxWait: fetchWait,
		Committed: true})
	defer func() { _ = tail.Close() }()
	for {
		fetch, err := tail.Next(ctx)
		if err != nil {
			if next, passed := p.pass(err); passed {
				tail.SeekTo(next)
				continue
			}
			return ended(ctx, err)
		}
		for rest := fetch.Records; len(rest) > 0; {
			n := together(rest, p.o.Config.InFlight)
			if err := p.carry(ctx, rest[:n]); err != nil {
				return ended(ctx, err)
			}
			rest = rest[n:]
			p.r.stands(p.a.Partition, p.carried, fetch.HighWatermark)
		}
		p.r.stands(p.a.Partition, tail.Offset(), fetch.HighWatermark)
	}
}

// together is how many of the records are carried at once. Their offsets, which may have gaps, are the numbers of readings: those
// that are carried again must be among the ones that the pipeline tells apart.
func together(records []kafka.Record, most int) int {
	n := 1
	for n < len(records) && n < most && records[n].Offset-records[0].Offset < maxInFlight {
		n++
	}
	return n
}

// ended is nil when an error came of being asked to end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // as said
	}
	return err
}

// beginning is the offset to begin at. That of the end is stored at once, or a restart would begin at a later one.
func (p *place) beginning(ctx context.Context) (int64, error) {
	switch {
	case p.a.Committed >= 0:
		return p.a.Committed, nil
	case p.r.from != FromEnd || p.a.Partition >= p.r.known:
		return kafka.FirstOffset, nil
	}
	ranges, err := p.o.Client.Offsets(ctx, p.a.Topic)
	if err != nil {
		return 0, err
	}
	if p.a.Partition >= len(ranges) {
		return kafka.FirstOffset, nil
	}
	end := ranges[p.a.Partition].End
	return end, p.commit(ctx, end)
}

// pass goes past what cannot be read any more.
func (p *place) pass(err error) (next int64, ok bool) {
	var gone *kafka.ErrOffsetOutOfRange
	var damaged *kafka.CorruptError
	switch {
	case errors.As(err, &gone):
		next = gone.First
		if lost := gone.First - gone.Offset; lost > 0 {
			p.r.m.lost.Add(int(lost))
		}
	case errors.As(err, &damaged):
		next = damaged.Next
		p.r.m.lost.Add(int(damaged.Next - damaged.First))
	default:
		return 0, false
	}
	p.r.log.Error("records are lost to the bridge", "partition", p.a.Partition, "next", next, "error", err)
	return next, true
}

// carry makes of records what the bridge says, waits until Kafka has all of it, and stores how far it has come.
func (p *place) carry(ctx context.Context, records []kafka.Record) error {
	b := p.r.bridge.Load()
	p.waiting, p.err, p.idle = 1, nil, make(chan struct{})
	p.carried = records[0].Offset
	var counts [verdicts]int
	var err error
	for i := range records {
		var v Verdict
		if v, err = p.one(ctx, b, &records[i]); err != nil {
			break // those before are carried all the same
		}
		counts[v]++
		p.carried = records[i].Offset + 1
	}
	p.done(0, nil)
	if failed := p.settled(ctx); failed != nil {
		return failed
	}
	if p.carried == records[0].Offset {
		return err
	}
	if failed := p.commit(ctx, p.carried); failed != nil {
		return failed
	}
	for v, n := range counts {
		p.r.m.records[v].Add(n)
	}
	return err
}

// done is told what became of a write.
func (p *place) done(_ int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	if p.waiting--; p.waiting == 0 {
		close(p.idle)
	}
}

// settled waits until all writes are acknowledged; when the partition is lost meanwhile, not long.
func (p *place) settled(ctx context.Context) error {
	select {
	case <-p.idle:
	case <-ctx.Done():
		select {
		case <-p.idle:
		case <-time.After(lastCommit):
			return errors.New("not acknowledged in time")
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// commit stores an offset. While the group changes hands it tries again.
func (p *place) commit(ctx context.Context, offset int64) error {
	for {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCommit)
		err := p.a.Commit(within, offset)
		cancel()
		if err == nil || !kafka.Retriable(err) {
			return err
		}
		if !sleep(ctx, commitPause) {
			return err
		}
	}
}

// one writes what becomes of a record. It does not wait until that is stored.
func (p *place) one(ctx context.Context, b *Bridge, r *kafka.Record) (Verdict, error) {
	err := p.r.pace.Wait(ctx)
	if err != nil {
		return 0, err
	}
	o := Origin{Topic: p.a.Topic, Partition: p.a.Partition, Record: r}
	now := time.Now()
	out := b.applySafely(o, now)
	switch {
	case out.Failure != nil:
	case out.value != nil:
		err = p.write(ctx, wire.TopicMessages, out.key, kafka.Record{Time: now.UnixMilli(), Value: out.value})
	case out.Reading != nil:
		out.Failure, err = p.reading(ctx, out.Reading, r.Offset, now)
	}
	if err == nil && out.Failure != nil {
		out.Verdict = DeadLetter
		err = p.bury(ctx, o, out.Failure, now)
	}
	return out.Verdict, err
}

func (p *place) write(ctx context.Context, topic, key string, r kafka.Record) error {
	r.Key = []byte(key)
	p.mu.Lock()
	p.waiting++
	p.mu.Unlock()
	err := p.o.Producer.Produce(ctx, topic, kafka.PartitionFor(key, p.o.Partitions), []kafka.Record{r}, p.done)
	if err != nil {
		p.done(-1, nil)
		return fmt.Errorf("write to %s: %w", topic, err)
	}
	return nil
}

// reading stores a reading as ingest would, under a session and a number by which the pipeline counts a repetition once.
func (p *place) reading(ctx context.Context, text []byte, offset int64, now time.Time) (*wire.Error, error) {
	frame, err := p.decoder.Decode(text)
	if err != nil {
		return named(wire.AsError(err)), nil
	}
	if len(frame.Rejected) > 0 {
		refused := &frame.Rejected[0]
		return named(&wire.Error{Code: refused.Code, Path: refused.Path, Message: refused.Message}), nil
	}
	for i := range frame.Batches {
		batch := frame.Batches[i]
		batch.Session, batch.Seq, batch.Ingest = p.session, uint64(offset), now.UnixMicro()
		topic := wire.TopicReadings
		if p.late(batch.Readings, now) {
			topic = wire.TopicBacklog
		}
		if err := p.wait(ctx, kafka.PartitionFor(batch.Device, p.o.Partitions)); err != nil {
			return nil, err
		}
		if err := p.write(ctx, topic, batch.Device, kafka.Record{Value: wire.AppendReadingBatch(nil, &batch)}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (p *place) late(readings []telemetry.Reading, now time.Time) bool {
	return p.o.Lateness > 0 && len(readings) > 0 && readings[0].Time < now.Add(-p.o.Lateness).UnixMicro()
}

// wait lets a pipeline that is behind catch up: that is the back-pressure into the topic.
func (p *place) wait(ctx context.Context, partition int) error {
	if !p.o.Held(partition) {
		return nil
	}
	p.r.held.Add(1)
	defer p.r.held.Add(-1)
	for p.o.Held(partition) {
		if !sleep(ctx, heldPause) {
			return ctx.Err()
		}
	}
	return nil
}

// bury keeps a record of which nothing could be made. It is for those who may see all tenants.
func (p *place) bury(ctx context.Context, o Origin, why *wire.Error, now time.Time) error {
	p.r.failed(o, why)
	raw := o.Record.Value
	letter := wire.DeadLetter{
		Code: why.Code, Path: why.Path, Message: why.Message, Time: now.UnixMicro(), Stage: wire.StageBridge,
		Raw: raw[:min(len(raw), maxLetterBytes)], Size: len(raw), Topic: o.Topic, Partition: int32(o.Partition), Offset: o.Record.Offset,
		Format: wire.StageBridge, Subject: "_bridges/" + p.r.name,
	}
	return p.write(ctx, wire.TopicDeadLetters, GroupPrefix+p.r.name, kafka.Record{Time: now.UnixMilli(), Value: wire.AppendDeadLetter(nil, &letter)})
}
