//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"weir/kafka"
	"weir/pipeline"
	"weir/telemetry"
	"weir/wire"
)

// trial compares what a pipeline has written, whatever happened to it, with what the sequential model makes of the same
// readings. It goes on where it was when it is called again.
type trial struct {
	client *kafka.Client
	tally
	parts []*trialPart
	// acked are the records that the writer was told are stored: their checksums by partition and offset.
	acked []map[int64]uint32
	found []string
}

// tally is what a trial has counted.
type tally struct {
	Records     int64                    `json:"records"`
	Readings    uint64                   `json:"readings"`
	Duplicates  uint64                   `json:"duplicate_readings"`
	Late        uint64                   `json:"late"`
	Invalid     uint64                   `json:"invalid"`
	Rows        int64                    `json:"rows"`
	Series      int                      `json:"series"`
	Deletions   int64                    `json:"deletions"`
	Transitions map[string]int64         `json:"alert_transitions"`
	Controls    map[wire.ControlKind]int `json:"controls"`
	Partials    int                      `json:"partials"`
	Refused     int64                    `json:"refused_records"`
	Fenced      int64                    `json:"fenced_records"`
	Verdicts    int                      `json:"verdicts"`
	Differences int                      `json:"differences"`
}

// trialPart is the trial of one partition.
type trialPart struct {
	*trial
	partition int
	model     sequential
	naive     *naive

	committed       int64
	readings        int64 // positions
	updates, alerts int64
	updateFences    kafka.FenceFilter
	alertFences     kafka.FenceFilter

	rows    map[string][]telemetry.Update // of the model, by series, that no update has matched yet
	gone    map[string][]goneDevice       // deletions of the model that no update has told of yet
	modelOf map[string]*modelDevice
	lives   map[string]uint64 // readings in the model's rows
	series  map[string]*followed
	told    map[string]telemetry.Version // deletions
	raised  map[string][]byte            // transitions of the model that are not in weir.alerts yet
	seen    map[string]bool              // those that are
	last    map[string]telemetry.Alert   // by id
	partial map[string]*wire.Partial     // of the model, by what tells them apart
}

type modelDevice struct {
	deleted telemetry.Version
	lives   bool
}

type goneDevice struct {
	version telemetry.Version
	lived   bool
}

// followed is what a dashboard knows of a series that has seen all its updates.
type followed struct {
	last   telemetry.Version
	newest telemetry.Update
}

func newTrial(partitions int) (*trial, error) {
	t := &trial{tally: tally{Transitions: map[string]int64{}}}
	for p := range partitions {
		part := &trialPart{
			trial: t, partition: p, naive: newNaive(p, partitions),
			rows: map[string][]telemetry.Update{}, gone: map[string][]goneDevice{}, modelOf: map[string]*modelDevice{},
			lives: map[string]uint64{}, series: map[string]*followed{}, told: map[string]telemetry.Version{},
			raised: map[string][]byte{}, seen: map[string]bool{}, last: map[string]telemetry.Alert{}, partial: map[string]*wire.Partial{},
		}
		var err error
		part.model, err = newSequential(p, partitions, outcome{
			Update: part.expectRow, Alert: part.expectAlert, Partial: part.expectPartial, Deleted: part.expectGone,
		})
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, part)
		t.acked = append(t.acked, map[int64]uint32{})
	}
	return t, nil
}

// differ notes a difference.
func (t *trial) differ(format string, args ...any) {
	t.Differences++
	if len(t.found) < 30 {
		t.found = append(t.found, fmt.Sprintf(format, args...))
	}
}

// leftByOwners is how many records of a partition its owner may write itself when it stops, ticks and partials of others.
const leftByOwners = 64

// judge compares everything up to what the group has committed, or the last checkpoint has marked. Pipelines must have stopped in order before.
func (t *trial) judge(ctx context.Context, o kafka.Options) (err error) {
	if t.client, err = kafka.New(o); err != nil {
		return err
	}
	defer t.client.Close()
	committed, err := t.client.Committed(ctx, pipeline.Group, wire.TopicReadings, len(t.parts))
	if err != nil {
		return err
	}
	ends, err := t.client.Offsets(ctx, wire.TopicReadings)
	if err != nil {
		return err
	}
	for _, p := range t.parts {
		marked, err := p.marked(ctx)
		if err != nil {
			return fmt.Errorf("partition %d: %w", p.partition, err)
		}
		// The group may refuse the commit of a member that stops while others do.
		p.committed = max(committed[p.partition], marked)
		if left := ends[p.partition].End - p.committed; left > leftByOwners {
			return fmt.Errorf("partition %d: %d records have not been read by any pipeline: nothing can be compared", p.partition, left)
		}
		if err := errors.Join(p.feed(ctx), p.follow(ctx), p.hear(ctx)); err != nil {
			return fmt.Errorf("partition %d: %w", p.partition, err)
		}
		p.settle()
		if err := p.latest(ctx); err != nil {
			return fmt.Errorf("partition %d: %w", p.partition, err)
		}
	}
	t.Verdicts++
	if err := t.comparePartials(ctx); err != nil {
		return err
	}
	t.count()
	return t.letters(ctx)
}

