package push

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"weir/telemetry"
	"weir/wire"
)

func TestTheWindowAndTheLogTogetherHaveEachRecordOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const block = blockBytes + 16*blockRecords
		l := newScriptedLog(2, rapid.IntRange(0, 6).Draw(t, "blocks")*block)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			p := rapid.IntRange(0, 1).Draw(t, "partition")
			at := spanKey{wire.TopicUpdates, p}
			end := l.at.updates[p]
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0: // the server is another one, which has tailed nothing
				l.window = newWindow(l.window.budget)
				l.window.readBack = l.readBack
				for p := range l.at.updates {
					l.window.begin(wire.TopicUpdates, p, l.at.updates[p])
				}
			case 1:
				from := rapid.Int64Range(0, end).Draw(t, "from")
				to := rapid.Int64Range(from, end).Draw(t, "to")
				got, _, err := l.window.read(context.Background(), at.topic, p, from, to)
				want, _ := l.readBack(context.Background(), at.topic, p, from, to)
				if err != nil || len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
					t.Fatalf("[%d, %d) of %v: %v, %d records, want %d", from, to, at, err, len(got), len(want))
				}
			default:
				l.append(at.topic, p, make([]byte, rapid.IntRange(1, blockBytes/3).Draw(t, "bytes")), rapid.Int64Range(0, 2).Draw(t, "gap"))
			}
			sum := 0
			for _, r := range l.window.logs[wire.TopicUpdates] {
				size := 0
				for _, b := range r.blocks {
					size += cap(b.bytes) + 16*blockRecords
				}
				if sum += r.bytes; r.bytes != size {
					t.Fatalf("a log has %d bytes, and counts %d", size, r.bytes)
				}
			}
			if w := l.window; w.bytes != sum || w.bytes > w.budget {
				t.Fatalf("%d bytes are counted of %d, with a budget of %d", w.bytes, sum, w.budget)
			}
		}
	})
}

func TestASmallLogLeavesItsRoomToTheOthers(t *testing.T) {
	const block = blockBytes + 16*blockRecords
	l := newScriptedLog(2, 10*block)
	l.append(wire.TopicAlerts, 0, make([]byte, 10), 0)
	l.append(wire.TopicUpdates, 1, make([]byte, blockBytes), 0)
	for range 20 {
		l.append(wire.TopicUpdates, 0, make([]byte, blockBytes), 0)
	}
	for _, want := range []struct {
		topic           string
		partition, have int
	}{{wire.TopicAlerts, 0, 0}, {wire.TopicUpdates, 1, 0}, {wire.TopicUpdates, 0, 12}} {
		if _, have := l.window.span(want.topic, want.partition, 0, 20); have != int64(want.have) {
			t.Errorf("of %s/%d there is all from %d on, not from %d", want.topic, want.partition, have, want.have)
		}
	}
}

// slowLog is a log whose readings wait until they are let go on.
type slowLog struct {
	*scriptedLog
	mu     sync.Mutex
	asked  []string
	goOn   chan struct{}
	oldest int64 // what is before cannot be read
}

func (l *slowLog) readBack(ctx context.Context, topic string, partition int, from, to int64) ([]stored, error) {
	l.mu.Lock()
	l.asked = append(l.asked, fmt.Sprintf("%d-%d", from, to))
	l.mu.Unlock()
	<-l.goOn
	if from < l.oldest {
		return nil, errTooOld
	}
	return l.scriptedLog.readBack(ctx, topic, partition, from, to)
}

func TestWhoComesBackTogetherSharesOneReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &slowLog{scriptedLog: newScriptedLog(1, 1<<20), goOn: make(chan struct{}), oldest: 10}
		for range 100 {
			l.append(wire.TopicUpdates, 0, []byte{1}, 0)
		}
		l.window = newWindow(1 << 20) // that of the next server
		l.window.begin(wire.TopicUpdates, 0, 100)
		l.window.readBack = l.readBack
		var wg sync.WaitGroup
		ask := func(from int64, want error) {
			wg.Go(func() {
				got, _, err := l.window.read(t.Context(), wire.TopicUpdates, 0, from, 100)
				if !errors.Is(err, want) || want == nil && (len(got) != int(100-from) || got[0].offset != from) {
					t.Errorf("from %d: %v, %d records", from, err, len(got))
				}
			})
			synctest.Wait()
		}
		ask(50, nil)
		for range 20 {
			ask(50, nil)
			ask(70, nil)
		}
		ask(40, nil)
		ask(5, errTooOld)
		close(l.goOn)
		wg.Wait()
		ask(20, nil)
		for range 20 {
			ask(20, nil)
		}
		wg.Wait()
		// Who looked at the window before that reading ended, and comes to read after it, finds what it wanted.
		late, cost, err := l.window.readOnce(t.Context(), wire.TopicUpdates, 0, 30, 100)
		if err != nil || cost != 0 || len(late.between(30, 100)) != 70 {
			t.Errorf("%v, %d bytes, %d records", err, cost, len(late.between(30, 100)))
		}
		asked := map[string]int{}
		for _, a := range l.asked {
			asked[a]++
		}
		// Who was refused 5 may have asked before those at 40 or after them, and shares nothing.
		delete(asked, "5-40")
		delete(asked, "5-50")
		if !reflect.DeepEqual(asked, map[string]int{"50-100": 1, "40-50": 1, "20-40": 1}) {
			t.Errorf("the log was read for %v", l.asked)
		}
	})
}

func TestWhoWantsMoreThanCanBeHadSpoilsNobodysReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &slowLog{scriptedLog: newScriptedLog(1, 1), goOn: make(chan struct{}), oldest: 10}
		for range 100 {
			l.append(wire.TopicUpdates, 0, []byte{1}, 0)
		}
		l.window.readBack = l.readBack
		var wg sync.WaitGroup
		ask := func(from int64, want error) {
			wg.Go(func() {
				if got, _, err := l.window.read(t.Context(), wire.TopicUpdates, 0, from, 100); !errors.Is(err, want) {
					t.Errorf("from %d: %v, %d records", from, err, len(got))
				}
			})
			synctest.Wait()
		}
		ask(5, errTooOld)
		ask(50, nil) // waits for the other one's reading
		close(l.goOn)
		wg.Wait()
	})
}

func TestManyViewsAreComeBackToAfterARestartByOneReadingOfTheLog(t *testing.T) {
	const views, partitions = 40, 2
	k := newKafka(t, partitions)
	write := func(v telemetry.Version) (next [partitions]int64) {
		for i := range views {
			p := i % partitions
			next[p] = k.updates(p, 1, single(fmt.Sprintf("p/%d/m", i), v, float64(v))) + 1
		}
		return next
	}
	write(0)
	first := k.start(nil)
	eventually(t, "it is ready", first.Ready)
	first.hub.mu.Lock()
	cursor := first.hub.at.cursor()
	first.hub.mu.Unlock()
	var next [partitions]int64
	for v := range telemetry.Version(5) {
		next = write(v + 1)
	}
	for p := range partitions {
		for i := p; i < views; i += partitions {
			k.latest(p, single(fmt.Sprintf("p/%d/m", i), 5, 5))
		}
		k.marker(p, wire.Marker{Updates: next[p]})
	}
	second := k.start(nil)
	eventually(t, "it is ready", second.Ready)
	var mu sync.Mutex
	readings := map[string]int{}
	read := second.hub.window.readBack
	second.hub.window.readBack = func(ctx context.Context, topic string, partition int, from, to int64) ([]stored, error) {
		mu.Lock()
		readings[fmt.Sprint(topic, "/", partition)]++
		mu.Unlock()
		return read(ctx, topic, partition, from, to)
	}
	var wg sync.WaitGroup
	for i := range views {
		wg.Go(func() {
			v, refusal := second.hub.watchView(nil, patterns(fmt.Sprintf("p/%d/#", i)), 20)
			if refusal != nil {
				t.Error(refusal)
				return
			}
			defer second.hub.unwatchView(nil, v)
			body, err := second.hub.missedBy(t.Context(), v, comeBack(cursor), false)
			if err != nil {
				t.Error(err)
				return
			}
			snap, err := wire.DecodeSnapshot(body)
			if err != nil || len(snap.Rows) != 1 {
				t.Errorf("%v, %d rows", err, len(snap.Rows))
				return
			}
			if u := snap.Rows[0].Update; u.Since != 0 || u.Version != 5 || u.N != 5 {
				t.Errorf("view %d: %+v", i, u)
			}
		})
	}
	wg.Wait()
	if fmt.Sprint(readings) != "map[weir.updates/0:1 weir.updates/1:1]" {
		t.Errorf("%d views read the log as often as %v", views, readings)
	}
}
