//go:build soak

package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// counts are what a proof has counted. Readings, unless they say otherwise.
type counts struct {
	Frames, Readings                    int
	Receipts                            int // frames
	Untold                              int // frames that were taken and have none
	Accepted, Duplicate, Late, Rejected int
	Stored, Backlog                     int
	Repeated                            int // records
	Refused                             int
	Letters                             int // records
	Live                                int
	Updates, UpdatesLate                uint64
	Violations                          int
}

// frameKey names a frame: what de-duplication goes by.
type frameKey struct {
	device, session string
	seq             uint64
}

// proof compares what devices have written down with what is in Kafka.
type proof struct {
	*rig
	counts
	client *kafka.Client

	frames  map[string]map[float64]*frame // by device and the frame's name
	owner   map[string]map[float64]*frame // by device and a reading's number
	byKey   map[frameKey]*frame
	stored  map[frameKey]*stored
	letters []wire.DeadLetter
}

// frame is one that a device has written down, with what it learned of it.
type frame struct {
	entry
	device   string
	taken    bool // Send took it, or it is posted: it has to end up somewhere
	receipts []*entry
	rejected []*entry
}

// stored is a frame as it is in Kafka.
type stored struct {
	rows map[string][]sample // by topic
}

const backlogSuffix = "~backlog"

// prove reads everything and reports each violation.
func (r *rig) prove() *proof {
	r.Helper()
	p := &proof{
		rig: r, frames: map[string]map[float64]*frame{}, owner: map[string]map[float64]*frame{},
		byKey: map[frameKey]*frame{}, stored: map[frameKey]*stored{},
	}
	for _, c := range r.configs {
		p.readJournal(&c)
	}
	var err error
	if p.client, err = kafka.New(r.records()); err != nil {
		r.Fatal(err)
	}
	defer p.client.Close()
	p.readBatches(wire.TopicReadings)
	p.readBatches(wire.TopicBacklog)
	p.readLetters()
	p.checkStored()
	p.checkFrames()
	p.checkTold()
	p.checkUpdates()
	return p
}

func (p *proof) violation(format string, args ...any) {
	p.Violations++
	if p.Violations <= 30 {
		p.Errorf("violation: "+format, args...)
	} else {
		p.Fail()
	}
}

// readJournal takes over what a device has written down.
func (p *proof) readJournal(c *deviceConfig) {
	entries, _, err := readJournal(c.Journal)
	if err != nil {
		p.Fatal(err)
	}
	frames, owner := map[float64]*frame{}, map[float64]*frame{}
	p.frames[c.Device], p.owner[c.Device] = frames, owner
	var told []*entry
	for i := range entries {
		e := &entries[i]
		switch e.Kind {
		case kindIntent, kindPost:
			f := &frame{entry: *e, device: c.Device, taken: e.Kind == kindPost}
			frames[e.First] = f
			for _, s := range e.Samples {
				owner[s.Value] = f
			}
			p.Frames++
			p.Readings += len(e.Samples)
			if f.taken {
				p.byKey[frameKey{c.Device, e.Session, e.Seq}] = f
			}
		case kindTaken:
			f := frames[e.First]
			f.taken, f.Session, f.Seq = true, e.Session, e.Seq
			p.byKey[frameKey{c.Device, e.Session, e.Seq}] = f
		case kindReceipt, kindRejected:
			told = append(told, e)
		}
	}
	if n := len(entries); n == 0 || entries[n-1].Kind != kindDone {
		p.violation("%s has not delivered all it had", c.Device)
	}
	for _, e := range told {
		p.hear(c.Device, e)
	}
}

// hear notes what a device was told about a frame. Of one that was taken when the device was killed, the number is
// known from what is stored.
func (p *proof) hear(device string, e *entry) {
	key := frameKey{device, strings.TrimSuffix(e.Session, backlogSuffix), e.Seq}
	f := p.byKey[key]
	if f == nil {
		f = &frame{device: device}
		f.Session, f.Seq = key.session, key.seq
		p.byKey[key] = f
	}
	if e.Kind == kindRejected {
		f.rejected = append(f.rejected, e)
		return
	}
	f.receipts = append(f.receipts, e)
	r := e.Receipt
	p.Receipts++
	p.Accepted += r.Accepted
	p.Duplicate += r.Duplicate
	p.Late += r.Late
	p.Rejected += r.Rejected
}

