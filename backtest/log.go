package backtest

import (
	"context"
	"errors"
	"io"

	"weir/kafka"
	"weir/wire"
)

// logFetchBytes bounds what is held of each partition.
const logFetchBytes = 256 << 10

// Log is weir.readings as it was when it was opened: all partitions together, in the order of time. Not safe for
// concurrent use.
type Log struct {
	parts []*part
	// taken is the partition of the record that was handed out last.
	taken *part
	// Lost counts offsets that were deleted meanwhile or cannot be read.
	Lost int64
}

// part is a partition.
type part struct {
	tail    *kafka.Tail
	end     int64
	records []kafka.Record
}

// OpenLog begins at the first record of each partition.
func OpenLog(ctx context.Context, client *kafka.Client) (*Log, error) {
	ranges, err := client.Offsets(ctx, wire.TopicReadings)
	if err != nil {
		return nil, err
	}
	l := new(Log)
	for i, r := range ranges {
		l.parts = append(l.parts, &part{end: r.End, tail: client.NewTail(kafka.TailOptions{
			Topic: wire.TopicReadings, Partition: i, Offset: r.First, MaxBytes: logFetchBytes,
		})})
	}
	return l, nil
}

// Next implements Source.
func (l *Log) Next(ctx context.Context) (*kafka.Record, error) {
	if l.taken != nil {
		l.taken.records = l.taken.records[1:]
		l.taken = nil
	}
	for _, p := range l.parts {
		if err := l.fill(ctx, p); err != nil {
			return nil, err
		}
		if len(p.records) > 0 && (l.taken == nil || p.records[0].Time < l.taken.records[0].Time) {
			l.taken = p
		}
	}
	if l.taken == nil {
		return nil, io.EOF
	}
	return &l.taken.records[0], nil
}

// fill sees to it that p has a record, if there is one before its end.
func (l *Log) fill(ctx context.Context, p *part) error {
	for len(p.records) == 0 && p.tail.Offset() < p.end {
		before := p.tail.Offset()
		f, err := p.tail.Next(ctx)
		var corrupt *kafka.CorruptError
		var gone *kafka.ErrOffsetOutOfRange
		switch {
		case errors.As(err, &corrupt):
			p.tail.SeekTo(corrupt.Next)
			l.Lost += corrupt.Next - before
			continue
		case errors.As(err, &gone) && gone.First > before:
			p.tail.SeekTo(gone.First)
			l.Lost += gone.First - before
			continue
		case err != nil:
			return err
		}
		p.records = f.Records
	}
	for n := len(p.records); n > 0 && p.records[n-1].Offset >= p.end; n-- {
		p.records = p.records[:n-1]
	}
	return nil
}

// Close ends the reading.
func (l *Log) Close() {
	for _, p := range l.parts {
		_ = p.tail.Close()
		_, _ = p.tail.Next(context.Background()) // which gives the connection back
	}
}
