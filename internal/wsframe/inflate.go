package wsframe

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Deflated reads a message of permessage-deflate: the client has left out the end of its last block, which is empty
// (RFC 7692 §7.2.2), and a block that says it is the last follows, or the reader would want more.
type Deflated struct {
	data []byte
	tail int // bytes of deflatedTail read
}

const deflatedTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// NewDeflated reads data, a whole message.
func NewDeflated(data []byte) *Deflated { return &Deflated{data: data} }

// Read implements io.Reader.
func (d *Deflated) Read(p []byte) (int, error) {
	if len(d.data) > 0 {
		n := copy(p, d.data)
		d.data = d.data[n:]
		return n, nil
	}
	if d.tail == len(deflatedTail) {
		return 0, io.EOF
	}
	n := copy(p, deflatedTail[d.tail:])
	d.tail += n
	return n, nil
}

// ReadByte implements io.ByteReader, so that the decompressor needs no buffer of its own.
func (d *Deflated) ReadByte() (byte, error) {
	var b [1]byte
	if _, err := d.Read(b[:]); err != nil {
		return 0, err
	}
	return b[0], nil
}

// Inflater unpacks messages, each by itself. Its readers are shared by all connections: an idle one keeps none.
type Inflater struct{ pool sync.Pool }

// ErrInflated is of a message of more bytes than are allowed.
var ErrInflated = errors.New("the message is too large once it is not compressed")

// Inflate unpacks a message, to at most limit bytes.
func (z *Inflater) Inflate(message []byte, limit int) ([]byte, error) {
	src := NewDeflated(message)
	r, ok := z.pool.Get().(io.ReadCloser)
	if !ok {
		r = flate.NewReader(src)
	} else if err := r.(flate.Resetter).Reset(src, nil); err != nil {
		return nil, fmt.Errorf("unpack a message: %w", err)
	}
	defer z.pool.Put(r)
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpack a message: %w", err)
	case len(out) > limit:
		return nil, ErrInflated
	}
	return out, nil
}
