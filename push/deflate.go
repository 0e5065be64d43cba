package push

import (
	"encoding/binary"
	"runtime"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/flate"
)

// compressed is RSV1 of a frame: its message is compressed (RFC 7692 §6).
const compressed opcode = 0x40

// deflater compresses messages, each by itself: what is compressed once serves every connection that agreed on it. Its
// compressors, of about 800 KB, are as many as there are processors, and shared by all connections; an idle one keeps
// nothing.
type deflater struct {
	least       int                // bytes of a message; smaller ones are sent as they are. 0: nothing is compressed
	bytes       *metrics.Counter   // that went in
	compressors chan *flate.Writer // those that are free; nil: one that is made when it is needed
}

func newDeflater(bytes *metrics.Counter) deflater {
	d := deflater{bytes: bytes, compressors: make(chan *flate.Writer, runtime.GOMAXPROCS(0))}
	for range cap(d.compressors) {
		d.compressors <- nil
	}
	return d
}

// level is the one that compresses best of those that are about as quick as encoding is.
const level = flate.BestSpeed

// append compresses data and appends it, ending with a whole byte and without the end of the last block, which the
// receiver adds (RFC 7692 §7.2.1).
func (d *deflater) append(dst, data []byte) []byte {
	out := appender(dst)
	w := <-d.compressors
	if w != nil {
		w.Reset(&out)
	} else {
		w, _ = flate.NewWriter(&out, level)
	}
	_, _ = w.Write(data) // an appender takes all
	_ = w.Flush()
	d.bytes.Add(len(data))
	w.Reset(nil) // it must not keep the message
	d.compressors <- w
	return out[:len(out)-len("\x00\x00\xff\xff")]
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// messages compresses those of b, which holds whole messages, for which that is worth it.
func (d *deflater) messages(b []byte) []byte {
	if d.least == 0 || len(b) < d.least {
		return b
	}
	var out []byte
	for rest := b; len(rest) > 0; {
		first := rest
		op, payload, after := unwrap(rest)
		if rest = after; op != opText && op != opBinary || len(payload) < d.least {
			out = append(out, first[:len(first)-len(after)]...)
			continue
		}
		packed := message(op|compressed, d.append(newPayload(len(payload)/2), payload), 0)
		if len(out) == 0 && len(after) == 0 {
			return packed
		}
		out = append(out, packed...)
	}
	return out
}

// squeezed is what of a frame goes to connections that agreed on compression, made by the first that writes it: outside
// all locks, once for all of them.
type squeezed struct {
	once       sync.Once
	head, body []byte
}

// squeeze returns the frame with its messages compressed, if they are to be.
func (d *deflater) squeeze(f frame) frame {
	s := f.squeezed
	if s == nil {
		return f
	}
	s.once.Do(func() { s.head, s.body = d.messages(f.head), d.messages(f.body) })
	return frame{head: s.head, body: s.body, rows: f.rows}
}

// storedBlock is the beginning of a compressed message that is not: a block of data as it is, of less than 64 KiB
// (RFC 1951 §3.2.4). What is compressed by itself can follow.
func storedBlock(dst, data []byte) []byte {
	dst = append(dst, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(data)))
	dst = binary.LittleEndian.AppendUint16(dst, ^uint16(len(data)))
	return append(dst, data...)
}
