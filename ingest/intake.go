package ingest

import (
	"context"
	"slices"

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
	order    []encoderKey // the one whose use is longest ago first
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

// begin is conn's, for a frame with a tag.
func (in *intake) begin(tag uint64) *receipt {
	r := in.c.begin()
	if r != nil {
		in.tags[(r.Frame-1)%uint64(len(in.tags))] = tag
	}
	return r
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
		e = newEncoder(c.srv, dialect{device: device, format: format})
		in.encoders[key] = e
		if len(in.order) == keepEncoders {
			delete(in.encoders, in.order[0])
			in.order = slices.Delete(in.order, 0, 1)
		}
	} else {
		i := slices.Index(in.order, key)
		in.order = slices.Delete(in.order, i, i+1)
	}
	in.order = append(in.order, key)
	if c.enc != nil {
		e.credits = c.enc.credits
	}
	e.principal, e.presence = c.who.Load(), c.presence
	c.enc = e
	return e
}

// submitNumbered is submit for a frame that numbers came beside.
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
