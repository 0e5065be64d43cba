package pipeline

import (
	"strings"
	"testing"
	"testing/synctest"

	"weir/telemetry"
	"weir/wire"
)

// apartFrom runs a stage as if the second reading of a record were of no series, so that it panics there.
func (x *bench) apartFrom(b *Batch, record int, stage func(*Batch) *Batch) {
	r := &b.of(&b.records[record])[1]
	of, treat := r.series, r.treat
	r.series, r.treat = nil, nil
	stage(b)
	r = &b.of(&b.records[record])[1]
	r.series, r.treat = of, treat
}

func TestAPanicInAnyStagePoisonsItsRecordAlone(t *testing.T) {
	for i, name := range []string{"validate", "compute", "average", "detect", "rules", "summarise"} {
		t.Run(name, func(t *testing.T) {
			x := newBench(DefaultConfig())
			var batches []*telemetry.Batch
			for k := range int64(3) {
				batches = append(batches, &telemetry.Batch{Device: "plant/a", Ingest: epoch, Readings: []telemetry.Reading{
					{Metric: "x", Time: epoch + k, Value: 1}, {Metric: "y", Time: epoch + k, Value: 1},
				}})
			}
			b := batchOf(0, batches...)
			x.decode.apply(b)
			b.records[1].leads = name == "compute" // or it would not look at the readings
			stages := []func(*Batch) *Batch{
				x.validate.apply, x.compute.apply, x.average.apply, x.judge.apply, x.rules.apply, x.summarise.apply,
			}
			for k, stage := range stages {
				if k == i {
					x.apartFrom(b, 1, stage)
				} else {
					stage(b)
				}
			}
			for k := range b.records {
				if want := map[bool]verdict{false: fresh, true: poisoned}[k == 1]; b.records[k].verdict != want {
					t.Errorf("record %d: verdict %d, want %d", k, b.records[k].verdict, want)
				}
			}
			var n, refused uint64
			for _, u := range b.rows {
				n, refused = n+u.N, refused+u.Invalid
			}
			if name == "summarise" { // the first reading was counted before the panic
				if n != 5 {
					t.Errorf("%d readings counted, want 5", n)
				}
			} else if n != 4 || refused != 2 {
				t.Errorf("%d readings counted and %d invalid, want 4 and 2", n, refused)
			}
			before := x.emit.m.panics.Get()
			x.emit.apply(b)
			letters := x.emit.dead.take()
			if n := x.emit.m.panics.Get() - before; len(letters) != 1 || n != 1 {
				t.Fatalf("%d dead letters, %d panics counted", len(letters), n)
			}
			letter, err := wire.DecodeDeadLetter(letters[0].Value)
			if err != nil || letter.Code != wire.CodePipelinePanic || letter.Offset != 1 || !strings.HasPrefix(letter.Message, name+": ") {
				t.Errorf("dead letter %+v: %v", letter, err)
			}
		})
	}
}

func TestAPanicInDecodePoisonsItsRecordAlone(t *testing.T) {
	x := newBench(DefaultConfig())
	x.decode.registry.devices["plant/broken"] = &device{name: "plant/broken"} // which has no map for its series
	b := batchOf(0, oneReading("plant/a", "x", epoch, 1), oneReading("plant/broken", "x", epoch, 1), oneReading("plant/a", "x", epoch+1, 2))
	x.emit.apply(x.apply(b))
	letters := x.emit.dead.take()
	if len(letters) != 1 {
		t.Fatalf("%d dead letters: %+v", len(letters), b.records[0].fault)
	}
	if letter, err := wire.DecodeDeadLetter(letters[0].Value); err != nil || letter.Offset != 1 || !strings.HasPrefix(letter.Message, "decode: ") {
		t.Errorf("dead letter %+v: %v", letter, err)
	}
	if of := b.readings[0].series; of.summary.newest.Version != telemetry.VersionOf(2, 0) {
		t.Errorf("the records beside it: %+v", of.summary.newest)
	}
}

// Two partitions share nothing but the process: one whose writes are stuck neither stops the other nor takes more than
// its batches.
func TestAPartitionThatIsStuckStopsNoOtherAndStaysBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, fine := newBench(DefaultConfig()), newBench(DefaultConfig())
		stuck.sent.hold = true
		for offset := range int64(1000) {
			fine.emit.apply(fine.apply(batchOf(offset, oneReading("plant/b", "x", epoch+offset, 1))))
			b := stuck.apply(batchOf(offset, oneReading("plant/a", "x", epoch+offset, 1)))
			stuck.emit.apply(b)
			if rows := len(stuck.summarise.rows); rows > 1 {
				t.Fatalf("%d rows of one series wait", rows)
			}
		}
		if len(stuck.sent.held) != 1 {
			t.Errorf("%d writes are under way, want 1", len(stuck.sent.held))
		}
		if len(fine.sent.records) == 0 {
			t.Error("the other partition tells nothing")
		}
	})
}
