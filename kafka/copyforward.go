package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Trimmer deletes the beginning of a partition: records at offsets below before.
type Trimmer interface {
	DeleteRecords(ctx context.Context, topic string, partition int, before int64) error
}

// CopyForwardOptions of CopyForward.
type CopyForwardOptions struct {
	Topic     string
	Partition int
	// Cut is where the old part ends: records below it are copied or vanish. 0: the end of the log.
	Cut int64
	// Producer writes the copies. It must be the partition's only writer, and write nothing else meanwhile,
	// or an old value could be written after a newer one.
	Producer *Producer
	// Headers are put on the copies in place of their fence: those of the present owner.
	Headers []Header
	Trimmer Trimmer
	// Moved, if not nil, is told of every record copied, its offset still the old one, where it is now. It is called from
	// a goroutine of the producer, before the old part is trimmed, and must not keep the record.
	Moved func(r *Record, to int64)
}

// CopyForwardResult tells what CopyForward did.
type CopyForwardResult struct {
	Read, Copied int   // records of the old part
	Bytes        int64 // keys and values copied
	First        int64 // where the log begins now
}

// copyChunkBytes is about how much is handed to the producer at once.
const copyChunkBytes = 128 << 10

// CopyForward bounds a compacted topic where the broker does not compact: of the part below the cut, the
// newest value of each key that has no newer record in the whole log is written again at the end, and then
// the part is trimmed. Tombstones below the cut vanish with what they deleted; so do fence records, records
// of fenced writers and records without a key. A crash at any step leaves the same newest value for every
// key, as trimming comes after the acknowledgement of the last copy. It holds the old part's keys in memory.
func (c *Client) CopyForward(ctx context.Context, opts CopyForwardOptions) (CopyForwardResult, error) {
	f := &copyForward{client: c, opts: opts, newest: make(map[string]int64)}
	if err := f.run(ctx); err != nil {
		return f.result, fmt.Errorf("copy forward %s/%d: %w", opts.Topic, opts.Partition, err)
	}
	return f.result, nil
}

type copyForward struct {
	client *Client
	opts   CopyForwardOptions
	log    OffsetRange
	newest map[string]int64 // offset of the record to copy, by key
	result CopyForwardResult

	chunk      []Record
	chunkBytes int

	mu     sync.Mutex
	failed error // first error of a copy
	end    int64 // offset after the newest copy acknowledged
}

func (f *copyForward) run(ctx context.Context) error {
	ranges, err := f.client.Offsets(ctx, f.opts.Topic)
	if err != nil {
		return err
	}
	if f.opts.Partition >= len(ranges) {
		return errors.New("no such partition")
	}
	f.log = ranges[f.opts.Partition]
	f.result.First, f.end = f.log.First, f.log.End
	if f.opts.Cut <= 0 || f.opts.Cut > f.log.End {
		f.opts.Cut = f.log.End
	}
	if f.opts.Cut <= f.log.First {
		return nil
	}
	if err := f.survey(ctx); err != nil {
		return err
	}
	if err := f.copy(ctx); err != nil {
		return err
	}
	if err := f.opts.Trimmer.DeleteRecords(ctx, f.opts.Topic, f.opts.Partition, f.opts.Cut); err != nil {
		return err
	}
	f.result.First = f.opts.Cut
	return nil
}

// survey reads the whole log and notes what is to be copied.
func (f *copyForward) survey(ctx context.Context) error {
	var fence FenceFilter
	return f.read(ctx, f.log.End, func(r *Record) error {
		old := r.Offset < f.opts.Cut
		if old {
			f.result.Read++
		}
		switch {
		case r.Key == nil || !fence.Accept(r):
		case old && r.Value != nil:
			f.newest[string(r.Key)] = r.Offset
		default:
			delete(f.newest, string(r.Key))
		}
		return nil
	})
}

// copy reads the old part again and produces the survivors.
func (f *copyForward) copy(ctx context.Context) error {
	err := f.read(ctx, f.opts.Cut, func(r *Record) error {
		if at, ok := f.newest[string(r.Key)]; !ok || at != r.Offset || r.Key == nil {
			return nil
		}
		return f.add(ctx, r)
	})
	if err != nil {
		return err
	}
	if err := f.send(ctx); err != nil {
		return err
	}
	if err := f.opts.Producer.Flush(ctx); err != nil {
		return err
	}
	return f.failure()
}

func (f *copyForward) read(ctx context.Context, to int64, fn func(*Record) error) error {
	return f.client.ReadRange(ctx, f.opts.Topic, f.opts.Partition, f.log.First, to, fn)
}

func (f *copyForward) add(ctx context.Context, r *Record) error {
	out := r.Clone()
	out.Headers = slices.DeleteFunc(out.Headers, func(h Header) bool { return h.Key == FenceHeader })
	out.Headers = append(out.Headers, f.opts.Headers...)
	f.chunk = append(f.chunk, out)
	f.chunkBytes += len(out.Key) + len(out.Value)
	f.result.Copied++
	f.result.Bytes += int64(len(out.Key) + len(out.Value))
	if f.chunkBytes >= copyChunkBytes {
		return f.send(ctx)
	}
	return nil
}

// send hands the chunk to the producer, which copies it.
func (f *copyForward) send(ctx context.Context) error {
	if err := f.failure(); err != nil || len(f.chunk) == 0 {
		return err
	}
	n, moved := int64(len(f.chunk)), f.chunk[:0:0]
	if f.opts.Moved != nil {
		moved = slices.Clone(f.chunk)
	}
	err := f.opts.Producer.Produce(ctx, f.opts.Topic, f.opts.Partition, f.chunk, func(base int64, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.failed = errors.Join(f.failed, err); f.failed != nil {
			return
		}
		if base < 0 { // only a retry was confirmed; nobody else writes to the partition
			base = f.end
		}
		f.end = base + n
		for i := range moved {
			f.opts.Moved(&moved[i], base+int64(i))
		}
	})
	f.chunk, f.chunkBytes = f.chunk[:0], 0
	return err
}

func (f *copyForward) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}
