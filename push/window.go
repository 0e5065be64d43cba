package push

import (
	"slices"
	"sync"
)

// blockBytes is how much of a log is kept, and let go, at a time.
const blockBytes = 64 << 10

// window keeps the newest records of the tailed topics as they were read, so that a client that comes back can be
// told what happened meanwhile. It has a lock of its own: tails add to it before the hub applies a record, so what
// the hub has applied is in it.
type window struct {
	budget int // bytes of all logs together; each has an equal part

	mu   sync.Mutex
	logs map[string][]*recent // by topic and partition
	n    int                  // logs
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
		w.n++
	}
	if r := w.logs[topic][partition]; r.next != from {
		*r = recent{from: from, next: from}
	}
}

// add takes the records that count of what was read of a partition; next is the offset after all that was read. The
// values are copied.
func (w *window) add(topic string, partition int, records []stored, next int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.logs[topic][partition]
	for i := range records {
		r.add(&records[i])
	}
	r.next = next
	for r.bytes > w.budget/w.n && len(r.blocks) > 0 {
		r.drop()
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

// drop lets the oldest block go.
func (r *recent) drop() {
	b := r.blocks[0]
	r.bytes -= cap(b.bytes) + 16*blockRecords
	r.blocks = slices.Delete(r.blocks, 0, 1)
	r.from = r.next
	if len(r.blocks) > 0 {
		r.from = r.blocks[0].offsets[0]
	}
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
