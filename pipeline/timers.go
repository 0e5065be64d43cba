package pipeline

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"sync/atomic"
)

// never is when a timer is due that is not.
const never = math.MaxInt64

// timers are those of one stage of a partition, by processing time (µs). Processing time passes by ticks, which are
// records of weir.readings: so a replay finds the same timers due at the same place. The driver writes a tick when
// the first of them is due by the clock.
//
// A timer is one of a series, and may be late to learn that it is due later than it says: when a tick finds it due,
// its stage looks, and arms it anew. So nothing has to be done per reading. One that is due earlier is armed again;
// what it leaves in the queue is passed over when its time comes.
type timers struct {
	queue timerQueue
	// due is where a series keeps when its timer is due.
	due func(*series) int64
	// first is when the first is due, for the driver.
	first atomic.Int64
}

func newTimers(due func(*series) int64) *timers {
	t := &timers{due: due}
	t.first.Store(never)
	return t
}

type timer struct {
	due int64
	of  *series
}

// arm adds a timer of a series that has none.
func (t *timers) arm(of *series, due int64) {
	heap.Push(&t.queue, timer{due, of})
	t.first.Store(t.queue[0].due)
}

// take returns the series whose timers are due, by name, and forgets those.
func (t *timers) take(now int64) (due []*series) {
	for len(t.queue) > 0 && t.queue[0].due <= now {
		if next := heap.Pop(&t.queue).(timer); next.due == t.due(next.of) {
			due = append(due, next.of)
		}
	}
	if len(t.queue) == 0 {
		t.first.Store(never)
	} else {
		t.first.Store(t.queue[0].due)
	}
	slices.SortFunc(due, func(a, b *series) int { return cmp.Compare(a.name, b.name) })
	return slices.Compact(due)
}

type timerQueue []timer

func (q timerQueue) Len() int           { return len(q) }
func (q timerQueue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q timerQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *timerQueue) Push(x any)        { *q = append(*q, x.(timer)) }
func (q *timerQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = timer{}
	*q = old[:len(old)-1]
	return last
}
