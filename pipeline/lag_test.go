package pipeline

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/kafka"
	"weir/telemetry"
)

// fetchOf is a batch of n records of size bytes, up to next.
func fetchOf(n, size int, next int64) *Batch {
	return &Batch{records: make([]record, n), raw: make([]byte, n*size), next: next}
}

func TestTheAgeOfTheLagIsThatOfTheOldestRecordNotApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lag
		l.begin(100)
		if got, known := l.read(time.Now()); known {
			t.Errorf("before the first fetch it is said to be %+v", got)
		}
		start := time.Now().UnixMilli()
		l.fetched(fetchOf(10, 76, 110), 130, start-9000, start-8000)
		l.fetched(fetchOf(10, 76, 120), 130, start-7000, start-6000)
		time.Sleep(time.Second)
		if got, _ := l.read(time.Now()); got.Age != 10*time.Second || got.Applied != 100 || got.End != 130 || got.RecordBytes != 100 {
			t.Errorf("two batches under way: %+v", got)
		}
		l.passed()
		if got, _ := l.read(time.Now()); got.Age != 8*time.Second || got.Applied != 110 {
			t.Errorf("one batch under way: %+v", got)
		}
		l.passed()
		if got, _ := l.read(time.Now()); got.Age != 7*time.Second || got.Applied != 120 {
			t.Errorf("what is not fetched is newer than what is: %+v", got)
		}
		l.fetched(fetchOf(10, 76, 130), 130, start, start)
		l.passed()
		if got, _ := l.read(time.Now()); got.Age != 0 || got.Applied != 130 {
			t.Errorf("all applied: %+v", got)
		}
	})
}

// A writer's clock may be wrong, and an idle partition's last record old: neither makes a pipeline late that is not.
func TestALagIsNoOlderThanTheLastMomentWithoutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lag
		l.begin(0)
		l.fetched(fetchOf(0, 0, 0), 0, 0, 0)
		if got, known := l.read(time.Now()); !known || got.Age != 0 {
			t.Errorf("an empty partition: %+v, known %v", got, known)
		}
		time.Sleep(time.Hour)
		l.fetched(fetchOf(0, 0, 0), 0, 0, 0) // the fetcher looks all the time
		l.fetched(fetchOf(1, 10, 1), 1, 1, 1)
		time.Sleep(time.Second)
		if got, _ := l.read(time.Now()); got.Age != time.Second {
			t.Errorf("a record from 1970: %+v", got)
		}
		l.passed()
		future := time.Now().Add(time.Hour).UnixMilli()
		l.fetched(fetchOf(1, 10, 2), 2, future, future)
		if got, _ := l.read(time.Now()); got.Age != 0 {
			t.Errorf("a record from the future: %+v", got)
		}
	})
}

func TestThePipelineTellsItsLag(t *testing.T) {
	w := newWorld(t, 2)
	release := make(chan struct{})
	device := "plant1/a"
	mine := kafka.PartitionFor(device, 2)
	p := w.pipeline(func(o *Options) {})
	p.hook = func(partition int, point string) error {
		if point == "batch" && partition == mine {
			<-release
		}
		return nil
	}
	w.start(p)
	w.await("both are owned", func() bool { return len(p.Lag()) == 2 })
	for seq := range uint64(5) {
		w.send(&telemetry.Batch{Device: device, Session: "s", Seq: seq, Ingest: time.Now().UnixMicro(),
			Readings: []telemetry.Reading{{Metric: "m", Time: time.Now().UnixMicro(), Value: 1}}})
	}
	w.await("the lag of a pipeline that stands still grows", func() bool {
		l := p.Lag()[mine]
		return l.Partition == mine && l.Applied == 0 && l.End > 0 && l.Age > 20*time.Millisecond && l.RecordBytes > 30
	})
	if l := p.Lag()[1-mine]; l.Age != 0 || l.Applied != l.End {
		t.Errorf("the other partition: %+v", l)
	}
	close(release)
	w.await("it is gone when all is applied", func() bool {
		l := p.Lag()[mine]
		return l.Applied == 5 && l.End == 5 && l.Age == 0
	})
}
