package ingest

import (
	"context"

	"weir/wire"
)

// keepEncoders is how many encoders an intake keeps: of the devices that a connection has spoken for last.
const keepEncoders = 16

// intake takes frames of another protocol than Weir's own into a connection's ring: each for a device of its own, in
// a format of its own. Their receipts are told apart by tags. It is the reader's, but for tag.
type intake struct {
	c        *conn
	tags     []uint64 // by place in the ring
	encoders map[encoderKey]*encoder
	order    []encoderKey // the oldest first
}

type encoderKey struct {
	device string
	format wire.Format
}

// numbers are a session and seq that came beside a frame.
type numbers struct {
	session string
	seq     uint64
	known   bool
}

func newIntake(c *conn) *intake {
	return &intake{c: c, tags: make([]uint64, c.srv.cfg.Credit), encoders: make(map[encoderKey]*encoder)}
}

// begin waits for a place in the ring, and takes it for a frame with a tag. It is nil when the connection is not to
// take any more. end is to follow.
func (in *intake) begin(tag uint64) *receipt {
	c := in.c
	if !c.await(nowMicros()) {
		return nil
	}
	r := c.next()
	in.tags[c.tail.Load()%uint64(len(c.ring))] = tag
	c.frames++
	r.begin(c.frames, c.srv.cfg.Credit, nowMicros())
	c.tail.Add(1)
	c.srv.inflight.Add(1)
	return r
}

func (in *intake) end(r *receipt) {
	in.c.owed.Add(r.owed())
	r.release()
}

// tag is that of the frame at a place in the ring. It is the writer's, for frames whose receipt is ready.
func (in *intake) tag(frame uint64) uint64 { return in.tags[frame%uint64(len(in.tags))] }

// encoder is the one for a device, which may be none, and a format. It becomes the connection's.
func (in *intake) encoder(device string, format wire.Format) *encoder {
	c := in.c
	if c.enc != nil && c.enc.device == device && c.enc.format == format {
		return c.enc
	}
	key := encoderKey{device, format}
	e := in.encoders[key]
	if e == nil {
		e = newEncoder(c.srv, device)
		e.format = format
		if len(in.order) == keepEncoders {
			delete(in.encoders, in.order[0])
			in.order = in.order[1:]
		}
		in.encoders[key] = e
		in.order = append(in.order, key)
	}
	if c.enc != nil {
		e.credits = c.enc.credits
	}
	e.principal, e.presence = c.who.Load(), c.presence
	c.enc = e
	return e
}

// submit hands a frame to an encoder.
func (e *encoder) submitNumbered(ctx context.Context, raw []byte, n numbers, r *receipt) {
	e.numbers = n
	e.submit(ctx, raw, r)
	e.numbers = numbers{}
}

// renumber puts what came beside the frame into it.
func (e *encoder) renumber(frame *wire.Frame) {
	n := e.numbers
	if !n.known {
		return
	}
	frame.Seq, frame.HasSeq = n.seq, true
	if n.session != "" {
		frame.Session = n.session
	}
	for i := range frame.Batches {
		frame.Batches[i].Session, frame.Batches[i].Seq = frame.Session, n.seq
	}
}
