package ingest

import (
	"context"
	"errors"
	"time"

	"weir/auth"
	"weir/devices"
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
	// writtenSample: one in so many frames of a connection tells the size of records.
	writtenSample = 16
	// recordOverhead is about what a record takes in the log beside its key and value.
	recordOverhead = 24
)

// Producer stores records; *kafka.Producer is one.
type Producer interface {
	Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(base int64, err error)) error
}

// encoder turns frames into records and hands them to the producer, if the principal may write them and the server
// takes them. It holds the decoder's buffers, and is not safe for concurrent use: a connection from which frames come
// has its own, requests take one from a pool.
type encoder struct {
	srv     *Server
	device  string // of a connection that named one
	format  wire.Format
	unit    wire.TimeUnit // of times that are numbers, as the client has declared
	dry     bool          // frames are checked and nothing of them is stored
	numbers numbers       // that came beside the frame
	// principal is who speaks; nil may do everything. It is set anew when new credentials come.
	principal *auth.Principal
	allowed   allowed
	presence  *devices.Conn // of the connection; nil: nobody wants to know

	dec wire.FrameDecoder
	own string // the device of readings that name none, if the principal may write it
	// tenant is put before devices that names in the frame make.
	tenant string

	buf      []byte // keys and values of the frame's records
	spans    []span // where they lie in buf
	late     []telemetry.Reading
	recs     [][]kafka.Record // by slot; those of the backlog are made when they are first needed
	last     knownSession
	quotas   [lanes]quota
	charges  [lanes][]charge
	credits  [lanes]credit
	pressure uint32 // of the partitions that the frame has readings for
	clock    int64  // when the frame was last looked at, ns as of gates.monotonic
	produced uint   // frames so far
}

// span is a record in buf: its key is the device's name, its value follows.
type span struct {
	lane                  lane
	partition, key, value int
	end                   int
}

func newEncoder(srv *Server, d dialect) *encoder {
	e := &encoder{srv: srv, device: d.device, format: d.format, unit: d.unit, recs: make([][]kafka.Record, srv.partitions)}
	for i := range e.credits {
		e.credits[i].most = srv.cfg.Credit
	}
	return e
}

// submit decodes one frame, which came at r.started, and produces its records. The caller's release of r
// follows. It blocks while the producer's buffer is full, until ctx ends.
func (e *encoder) submit(ctx context.Context, raw []byte, r *receipt) {
	e.recognise()
	defer e.shrink()
	r.tracker = e.tracker()
	e.srv.metrics.bytes.Add(len(raw))
	e.begin()
	frame, err := e.dec.Decode(raw)
	if err != nil {
		e.refuse(ctx, raw, r, err)
		return
	}
	e.renumber(frame)
	r.Seq, r.HasSeq = frame.Seq, frame.HasSeq
	e.permit(frame, raw)
	r.Rejected = append(r.Rejected, frame.Rejected...)
	lane := e.encode(frame, r)
	if e.dry {
		r.checked()
		return
	}
	e.chargeRefused(lane, len(frame.Rejected))
	r.Credit = e.credit(lane, r.started)
	if e.lagging(r) || e.crowded(r) || e.underway(r) || e.limited(r) {
		return
	}
	e.store(ctx, raw, r, frame)
}

// store keeps what was refused in a frame and produces the rest.
func (e *encoder) store(ctx context.Context, raw []byte, r *receipt, frame *wire.Frame) {
	through := false
	defer func() {
		if !through {
			r.disclaim() // after a panic the receipt is never settled
		}
	}()
	if len(frame.Rejected) > 0 {
		e.keepRejected(ctx, raw, r, frame)
	}
	e.produce(ctx, r)
	through = true
}

// tracker is told of what is stored; what is only checked concerns nobody.
func (e *encoder) tracker() Tracker {
	if e.dry {
		return nil
	}
	return e.srv.tracker
}

// begin forgets the frame before.
func (e *encoder) begin() {
	e.buf, e.spans, e.late, e.pressure = e.buf[:0], e.spans[:0], e.late[:0], 0
	for i := range e.charges {
		e.charges[i] = e.charges[i][:0]
	}
}

// shrink gives back what an unusually large frame has grown: its connection may stay silent for days.
func (e *encoder) shrink() {
	e.dec.Release()
	if cap(e.buf) > keepBytes {
		e.buf = nil
	}
	if cap(e.late) > keepDevices {
		e.late = nil
	}
	if cap(e.spans) > keepDevices {
		e.spans = nil
	}
	for i := range e.charges {
		if cap(e.charges[i]) > keepDevices {
			e.charges[i] = nil
		}
		e.quotas[i].shrink()
	}
	for slot := range e.recs {
		if cap(e.recs[slot]) > keepDevices {
			e.recs[slot] = nil
		}
	}
}

// refuse answers a frame that could not be understood at all. It counts as one reading.
func (e *encoder) refuse(ctx context.Context, raw []byte, r *receipt, err error) {
	e.recognise()
	e.begin()
	if !e.dry {
		e.chargeRefused(live, 1)
		r.Credit = e.credit(live, r.started)
		if e.limited(r) {
			return
		}
	}
	if !errors.As(err, &r.Err) {
		r.Err = wire.NewError(wire.CodeInternal, "")
		e.srv.logger.Error("decode failed without a code", "error", err)
	}
	if e.dry {
		r.checked()
		return
	}
	byCode(e.srv.metrics.rejectedFrames, r.Err.Code).Inc()
	if r.tracker != nil {
		r.trackRefused(e.own, 0, r.Err.Code, r.Err.Path)
	}
	e.deadLetter(ctx, raw, r, wire.DeadLetter{Code: r.Err.Code, Path: r.Err.Path, Message: r.Err.Message})
}

