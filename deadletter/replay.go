package deadletter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// Replay says how a letter is to be sent again.
type Replay struct {
	// Frame is the mended frame, in the letter's format; nil: as it was.
	Frame []byte
	// All takes every reading of the frame. Otherwise those are left out that were stored when the letter was
	// written, by their position in the frame.
	All bool
	// DryRun checks and stores nothing.
	DryRun bool
	// By is who does it, and MayWrite says for which devices; nil: for all.
	By       string
	MayWrite func(device string) bool
}

// Outcome is what a replay has done.
type Outcome struct {
	ID       string           `json:"id"`
	Stored   int              `json:"stored"`
	Skipped  int              `json:"skipped,omitempty"` // readings that were stored before
	Rejected []wire.Rejection `json:"rejected,omitempty"`
	DryRun   bool             `json:"dry_run,omitempty"`
}

// sessionPrefix begins the sessions of replays.
const sessionPrefix = "weir-dead-letters-"

// Replay stores what a letter's frame had refused. All or nothing: when a reading is still refused, Outcome tells
// which and why, and nothing is stored. Errors are a *wire.Error (letter_unknown, letter_replayed,
// letter_truncated, forbidden, or what is wrong with the frame), or say that Kafka did not take it.
func (s *Store) Replay(ctx context.Context, id ID, how Replay) (*Outcome, error) {
	out, err := s.replay(ctx, id, how)
	if err != nil || len(out.Rejected) > 0 {
		s.refused.Inc()
	}
	return out, err
}

func (s *Store) replay(ctx context.Context, id ID, how Replay) (*Outcome, error) {
	done, err := s.begin(ctx, id)
	if err != nil {
		return nil, err
	}
	defer done()
	letter, err := s.unresolved(ctx, id)
	if err != nil {
		return nil, err
	}
	raw := letter.Raw
	switch {
	case how.Frame != nil:
		raw = how.Frame
	case letter.truncated:
		return nil, wire.NewError(wire.CodeLetterTruncated, "id")
	}
	dec, err := s.o.Decoder(&letter.DeadLetter)
	if err != nil {
		return nil, err
	}
	frame, err := dec.Decode(raw)
	if err != nil {
		return nil, err
	}
	out := &Outcome{ID: id.String(), DryRun: how.DryRun}
	wanted := letter.Rejected
	if how.All {
		wanted = nil
	}
	batches, err := choose(frame, wanted, how.MayWrite, out)
	if err != nil || len(out.Rejected) > 0 || how.DryRun {
		return out, err
	}
	if err := s.store(ctx, id, letter, frame, batches); err != nil {
		return nil, err
	}
	if err := s.resolve(ctx, id, Replayed, how.By); err != nil {
		return nil, err
	}
	s.replayed.Inc()
	return out, nil
}

// unresolved is a letter of which nothing has become yet.
func (s *Store) unresolved(ctx context.Context, id ID) (*Letter, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("dead letter %s: %w", id, ctx.Err())
	}
	letter, err := s.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if r := letter.Resolution; r != nil {
		return nil, &wire.Error{Code: wire.CodeLetterReplayed, Path: "id",
			Message: fmt.Sprintf("the dead letter was %s by %s at %s", r.Outcome, r.By, instant(r.Time))}
	}
	return letter, nil
}

// choose picks the readings that are to be stored: of the wanted positions, or all when none is named.
func choose(frame *wire.Frame, wanted []uint32, mayWrite func(string) bool, out *Outcome) ([]telemetry.Batch, error) {
	takes := func(index int) bool { return len(wanted) == 0 || slices.Contains(wanted, uint32(index)) }
	for _, r := range frame.Rejected {
		if takes(r.Index) {
			out.Rejected = append(out.Rejected, r)
		}
	}
	var batches []telemetry.Batch
	for i := range frame.Batches {
		b := frame.Batches[i]
		var kept []telemetry.Reading
		for j := range b.Readings {
			if takes(frame.Index[i][j]) {
				kept = append(kept, b.Readings[j])
			} else {
				out.Skipped++
			}
		}
		if len(kept) == 0 {
			continue
		}
		if mayWrite != nil && !mayWrite(b.Device) {
			return nil, &wire.Error{Code: wire.CodeForbidden, Path: "device", Message: "the credentials do not permit readings of " + strconv.Quote(b.Device)}
		}
		b.Readings = kept
		batches = append(batches, b)
		out.Stored += len(kept)
	}
	if len(batches) == 0 && len(out.Rejected) == 0 {
		return nil, &wire.Error{Code: wire.CodeFrameEmpty, Message: "the frame has none of the readings that were refused; replay all of it if they are others now"}
	}
	return batches, nil
}

