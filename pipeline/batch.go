package pipeline

import (
	"fmt"
	"runtime/debug"
	"weir/pipeline/detect"
	"weir/pipeline/plan"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// kind tells what travels through the graph.
type kind uint8

const (
	// data holds the records of one fetch.
	data kind = iota
	// flush makes the summaries go out that wait for the flush period to pass.
	flush
	// barrier makes all summaries go out, and tells when it has passed the last stage.
	barrier
	// settled says that the replay has passed all that a predecessor emitted.
	settled
	// look asks every stage what it knows of a series.
	look
)

// Batch is the item of the graph: the records of one fetch with everything the stages find out about
// them. It belongs to the stage that holds it. Batches are recycled, so nothing may keep a reference into
// one after the last stage.
type Batch struct {
	kind     kind
	records  []record
	readings []reading
	// arrived is when the fetch returned (µs).
	arrived int64
	// next is the offset of weir.readings after the batch.
	next int64
	// raw holds the bytes of the records.
	raw []byte

	// alerts are the transitions that the batch caused.
	alerts []telemetry.Alert
	// rows are the summaries that go out with this batch, emitted (µs) at the same moment.
	rows    []telemetry.Update
	emitted int64
	// earlier is what goes out before: a deletion comes behind all that was told of the device.
	earlier []deletion
	// touched are series whose state changed without a reading.
	touched []*series
	// partials are for the groups that series of this partition are members of.
	partials []partial
	// named are the series of the alerts that settled is about; decode looks them up.
	named map[string]*series
	// looked is what is asked for with look.
	looked *inspection
	// late: there are late readings in it.
	late bool

	// Of a barrier, when it has passed: the offsets of weir.updates and weir.alerts after all that was
	// emitted before it, and the dead letters and the alerts that changed since the last one.
	updatesEnd, alertsEnd int64
	dead, backlog         []kafka.Record
	changed               map[string]*telemetry.Alert
}

// deletion tells readers of weir.updates that a device's series are no more, after the rows that came before.
type deletion struct {
	rows    []telemetry.Update
	emitted int64
	control wire.Control
}

// partial is what series of this partition contribute to a group, for the partition of that.
type partial struct {
	partition int
	control   wire.Control
}

// verdict tells what becomes of a record. The values are bits, so that a stage can take several.
type verdict uint8

const (
	// fresh: to be applied.
	fresh verdict = 1 << iota
	// replayed: the device's state contains it already.
	replayed
	// duplicate: its sequence number was seen at a lower offset.
	duplicate
	// unreadable: nothing of it can be used; to the dead letters.
	unreadable
	// poisoned: a stage panicked on it. Its readings count as invalid; to the dead letters.
	poisoned
)

// record is one record of weir.readings: one frame of one device.
type record struct {
	offset int64
	// key and value are in Batch.raw.
	key, value []byte
	verdict    verdict
	device     *device
	session    string
	seq        uint64
	ingest     int64
	// readings[first:end] are the record's.
	first, end int
	// fault is set with unreadable and poisoned.
	fault *fault
	// deleted: it is the command to delete the device, whose series are buried.
	deleted bool
	buried  []*series
	// tick is the processing time (µs) that the record advances the partition to, if it is a tick. Devices whose state
	// contains the record (contained) have heard it.
	tick int64
	// silent are the series that fell silent with it.
	silent []reading
	// control is a command to the device or the partition that stages behind decode carry out.
	control *wire.Control
	// target is the series that control is about; nil: there is none.
	target *output
	// treated are the series that have another treatment from this record on.
	treated    []*series
	treatments []*treatment
	plan       *plan.Plan
	// leads: some reading of it leads to other series; derives: to some that are made of several.
	leads, derives bool
	// group is the one that a partial in control is for.
	group *grouping
}

// fault says why a record went to the dead letters.
type fault struct {
	code, path, message string
	// rejected are the readings concerned, when the others count.
	rejected []uint32
}

// fate tells what becomes of a reading.
type fate uint8

const (
	// counted: part of the values.
	counted fate = iota
	late
	invalid
	// silent is no reading: the series has been absent for too long.
	silent
)

// reading is one sample of a series on its way through the stages.
type reading struct {
	series *series
	treat  *treatment
	// watermark is the newest source time of the device, this reading included.
	watermark int64
	version   telemetry.Version
	time      int64
	value     float64
	// rate is the change per second since the reading before, NaN at the first.
	rate float64

	avg, lo, hi, score float64
	state              telemetry.State
	fate               fate
	// What the detector found besides.
	head         detect.Head
	onset, clear bool
}

// reset makes room for the next fetch. What one exceptional batch made large is given back.
func (b *Batch) reset() {
	const keep = 16 << 10
	if cap(b.readings) > keep {
		b.readings = nil
	}
	*b = Batch{
		records:  b.records[:0],
		readings: b.readings[:0],
		raw:      b.raw[:0],
		alerts:   b.alerts[:0],
		touched:  b.touched[:0],
		partials: b.partials[:0],
	}
}

// of returns the readings of a record.
func (b *Batch) of(r *record) []reading { return b.readings[r.first:r.end] }

// each applies a stage to the records with one of the verdicts. A panic poisons the record it happened on
// and the stage goes on with the next.
func (b *Batch) each(stage string, verdicts verdict, apply func(*record)) {
	for next := 0; next < len(b.records); {
		next = b.eachFrom(next, stage, verdicts, apply)
	}
}

func (b *Batch) eachFrom(first int, stage string, verdicts verdict, apply func(*record)) (next int) {
	defer func() {
		if cause := recover(); cause != nil {
			b.records[next].poison(stage, cause)
			next++
		}
	}()
	for next = first; next < len(b.records); next++ {
		if r := &b.records[next]; r.verdict&verdicts != 0 {
			apply(r)
		}
	}
	return next
}

func (r *record) poison(stage string, cause any) {
	const maxStack = 4 << 10
	r.verdict = poisoned
	stack := debug.Stack()
	r.fault = &fault{code: wire.CodePipelinePanic, message: fmt.Sprintf("%s: %v\n%s", stage, cause, stack[:min(len(stack), maxStack)])}
}

func (r *record) refuse(f *fault) { r.verdict, r.fault = unreadable, f }