// marked is up to where the last checkpoint says that the readings are applied.
func (p *trialPart) marked(ctx context.Context) (position int64, err error) {
	var fences kafka.FenceFilter
	from := int64(0)
	err = p.read(ctx, wire.TopicLatest, &from, -1, func(r *kafka.Record) error {
		if !fences.Accept(r) || string(r.Key) != wire.MarkerKey || r.Value == nil {
			return nil
		}
		m, err := wire.DecodeMarker(r.Value)
		position = m.Readings
		return err
	})
	return position, err
}

// read hands out what a topic holds of the partition from a position on, and moves it.
func (p *trialPart) read(ctx context.Context, topic string, from *int64, to int64, take func(r *kafka.Record) error) error {
	if to < 0 {
		ranges, err := p.client.Offsets(ctx, topic)
		if err != nil {
			return err
		}
		to = ranges[p.partition].End
		if first := ranges[p.partition].First; *from < first {
			if *from > 0 || topic != wire.TopicLatest {
				return fmt.Errorf("%s/%d begins at %d: the run was longer than its retention", topic, p.partition, first)
			}
			*from = first
		}
	}
	err := p.client.ReadRange(ctx, topic, p.partition, *from, to, take)
	*from = max(*from, to)
	return err
}

// feedSize is how many records at most are held.
const feedSize = 256

// feed lets the model see the readings, record by record.
func (p *trialPart) feed(ctx context.Context) error {
	held := make([]kafka.Record, 0, feedSize)
	hand := func() error {
		for i := range held {
			p.checkAcked(&held[i])
			p.naive.feed(&held[i])
			if err := p.model.Feed(held[i:i+1], held[i].Offset+1); err != nil {
				return fmt.Errorf("model at %d: %w", held[i].Offset, err)
			}
		}
		held = held[:0]
		return nil
	}
	err := p.read(ctx, wire.TopicReadings, &p.readings, p.committed, func(r *kafka.Record) error {
		if held = append(held, r.Clone()); len(held) == feedSize {
			return hand()
		}
		return nil
	})
	return errors.Join(err, hand())
}

// checkAcked finds records that were acknowledged and are not there.
func (p *trialPart) checkAcked(r *kafka.Record) {
	if sum, ok := p.acked[p.partition][r.Offset]; ok && sum != crc32.ChecksumIEEE(r.Value) {
		p.differ("%s/%d@%d: another record was acknowledged there", wire.TopicReadings, p.partition, r.Offset)
	}
	delete(p.acked[p.partition], r.Offset)
}

func (p *trialPart) device(series string) *modelDevice {
	name, _, _ := telemetry.SplitSeries(series)
	d := p.modelOf[name]
	if d == nil {
		d = &modelDevice{deleted: telemetry.NoVersion}
		p.modelOf[name] = d
	}
	return d
}

func (p *trialPart) expectRow(u *telemetry.Update) {
	d := p.device(u.Series)
	d.lives = true
	p.rows[u.Series] = append(p.rows[u.Series], *u)
	p.lives[life(u.Series, d.deleted)] += u.N + u.Late + u.Invalid
}

func (p *trialPart) expectGone(c *wire.Control) {
	d := p.device(c.Device + "/x")
	p.gone[c.Device] = append(p.gone[c.Device], goneDevice{c.Version, d.lives})
	if d.lives {
		*d = modelDevice{deleted: c.Version}
	}
}

func (p *trialPart) expectPartial(c *wire.Control) {
	p.partial[fmt.Sprintf("%d %d %s", c.Partial.Source, c.Partial.Version, c.Partial.Group)] = c.Partial
}

// letters checks that what cannot be read is in the dead letters.
func (t *trial) letters(ctx context.Context) error {
	there := map[[2]int64]bool{}
	for _, p := range t.parts {
		from := int64(0)
		err := p.read(ctx, wire.TopicDeadLetters, &from, -1, func(r *kafka.Record) error {
			letter, err := wire.DecodeDeadLetter(slices.Clone(r.Value))
			if err == nil && letter.Topic == wire.TopicReadings {
				there[[2]int64{int64(letter.Partition), letter.Offset}] = true
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, p := range t.parts {
		for _, offset := range p.naive.refused {
			if !there[[2]int64{int64(p.partition), offset}] {
				t.differ("%s/%d@%d cannot be read and has no dead letter", wire.TopicReadings, p.partition, offset)
			}
		}
		for _, what := range p.naive.broken {
			t.differ("partition %d: %s", p.partition, what)
		}
		p.naive.broken = nil
	}
	return nil
}

// count adds up the counts of partitions.
func (t *trial) count() {
	t.Records, t.Readings, t.Duplicates, t.Refused, t.Series, t.Partials = 0, 0, 0, 0, 0, 0
	t.Controls = map[wire.ControlKind]int{}
	for _, p := range t.parts {
		t.Records += p.naive.records
		t.Readings += p.naive.readings
		t.Duplicates += p.naive.duplicates
		t.Refused += int64(len(p.naive.refused))
		t.Series += len(p.series)
		t.Partials += len(p.partial)
		for kind, n := range p.naive.kinds {
			t.Controls[kind] += n
		}
	}
}

// trialTime bounds a verdict.
const trialTime = 5 * time.Minute