// begin waits until nobody else in this process deals with the letter.
func (s *Store) begin(ctx context.Context, id ID) (done func(), err error) {
	for {
		s.mu.Lock()
		others := s.busy[id]
		if others == nil {
			mine := make(chan struct{})
			s.busy[id] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.busy, id)
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-others:
		case <-ctx.Done():
			return nil, fmt.Errorf("dead letter %s: %w", id, ctx.Err())
		}
	}
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int
}

// store writes the batches, those of the past to the backlog, under a session and seq by which the pipeline counts a
// repetition once.
func (s *Store) store(ctx context.Context, id ID, letter *Letter, frame *wire.Frame, batches []telemetry.Batch) error {
	now := time.Now().UnixMicro()
	session, seq := identity(id, letter, frame)
	records := make(map[place][]kafka.Record)
	for i := range batches {
		b := batches[i]
		b.Session, b.Seq, b.Ingest = session, seq, now
		p := kafka.PartitionFor(b.Device, s.o.Partitions)
		live, past := s.divide(b.Readings, frame.Backlog, now)
		for topic, readings := range map[string][]telemetry.Reading{wire.TopicReadings: live, wire.TopicBacklog: past} {
			if b.Readings = readings; len(readings) > 0 {
				at := place{topic, p}
				records[at] = append(records[at], kafka.Record{Key: []byte(b.Device), Value: wire.AppendReadingBatch(nil, &b)})
			}
		}
	}
	for at, recs := range records {
		if _, err := s.o.Producer.ProduceSync(ctx, at.topic, at.partition, recs); err != nil {
			return fmt.Errorf("replay dead letter %s: %w", letter.ID, err)
		}
	}
	return nil
}

// divide takes readings apart as ingest does.
func (s *Store) divide(readings []telemetry.Reading, backlog bool, now int64) (live, past []telemetry.Reading) {
	if backlog {
		return nil, readings
	}
	for _, r := range readings {
		if s.o.Lateness > 0 && r.Time < now-s.o.Lateness.Microseconds() {
			past = append(past, r)
		} else {
			live = append(live, r)
		}
	}
	return live, past
}

// identity is the session and seq of a replay. A frame that was sent twice has left two letters: those of frames with
// a session and seq of their own are one by them. What the pipeline refused of a frame is apart from what ingest did.
func identity(id ID, letter *Letter, frame *wire.Frame) (session string, seq uint64) {
	if frame.Session == "" || !frame.HasSeq {
		return sessionPrefix + strconv.Itoa(id.Partition), uint64(id.Offset)
	}
	sum := sha256.Sum256([]byte(frame.Session))
	return sessionPrefix + letter.Stage + "-" + hex.EncodeToString(sum[:8]), frame.Seq
}

// Discard marks a letter as of no use.
func (s *Store) Discard(ctx context.Context, id ID, by string) error {
	done, err := s.begin(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	if _, err := s.unresolved(ctx, id); err != nil {
		return err
	}
	if err := s.resolve(ctx, id, Discarded, by); err != nil {
		return err
	}
	s.discarded.Inc()
	return nil
}

// resolve writes what became of a letter, and waits until this Store knows.
func (s *Store) resolve(ctx context.Context, id ID, outcome, by string) error {
	mark := wire.DeadLetter{
		Stage: wire.StageReplay, Code: outcome, Message: by, Time: time.Now().UnixMicro(),
		Topic: wire.TopicDeadLetters, Partition: int32(id.Partition), Offset: id.Offset,
	}
	record := kafka.Record{Key: []byte(sessionPrefix + id.String()), Value: wire.AppendDeadLetter(nil, &mark)}
	if _, err := s.o.Producer.ProduceSync(ctx, wire.TopicDeadLetters, id.Partition, []kafka.Record{record}); err != nil {
		return fmt.Errorf("resolve dead letter %s: %w", id, err)
	}
	for {
		s.mu.Lock()
		_, known := s.parts[id.Partition].resolved[id.Offset]
		changed := s.changed
		s.mu.Unlock()
		if known {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("resolve dead letter %s: written, but not read back yet", id), ctx.Err())
		}
	}
}
