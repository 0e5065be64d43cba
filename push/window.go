package push

import (
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"
)

// blockBytes is how much of a log is kept, and let go, at a time.
const blockBytes = 64 << 10

// window keeps the newest records of the tailed topics as they were read, so that a client that comes back can be
// told what happened meanwhile. It has a lock of its own: tails add to it before the hub applies a record, so what
// the hub has applied is in it.
type window struct {
	budget   int      // bytes of all logs together; when there are more, the largest gives way
	readBack readBack // fixed before the first read: what is older; nil: nothing
	readings singleflight.Group

	mu    sync.Mutex
	logs  map[string][]*recent // by topic and partition
	bytes int                  // of all logs
}

// recent are the newest records of one partition.
type recent struct {
	from, next int64 // every record that counts of [from, next) is here
	blocks     []*block
	bytes      int
}

// block holds records one after the other. It is only ever appended to, within the capacity it was made with, so a
// reader may keep what it has seen of it without the lock.
type block struct {
	bytes   []byte
	offsets []int64
	ends    []int // of each record in bytes
}

// stored is a record as the log has it.
type stored struct {
	offset int64
	value  []byte
}

func newWindow(budget int) *window { return &window{budget: budget, logs: make(map[string][]*recent)} }

// begin says that a partition is read from an offset on. What was kept of it does not join up, and is let go.
func (w *window) begin(topic string, partition int, from int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.logs[topic]) <= partition {
		w.logs[topic] = append(w.logs[topic], &recent{})
	}
	if r := w.logs[topic][partition]; r.next != from {
		w.bytes -= r.bytes
		*r = recent{from: from, next: from}
	}
}

// add takes the records that count of what was read of a partition; next is the offset after all that was read. The
// values are copied.
func (w *window) add(topic string, partition int, records []stored, next int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.logs[topic][partition]
	w.bytes -= r.bytes
	for i := range records {
		r.add(&records[i])
	}
	r.next = next
	w.bytes += r.bytes
	w.shrinkLocked()
}

// prepend takes the records that count of a partition's [from, to), which were read of the log, unless they do not join
// up any more with what is here. The values are copied.
func (w *window) prepend(topic string, partition int, records []stored, from, to int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.logs[topic][partition]
	if r.from != to {
		return
	}
	older := recent{from: from, next: to}
	for i := range records {
		older.add(&records[i])
	}
	r.from, r.blocks, r.bytes = from, append(older.blocks, r.blocks...), r.bytes+older.bytes
	w.bytes += older.bytes
	w.shrinkLocked()
}

// shrinkLocked lets the oldest of the largest log go until all are within the budget.
func (w *window) shrinkLocked() {
	for w.bytes > w.budget {
		var largest *recent
		for _, logs := range w.logs {
			for _, r := range logs {
				if largest == nil || r.bytes > largest.bytes {
					largest = r
				}
			}
		}
		w.bytes -= largest.drop()
	}
}

func (r *recent) add(s *stored) {
	var b *block
	if n := len(r.blocks); n > 0 {
		b = r.blocks[n-1]
	}
	if b == nil || cap(b.bytes)-len(b.bytes) < len(s.value) || len(b.offsets) == cap(b.offsets) {
		size := max(blockBytes, len(s.value))
		b = &block{bytes: make([]byte, 0, size), offsets: make([]int64, 0, blockRecords), ends: make([]int, 0, blockRecords)}
		r.blocks = append(r.blocks, b)
		r.bytes += size + 16*blockRecords
	}
	b.bytes = append(b.bytes, s.value...)
	b.offsets = append(b.offsets, s.offset)
	b.ends = append(b.ends, len(b.bytes))
}

// blockRecords bounds the records of a block; small ones fill it before its bytes do.
const blockRecords = 512

// drop lets the oldest block go, and returns how large it was.
func (r *recent) drop() (size int) {
	b := r.blocks[0]
	size = cap(b.bytes) + 16*blockRecords
	r.bytes -= size
	r.blocks = slices.Delete(r.blocks, 0, 1)
	r.from = r.next
	if len(r.blocks) > 0 {
		r.from = r.blocks[0].offsets[0]
	}
	return size
}

// span returns the records of a partition with from <= offset < to, oldest first; have is the first offset from
// which on the window has all of them: what is before has to be read from the log.
func (w *window) span(topic string, partition int, from, to int64) (records []stored, have int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if partition >= len(w.logs[topic]) {
		return nil, to
	}
	r := w.logs[topic][partition]
	for _, b := range r.blocks {
		if b.offsets[len(b.offsets)-1] < from {
			continue
		}
		start := 0
		for i, offset := range b.offsets {
			end := b.ends[i]
			if offset >= from && offset < to {
				records = append(records, stored{offset, b.bytes[start:end:end]})
			}
			start = end
		}
	}
	return records, max(from, min(r.from, to))
}
