package table

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"weir/kafka"
)

// FollowOptions say what Follow reads, and who is told. All but MaxWait are required.
type FollowOptions struct {
	Client    *kafka.Client
	Topic     string
	Partition int
	// There is where the partition began and ended at the start.
	There   kafka.OffsetRange
	MaxWait time.Duration
	// Loaded is called once, when all of There has been applied, or passed over.
	Loaded func()
	// Apply takes what was fetched, which may be nothing; next is the offset behind it.
	Apply func(f *kafka.Fetch, next int64)
	// Lost is told of n offsets that are passed over as they are damaged; it goes on at next.
	Lost   func(n, next int64, err error)
	Logger *slog.Logger
}

// Follow reads a partition from its beginning on until ctx ends. It goes past what retention has removed and what is
// damaged, and tries again after other errors.
func Follow(ctx context.Context, o FollowOptions) {
	tail := o.Client.NewTail(kafka.TailOptions{
		Topic: o.Topic, Partition: o.Partition, Offset: kafka.FirstOffset, MaxWait: o.MaxWait})
	defer func() { _ = tail.Close() }()
	loaded := false
	for ctx.Err() == nil {
		if !loaded && (o.There.First == o.There.End || tail.Offset() >= o.There.End) {
			loaded = true
			o.Loaded()
		}
		fetch, err := tail.Next(ctx)
		if err != nil {
			o.recover(ctx, tail, err)
			continue
		}
		o.Apply(&fetch, tail.Offset())
	}
}

// recover has a tail go on where it can, after an error of its Next.
func (o *FollowOptions) recover(ctx context.Context, tail *kafka.Tail, err error) {
	var trimmed *kafka.ErrOffsetOutOfRange
	var corrupt *kafka.CorruptError
	switch {
	case errors.As(err, &trimmed):
		tail.SeekTo(kafka.FirstOffset)
		return
	case errors.As(err, &corrupt):
		tail.SeekTo(corrupt.Next)
		o.Lost(corrupt.Next-corrupt.First, corrupt.Next, err)
		return
	case ctx.Err() != nil:
		return
	}
	o.Logger.Warn("cannot be read; trying again", "topic", o.Topic, "partition", o.Partition, "error", err)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
}