// each reads a topic from its beginning.
func (p *proof) each(topic string, take func(partition int, r *kafka.Record)) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), time.Minute)
	defer cancel()
	ranges, err := p.client.Offsets(ctx, topic)
	if err != nil {
		p.Fatal(err)
	}
	for partition, r := range ranges {
		if r.First > 0 && topic != wire.TopicUpdates {
			p.Fatalf("%s/%d begins at %d: the run was longer than its retention", topic, partition, r.First)
		}
		err := p.client.ReadRange(ctx, topic, partition, r.First, r.End, func(r *kafka.Record) error {
			take(partition, r)
			return nil
		})
		if err != nil {
			p.Fatal(err)
		}
	}
}

// readBatches gathers frames by what de-duplication knows them by. What repeats one must be equal to it.
func (p *proof) readBatches(topic string) {
	p.each(topic, func(partition int, r *kafka.Record) {
		var c wire.ReadingColumns
		if err := c.Unmarshal(bytes.Clone(r.Value)); err != nil {
			p.violation("%s/%d@%d: %v", topic, partition, r.Offset, err)
			return
		}
		rows := make([]sample, len(c.Time))
		for i := range rows {
			metric := uint32(0)
			if len(c.Metric) > 0 {
				metric = c.Metric[i]
			}
			rows[i] = sample{Metric: strings.Clone(c.Metrics[metric]), Time: c.Time[i], Value: c.Value[i]}
		}
		key := frameKey{strings.Clone(c.Device), strings.Clone(c.Session), c.Seq}
		s := p.stored[key]
		if s == nil {
			s = &stored{rows: map[string][]sample{}}
			p.stored[key] = s
		}
		if before, again := s.rows[topic]; again {
			p.Repeated++
			if !slices.Equal(before, rows) {
				p.violation("%s/%d@%d: %v is there with two contents", topic, partition, r.Offset, key)
			}
			return
		}
		s.rows[topic] = rows
	})
}

func (p *proof) readLetters() {
	p.each(wire.TopicDeadLetters, func(partition int, r *kafka.Record) {
		letter, err := wire.DecodeDeadLetter(bytes.Clone(r.Value))
		if err != nil {
			p.violation("%s/%d@%d: %v", wire.TopicDeadLetters, partition, r.Offset, err)
			return
		}
		p.letters = append(p.letters, letter)
		p.Letters++
	})
}

// eachUpdate reads weir.updates from its beginning, as a reader that honours fences.
func (p *proof) eachUpdate(take func(partition int, r *kafka.Record, u *telemetry.Update)) {
	p.Helper()
	fences := map[int]*kafka.FenceFilter{}
	p.each(wire.TopicUpdates, func(partition int, r *kafka.Record) {
		if fences[partition] == nil {
			fences[partition] = &kafka.FenceFilter{}
		}
		if !fences[partition].Accept(r) {
			return
		}
		updates, err := wire.DecodeUpdateBatch(r.Value, nil, nil)
		if err != nil {
			p.violation("%s/%d@%d: %v", wire.TopicUpdates, partition, r.Offset, err)
			return
		}
		for i := range updates {
			take(partition, r, &updates[i])
		}
	})
}

// checkUpdates adds up weir.updates by series, and follows each series' chain.
func (p *proof) checkUpdates() {
	want := map[string]uint64{}
	for key, s := range p.stored {
		for _, row := range s.rows[wire.TopicReadings] {
			want[key.device+"/"+row.Metric]++
			p.Live++
		}
	}
	got, chain := map[string]uint64{}, map[string]telemetry.Version{}
	p.eachUpdate(func(partition int, r *kafka.Record, u *telemetry.Update) {
		series := strings.Clone(u.Series)
		last, known := chain[series]
		if !known {
			last = telemetry.NoVersion
		}
		if u.Since != last {
			p.violation("%s/%d@%d %s: since %d after version %d", wire.TopicUpdates, partition, r.Offset, series, u.Since, last)
		}
		chain[series] = u.Version
		got[series] += u.N + u.Late + u.Invalid
		p.Updates += u.N + u.Late + u.Invalid
		p.UpdatesLate += u.Late
	})
	for series, n := range want {
		if got[series] != n {
			p.violation("%s: %d readings are in weir.readings, %d in weir.updates", series, n, got[series])
		}
		delete(got, series)
	}
	for series, n := range got {
		p.violation("%s: %d readings are in weir.updates, and nowhere else", series, n)
	}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
