package pipeline

import (
	"slices"
	"sync"
	"time"
)

// PartitionLag is how far the owner of a partition is behind.
type PartitionLag struct {
	Partition int
	// Applied is the next offset of weir.readings that has not passed the graph, End the end of the log as of the
	// last fetch. An owner that stands still learns of no new End.
	Applied, End int64
	// Age is for how long the oldest record that is not applied has been in the log; 0: all are.
	Age time.Duration
	// RecordBytes is what a record takes in the log, on average; 0: none has been seen.
	RecordBytes float64
}

// Lag tells how far this process is behind on each partition that it owns and has looked at since it restored it, by
// partition. Before the first fetch nothing is known of where the log ends.
func (p *Pipeline) Lag() []PartitionLag {
	now := time.Now()
	p.mu.Lock()
	owners := make([]*owner, 0, len(p.owned))
	for _, o := range p.owned {
		if o.restored {
			owners = append(owners, o)
		}
	}
	p.mu.Unlock()
	list := make([]PartitionLag, 0, len(owners))
	for _, o := range owners {
		lag, known := o.lag.read(now)
		if !known {
			continue
		}
		lag.Partition = o.partition
		list = append(list, lag)
	}
	slices.SortFunc(list, func(a, b PartitionLag) int { return a.Partition - b.Partition })
	return list
}

// lag follows the batches of a partition on their way through the graph. It is touched a few times per batch, by the
// fetcher and the last stage.
type lag struct {
	mu      sync.Mutex
	applied int64
	next    int64 // the next offset to be fetched
	end     int64
	known   bool // where the log ends: there was a fetch
	// inFlight are the batches between fetched and applied, oldest first.
	inFlight []underway
	newest   int64     // time of the newest record fetched, ms
	even     time.Time // when everything was last applied; zero: never
	size     float64   // bytes of a record, a moving average
}

// underway is a batch in the graph: the offset after it, and the time of its first record (ms).
type underway struct{ next, first int64 }

const (
	// recordOverhead is about what a record takes in the log beside key and value.
	recordOverhead = 24
	// sizeWeight is that of a batch in the average size of records.
	sizeWeight = 0.05
)

// begin sets the position that an owner starts from.
func (l *lag) begin(position int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied, l.next, l.end, l.known = position, position, position, false
}

// fetched notes a batch. It may be empty: then it tells only where the log ends.
func (l *lag) fetched(b *Batch, end int64, first, newest int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end, l.known = max(end, b.next), true
	if n := len(b.records); n > 0 {
		l.inFlight = append(l.inFlight, underway{b.next, first})
		l.next, l.newest = b.next, newest
		l.measured(float64(len(b.raw))/float64(n) + recordOverhead)
	} else {
		l.next = max(l.next, b.next)
		if len(l.inFlight) == 0 {
			l.applied = l.next
		}
	}
	l.settle()
}

func (l *lag) measured(size float64) {
	if l.size == 0 {
		l.size = size
		return
	}
	l.size += sizeWeight * (size - l.size)
}

// passed notes that the oldest batch has been through the graph.
func (l *lag) passed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.inFlight) == 0 {
		return
	}
	l.applied = l.inFlight[0].next
	l.inFlight = append(l.inFlight[:0], l.inFlight[1:]...)
	l.settle()
}

func (l *lag) settle() {
	if l.applied >= l.end {
		l.even = time.Now()
	}
}

// clock is the processing time (µs) of the partition: now when all was applied that there is, and else when the newest
// record that was fetched had come; 0: not known.
func (l *lag) clock(now time.Time) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known && l.applied >= l.end {
		return now.UnixMicro()
	}
	return l.newest * 1000
}

// read tells the lag, and whether it is known. A record's own time is what its writer says, which may be anything; but it came after the
// moment at which there was nothing left to apply.
func (l *lag) read(now time.Time) (out PartitionLag, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out = PartitionLag{Applied: l.applied, End: l.end, RecordBytes: l.size}
	if l.applied >= l.end {
		return out, l.known
	}
	oldest := l.newest // what is not fetched is newer than that
	if len(l.inFlight) > 0 {
		oldest = l.inFlight[0].first
	}
	if oldest > 0 {
		out.Age = now.Sub(time.UnixMilli(oldest))
	}
	if !l.even.IsZero() {
		out.Age = min(out.Age, now.Sub(l.even))
	}
	out.Age = max(out.Age, 0)
	return out, l.known
}
