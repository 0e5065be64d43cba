package push

import (
	"context"
	"fmt"
	"slices"
	"strconv"
)

// readBack reads what the window does not have any more: the records that count of a partition's [from, to).
type readBack func(ctx context.Context, topic string, partition int, from, to int64) ([]stored, error)

// stretch is a part of a log: the records that count of [from, to).
type stretch struct {
	from, to int64
	records  []stored
}

// read returns the records that count of a partition's [from, to). What is older than the window is read from the log,
// by one for all who ask meanwhile, and is in the window then as far as that has room, for all who ask later: however
// many views there are to which clients come back, the log is read once. cost are the bytes that were read for this
// call, whether or not they were of use.
func (w *window) read(ctx context.Context, topic string, partition int, from, to int64) (records []stored, cost int, err error) {
	for {
		newer, have := w.span(topic, partition, from, to)
		if have == from {
			return newer, cost, nil
		}
		if w.readBack == nil {
			return nil, cost, errTooOld
		}
		if err := ctx.Err(); err != nil {
			return nil, cost, fmt.Errorf("%w: %w", errTooOld, err)
		}
		older, read, err := w.readOnce(ctx, topic, partition, from, have)
		cost += read
		switch {
		case err == nil && older.from <= from && older.to >= have:
			return slices.Concat(older.between(from, have), newer), cost, nil
		case err != nil && older.from == from && older.to == have:
			return nil, cost, fmt.Errorf("%w: %w", errTooOld, err)
		}
		// It was somebody else's, who wanted less, or more than can be had.
	}
}

// readOnce reads, unless somebody does: then it returns what that one has read. Of what cannot be read the result says
// what it was. cost are the bytes that this call has read.
func (w *window) readOnce(ctx context.Context, topic string, partition int, from, to int64) (_ *stretch, cost int, _ error) {
	result, err, _ := w.readings.Do(topic+"/"+strconv.Itoa(partition), func() (any, error) {
		// The reading before may have ended between the caller's look at the window and now.
		if newer, have := w.span(topic, partition, from, to); have == from {
			return &stretch{from: from, to: to, records: newer}, nil
		}
		// Others wait for it, whether or not the first asker still does.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTime)
		defer cancel()
		records, err := w.readBack(ctx, topic, partition, from, to)
		for i := range records {
			cost += len(records[i].value)
		}
		if err == nil {
			w.prepend(topic, partition, records, from, to)
		}
		return &stretch{from: from, to: to, records: records}, err
	})
	return result.(*stretch), cost, err
}

// between are the records of [from, to), oldest first.
func (r *stretch) between(from, to int64) []stored {
	at := func(s stored, offset int64) int { return int(min(max(s.offset-offset, -1), 1)) }
	first, _ := slices.BinarySearchFunc(r.records, from, at)
	end, _ := slices.BinarySearchFunc(r.records, to, at)
	return r.records[first:end]
}