// encode lays the frame's batches into buf, but those known to be stored already, and tells which lane the frame
// belongs to: the backlog's if nothing in it is live.
func (e *encoder) encode(frame *wire.Frame, r *receipt) lane {
	newest, current := int64(0), false
	for i := range frame.Batches {
		b := &frame.Batches[i]
		t := timesOf(b.Readings, b.Ingest)
		newest = max(newest, t.newest)
		var info *devices.FrameInfo
		if r.tracker != nil {
			info = r.track(b, &t)
		}
		if frame.HasSeq && frame.Session != "" {
			s := e.session(b.Device, frame.Session)
			if s.acknowledged(frame.Seq) {
				r.Duplicate += len(b.Readings)
				if info != nil {
					info.Duplicate = len(b.Readings)
				}
				continue
			}
			r.acks = append(r.acks, s)
		}
		accepted, late := e.encodeBatch(b, &t, frame.Backlog)
		past := late
		if frame.Backlog {
			past = accepted
		}
		e.charge(live, b.Device, accepted+late-past)
		e.charge(backlog, b.Device, past)
		current = current || accepted > 0
		r.Accepted += accepted
		r.Late += late
		if info != nil {
			info.Accepted, info.Late, info.Backlog = accepted, late, past
		}
	}
	if r.tracker != nil && len(frame.Rejected) > 0 {
		r.trackRefused(e.own, len(frame.Rejected), frame.Rejected[0].Code, frame.Rejected[0].Path)
	}
	if newest > 0 && newest < r.started && !frame.Backlog {
		e.srv.metrics.deviceLatency.Update(float64(r.started-newest) / 1e6)
	}
	if frame.Backlog || r.Late > 0 && !current {
		return backlog
	}
	return live
}

// encodeBatch lays a batch into buf, as one record, or as two if some of it is late.
func (e *encoder) encodeBatch(b *telemetry.Batch, t *times, marked bool) (accepted, late int) {
	partition := kafka.PartitionFor(b.Device, e.srv.partitions)
	if marked {
		e.place(b, backlog, partition)
		return len(b.Readings), 0
	}
	if bound := b.Ingest - e.srv.lateness; e.srv.lateness > 0 && t.oldest != 0 && t.oldest < bound {
		old := *b
		old.Readings = e.split(b, bound)
		late = len(old.Readings)
		e.place(&old, backlog, partition)
	}
	if len(b.Readings) > 0 {
		e.pressure = max(e.pressure, e.srv.admission.of(partition))
		e.place(b, live, partition)
	}
	return len(b.Readings), late
}

func (e *encoder) place(b *telemetry.Batch, lane lane, partition int) {
	key := len(e.buf)
	e.buf = append(e.buf, b.Device...)
	value := len(e.buf)
	e.buf = wire.AppendReadingBatch(e.buf, b)
	e.spans = append(e.spans, span{lane, partition, key, value, len(e.buf)})
}

func (e *encoder) session(device, name string) *session {
	return e.srv.sessions.find(&e.last, device, name)
}

// credit is what the receipt says a device may have without one.
func (e *encoder) credit(lane lane, now int64) int {
	return e.credits[lane].next(now, max(e.pressure, e.srv.shares[lane].fill()))
}

// places is how many of the ring's places may be taken: those that the device has credit for.
func (e *encoder) places(ring int) uint64 {
	c := &e.credits[live]
	if c.at == 0 || c.now >= float64(c.most) {
		return uint64(ring) // as most of the time; the next frame looks again
	}
	return uint64(min(ring, max(1, c.next(nowMicros(), e.srv.shares[live].fill()))))
}

// unconcerned reports whether nothing is lost with the encoder: its connection has all the credit there is.
func (e *encoder) unconcerned() bool {
	for i := range e.credits {
		if c := &e.credits[i]; c.at != 0 && c.now < float64(c.most) {
			return false
		}
	}
	return true
}

// produce sends what encode has laid out: one call, hence one atomic record batch, per partition and lane.
func (e *encoder) produce(ctx context.Context, r *receipt) {
	for _, s := range e.spans {
		rec := kafka.Record{Time: r.started / 1000, Key: e.buf[s.key:s.value], Value: e.buf[s.value:s.end]}
		slot := e.slot(s)
		e.recs[slot] = append(e.recs[slot], rec)
		r.hold(&e.srv.shares[s.lane], s.lane, int64(s.end-s.key+recordOverhead))
	}
	for _, s := range e.spans {
		slot := e.slot(s)
		recs := e.recs[slot]
		if len(recs) == 0 {
			continue // went out with an earlier span
		}
		e.send(ctx, r, laneTopics[s.lane], s.partition, recs)
		clear(recs)
		e.recs[slot] = recs[:0]
	}
	if e.produced++; e.produced%writtenSample == 1 && len(e.spans) > 0 {
		e.srv.written.add(len(e.spans), len(e.buf)+recordOverhead*len(e.spans))
	}
}

// slot is where the records of a lane and partition are gathered.
func (e *encoder) slot(s span) int {
	slot := int(s.lane)*e.srv.partitions + s.partition
	if slot >= len(e.recs) {
		e.recs = append(e.recs, make([][]kafka.Record, e.srv.partitions)...)
	}
	return slot
}

func (e *encoder) send(ctx context.Context, r *receipt, topic string, partition int, recs []kafka.Record) {
	r.pending.Add(1)
	if err := e.srv.producer.Produce(ctx, topic, partition, recs, r.done); err != nil {
		r.fail(err)
		r.release()
	}
	asked := e.clock
	e.clock = e.srv.monotonic()
	if waited := time.Duration(e.clock - asked); waited > time.Millisecond {
		e.srv.metrics.blockedProducer.Add(waited.Seconds())
	}
}
