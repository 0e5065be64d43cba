package pipeline

import (
	"context"
	"log/slog"
	"time"

	"weir/kafka"
	"weir/pipeline/plan"
	"weir/telemetry"
	"weir/wire"
)

const (
	// maxRecordBytes is where a flush is split into several records.
	maxRecordBytes = 512 << 10
	// rowBytes bounds a row of an UpdateBatch without the name of its series.
	rowBytes = 192
)

// sender is what emit needs of a kafka.Producer.
type sender interface {
	Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(base int64, err error)) error
}

// emit writes what the batch caused: alerts to weir.alerts, summaries to weir.updates, both into the
// partition of the readings, under the owner's fence. It is the last stage, and the one that waits when the
// broker is slow.
type emit struct {
	ctx       context.Context // the owner's; ends when a write has failed
	producer  sender
	partition int
	headers   []kafka.Header
	updates   *lane
	alerts    *lane
	// giveBack takes rows that are encoded; acknowledged is called when a flush is stored, fail when a write
	// has failed.
	giveBack     func([]telemetry.Update)
	acknowledged func()
	fail         func(error)
	// at names a point of the protocol, for tests.
	at func(point string) error
	// done takes the batch back.
	done func(*Batch)

	dead, backlog outbox
	// panics counts the records that a stage panicked on.
	panics uint64
	// partials is the flight of what goes to groups.
	partials flight
	// changed holds the alerts of which weir.latest does not know the newest transition.
	changed map[string]*telemetry.Alert
	buf     []byte
	ends    []int
	records []kafka.Record
	m       *counters
	log     *slog.Logger

	// enricher is nil where nothing is added to alerts; plan is the one in force.
	enricher Enricher
	plan     *plan.Plan
}

func (s *emit) apply(b *Batch) {
	// The batch goes back even if a bug panics here, or the driver would wait for a barrier forever.
	defer s.done(b)
	if b.kind == look {
		close(b.looked.done)
	}
	if s.ctx.Err() != nil {
		return
	}
	if err := s.write(b); err != nil {
		s.fail(err)
	}
}

func (s *emit) write(b *Batch) error {
	s.follow(b)
	if err := s.bury(b); err != nil {
		return err
	}
	if b.late {
		if err := s.late(b); err != nil {
			return err
		}
	}
	if err := s.sendPartials(b.partials); err != nil {
		return err
	}
	if err := s.sendAlerts(b.alerts); err != nil {
		return err
	}
	if err := s.sendUpdates(b); err != nil {
		return err
	}
	if b.kind == barrier {
		return s.settle(b)
	}
	return nil
}

// sendUpdates writes the rows of a batch, in the order in which deletions came among them.
func (s *emit) sendUpdates(b *Batch) error {
	for i := range b.earlier {
		d := &b.earlier[i]
		if err := s.sendRows(d.rows, d.emitted); err != nil {
			return err
		}
		d.rows = nil
		s.buf = wire.AppendControl(s.buf[:0], &d.control)
		s.records = append(s.records[:0], kafka.Record{Value: s.buf, Headers: s.headers})
		if err := s.send(wire.TopicUpdates, s.updates, func() {}); err != nil {
			return err
		}
	}
	rows := b.rows
	b.rows = nil
	return s.sendRows(rows, b.emitted)
}

// sendRows writes the rows of a flush, as one record unless that would be too large.
func (s *emit) sendRows(all []telemetry.Update, emitted int64) error {
	for rows := all; len(rows) > 0; {
		n := fitting(rows)
		last := n == len(rows)
		s.buf = wire.AppendUpdateBatch(s.buf[:0], emitted, rows[:n])
		s.records = append(s.records[:0], kafka.Record{Value: s.buf, Headers: s.headers})
		after := func() {}
		if last {
			after = s.acknowledged
		}
		if err := s.send(wire.TopicUpdates, s.updates, after); err != nil {
			return err
		}
		rows = rows[n:]
	}
	if all != nil {
		s.giveBack(all)
	}
	return nil
}

// fitting is how many of the rows one record holds.
func fitting(rows []telemetry.Update) int {
	size := 0
	for i := range rows {
		size += rowBytes + len(rows[i].Series)
		if size > maxRecordBytes && i > 0 {
			return i
		}
	}
	return len(rows)
}

func (s *emit) sendAlerts(alerts []telemetry.Alert) error {
	for len(alerts) > 0 {
		s.buf, s.ends = s.buf[:0], s.ends[:0]
		n := 0
		for n < len(alerts) && len(s.buf) < maxRecordBytes {
			alert := alerts[n]
			s.enrich(&alert)
			s.buf = wire.AppendAlert(s.buf, &alert)
			s.ends = append(s.ends, len(s.buf))
			s.changed[alert.ID] = &alert
			n++
		}
		s.records = s.records[:0]
		start := 0
		for i, end := range s.ends {
			device, _, _ := telemetry.SplitSeries(alerts[i].Series)
			s.records = append(s.records, kafka.Record{
				Key: []byte(device), Value: s.buf[start:end:end], Headers: s.headers,
			})
			start = end
		}
		if err := s.send(wire.TopicAlerts, s.alerts, func() {}); err != nil {
			return err
		}
		alerts = alerts[n:]
	}
	return nil
}

// send hands s.records to the producer when the lane is free.
func (s *emit) send(topic string, l *lane, after func()) error {
	if err := l.enter(s.ctx); err != nil {
		return err
	}
	if err := s.at("emit " + topic); err != nil {
		return err
	}
	n, sent := len(s.records), time.Now()
	return s.producer.Produce(s.ctx, topic, s.partition, s.records, func(base int64, err error) {
		if err != nil {
			s.fail(err)
			return
		}
		s.m.stored.UpdateDuration(sent)
		l.leave(base, n)
		after()
	})
}

// sendPartials brings what this partition contributes to groups to their partitions.
func (s *emit) sendPartials(all []partial) error {
	for i := range all {
		p := &all[i]
		record := kafka.Record{Key: []byte(p.control.Device), Value: wire.AppendControl(nil, &p.control)}
		if err := s.launch(&s.partials, wire.TopicReadings, p.partition, record); err != nil {
			return err
		}
	}
	return nil
}

// launch writes a record that a checkpoint waits for by its flight.
func (s *emit) launch(f *flight, topic string, partition int, record kafka.Record) error {
	landed := f.begin()
	return s.producer.Produce(s.ctx, topic, partition, []kafka.Record{record}, func(base int64, err error) {
		landed(base, err)
		if err != nil {
			s.fail(err)
		}
	})
}

// settle completes a barrier.
func (s *emit) settle(b *Batch) (err error) {
	if b.updatesEnd, err = s.updates.settled(s.ctx); err != nil {
		return err
	}
	if b.alertsEnd, err = s.alerts.settled(s.ctx); err != nil {
		return err
	}
	for _, f := range []*flight{&s.dead.early, &s.backlog.early, &s.partials} {
		if err = f.wait(s.ctx); err != nil {
			return err
		}
	}
	b.dead, b.backlog = s.dead.take(), s.backlog.take()
	b.changed, s.changed = s.changed, make(map[string]*telemetry.Alert)
	return nil
}
