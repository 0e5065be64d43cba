package ingest

import (
	"context"
	"errors"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

const (
	// maxDeadLetterBytes is how much of a refused frame is kept.
	maxDeadLetterBytes = 64 << 10
	// keepBytes of records, of keepDevices devices, are what an encoder keeps room for between frames.
	keepBytes   = 16 << 10
	keepDevices = 64
)

// Producer stores records; *kafka.Producer is one.
type Producer interface {
	Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(base int64, err error)) error
}

// encoder turns frames into records and hands them to the producer. Each connection has one, as it holds
// the decoder's buffers; it is not safe for concurrent use.
type encoder struct {
	srv    *Server
	dec    *wire.Decoder
	device string // of a connection that named one

	buf   []byte           // keys and values of the frame's records
	spans []span           // where they lie in buf
	recs  [][]kafka.Record // by partition
	last  knownSession
}

// span is a record in buf: its key is the device's name, its value follows.
type span struct{ partition, key, value, end int }

// knownSession saves the look-up for a connection that speaks for one device.
type knownSession struct {
	key sessionKey
	s   *session
}

func newEncoder(srv *Server, device string) *encoder {
	return &encoder{
		srv:    srv,
		device: device,
		dec:    wire.NewDecoder(srv.decoderOptions(device)),
		recs:   make([][]kafka.Record, srv.partitions),
	}
}

// submit decodes one frame, which came at r.started, and produces its records. The caller's release of r
// follows. It blocks while the producer's buffer is full, until ctx ends.
func (e *encoder) submit(ctx context.Context, raw []byte, r *receipt) {
	defer e.shrink()
	e.srv.metrics.bytes.Add(len(raw))
	frame, err := e.dec.Decode(raw)
	if err != nil {
		e.refuse(ctx, raw, r, err)
		return
	}
	r.Seq, r.HasSeq = frame.Seq, frame.HasSeq
	e.reject(frame, r)
	e.encode(frame, r)
	if len(frame.Rejected) > 0 {
		e.deadLetter(ctx, raw, r, letterOf(frame))
	}
	e.produce(ctx, r)
}

// shrink gives back what an unusually large frame has grown: its connection may stay silent for days.
func (e *encoder) shrink() {
	e.dec.Release()
	if cap(e.buf) > keepBytes {
		e.buf = nil
	}
	if cap(e.spans) > keepDevices {
		e.spans = nil
	}
	for partition := range e.recs {
		if cap(e.recs[partition]) > keepDevices {
			e.recs[partition] = nil
		}
	}
}

// refuse answers a frame that could not be understood at all.
func (e *encoder) refuse(ctx context.Context, raw []byte, r *receipt, err error) {
	if !errors.As(err, &r.Err) {
		r.Err = wire.NewError(wire.CodeInternal, "")
		e.srv.logger.Error("decode failed without a code", "error", err)
	}
	byCode(e.srv.metrics.rejectedFrames, r.Err.Code).Inc()
	e.deadLetter(ctx, raw, r, wire.DeadLetter{Code: r.Err.Code, Path: r.Err.Path, Message: r.Err.Message})
}

func (e *encoder) reject(frame *wire.Frame, r *receipt) {
	r.Rejected = append(r.Rejected, frame.Rejected...)
	for i := range frame.Rejected {
		byCode(e.srv.metrics.rejectedReadings, frame.Rejected[i].Code).Inc()
	}
}

// encode lays the frame's batches into buf, but those known to be stored already.
func (e *encoder) encode(frame *wire.Frame, r *receipt) {
	e.buf, e.spans = e.buf[:0], e.spans[:0]
	newest := int64(0)
	for i := range frame.Batches {
		b := &frame.Batches[i]
		if frame.HasSeq && frame.Session != "" {
			s := e.session(b.Device, frame.Session)
			if s.acknowledged(frame.Seq) {
				r.Duplicate += len(b.Readings)
				continue
			}
			r.acks = append(r.acks, s)
		}
		r.Accepted += len(b.Readings)
		newest = max(newest, b.Readings[len(b.Readings)-1].Time)
		e.place(b)
	}
	if newest > 0 && newest < r.started {
		e.srv.metrics.deviceLatency.Update(float64(r.started-newest) / 1e6)
	}
}

func (e *encoder) place(b *telemetry.Batch) {
	key := len(e.buf)
	e.buf = append(e.buf, b.Device...)
	value := len(e.buf)
	e.buf = wire.AppendReadingBatch(e.buf, b)
	e.spans = append(e.spans, span{kafka.PartitionFor(b.Device, e.srv.partitions), key, value, len(e.buf)})
}

func (e *encoder) session(device, name string) *session {
	key := sessionKey{device, name}
	if e.last.s == nil || e.last.key != key {
		s := e.srv.sessions.get(device, name)
		e.last = knownSession{key, s}
	}
	return e.last.s
}

// produce sends what encode has laid out: one call, hence one atomic record batch, per partition.
func (e *encoder) produce(ctx context.Context, r *receipt) {
	for _, s := range e.spans {
		rec := kafka.Record{Time: r.started / 1000, Key: e.buf[s.key:s.value], Value: e.buf[s.value:s.end]}
		e.recs[s.partition] = append(e.recs[s.partition], rec)
	}
	for _, s := range e.spans {
		recs := e.recs[s.partition]
		if len(recs) == 0 {
			continue // went out with an earlier span
		}
		e.send(ctx, r, wire.TopicReadings, s.partition, recs)
		clear(recs)
		e.recs[s.partition] = recs[:0]
	}
}

// deadLetter keeps a frame that was refused, wholly or in part, so that it can be mended and replayed. It
// counts among the frame's records: its receipt waits for it.
func (e *encoder) deadLetter(ctx context.Context, raw []byte, r *receipt, letter wire.DeadLetter) {
	letter.Time, letter.Stage = r.started, "ingest"
	if letter.Device == "" {
		letter.Device = e.device
	}
	letter.Raw = raw[:min(len(raw), maxDeadLetterBytes)]
	value := wire.AppendDeadLetter(nil, &letter)
	rec := kafka.Record{Time: r.started / 1000, Key: []byte(letter.Device), Value: value}
	e.srv.metrics.deadLetters.Inc()
	e.send(ctx, r, wire.TopicDeadLetters, kafka.PartitionFor(letter.Device, e.srv.partitions), []kafka.Record{rec})
}

func (e *encoder) send(ctx context.Context, r *receipt, topic string, partition int, recs []kafka.Record) {
	r.pending.Add(1)
	asked := time.Now()
	if err := e.srv.producer.Produce(ctx, topic, partition, recs, r.done); err != nil {
		r.fail(err)
		r.release()
	}
	if waited := time.Since(asked); waited > time.Millisecond {
		e.srv.metrics.blockedProducer.Add(waited.Seconds())
	}
}

// letterOf describes a frame by the first reading refused in it.
func letterOf(frame *wire.Frame) wire.DeadLetter {
	first := &frame.Rejected[0]
	letter := wire.DeadLetter{Code: first.Code, Path: first.Path, Message: first.Message}
	if len(frame.Batches) > 0 {
		letter.Device = frame.Batches[0].Device
	}
	return letter
}
