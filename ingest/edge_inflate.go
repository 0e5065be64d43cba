package ingest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"weir/internal/wsframe"
	"weir/wire"
)

// encoding is how a message or body is compressed.
type encoding string

const (
	encodingNone    encoding = ""
	encodingGzip    encoding = "gzip"
	encodingDeflate encoding = "deflate" // of HTTP: zlib's format, or what it wraps
	encodingZstd    encoding = "zstd"
	encodingMessage encoding = "permessage-deflate"
)

// zstdWindow is the window a zstd frame may ask for, as RFC 8878 §3.1.1.1.2 recommends.
const zstdWindow = 8 << 20

// encodingOf reads Content-Encoding. It is false for an encoding that is not spoken here, and for several.
func encodingOf(h http.Header) (encoding, bool) {
	values := h.Values("Content-Encoding")
	if len(values) > 1 {
		return "", false
	}
	switch e := strings.ToLower(strings.TrimSpace(strings.Join(values, ","))); e {
	case "", "identity":
		return encodingNone, true
	case "gzip", "x-gzip":
		return encodingGzip, true
	case "deflate":
		return encodingDeflate, true
	case "zstd":
		return encodingZstd, true
	}
	return "", false
}

// inflaters decompress what is in memory. Their readers are shared by all connections: an idle one keeps none.
type inflaters struct {
	raw, gzip, zlib sync.Pool
	zstd            *zstd.Decoder
}

// newInflaters makes those of messages that may be of limit bytes.
func newInflaters(limit int) (*inflaters, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(max(zstdWindow, limit))), zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, err
	}
	return &inflaters{zstd: d}, nil
}

// inflate decompresses data, to at most limit bytes. It asks for room when they turn out to be more than freeBytes;
// room's refusal is returned as it is.
func (z *inflaters) inflate(e encoding, data []byte, limit int, room func() *wire.Error) ([]byte, *wire.Error) {
	if e == encodingZstd {
		return z.inflateZstd(data, limit, room)
	}
	r, done, err := z.reader(e, data)
	if err != nil {
		return nil, wire.NewError(wire.CodeEncodingInvalid, "")
	}
	defer done()
	free := min(limit, freeBytes)
	buf, whole, err := fill(nil, r, free)
	if err == nil && !whole && limit > free {
		if refusal := room(); refusal != nil {
			return nil, refusal
		}
		buf, whole, err = fill(buf, r, limit)
	}
	if err != nil {
		return nil, wire.NewError(wire.CodeEncodingInvalid, "")
	}
	if !whole {
		return nil, wire.NewError(wire.CodeEncodingTooLarge, "")
	}
	return buf, nil
}

// fill appends to buf, which is whole when the reader has ended with no more than most bytes in it. One byte more is
// read to know.
func fill(buf []byte, r io.Reader, most int) (filled []byte, whole bool, err error) {
	for len(buf) <= most {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(max(2*cap(buf), 1<<10), most+1))
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), most+1)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, len(buf) <= most, nil
		}
		if err != nil {
			return buf, false, err
		}
	}
	return buf, false, nil
}

// inflateZstd learns how much it was only in the end. Until then as many buffers are in use as there are processors,
// each of zstdWindow bytes at most.
func (z *inflaters) inflateZstd(data []byte, limit int, room func() *wire.Error) ([]byte, *wire.Error) {
	var head zstd.Header
	if head.Decode(data) == nil && head.HasFCS && head.FrameContentSize > uint64(limit) {
		return nil, wire.NewError(wire.CodeEncodingTooLarge, "")
	}
	buf, err := z.zstd.DecodeAll(data, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || err == nil && len(buf) > limit:
		return nil, wire.NewError(wire.CodeEncodingTooLarge, "")
	case err != nil:
		return nil, wire.NewError(wire.CodeEncodingInvalid, "")
	case len(buf) > freeBytes:
		if refusal := room(); refusal != nil {
			return nil, refusal
		}
	}
	if cap(buf) > limit {
		buf = bytes.Clone(buf)
	}
	return buf, nil
}

// reader is one for data, to be given back by done.
func (z *inflaters) reader(e encoding, data []byte) (r io.Reader, done func(), err error) {
	switch src := bytes.NewReader(data); {
	case e == encodingGzip:
		return pooled(&z.gzip, func() *gzip.Reader { return new(gzip.Reader) }, func(r *gzip.Reader) error { return r.Reset(src) })
	case e == encodingDeflate && isZlib(data):
		return z.zlibReader(src)
	case e == encodingMessage:
		return z.rawReader(wsframe.NewDeflated(data))
	default:
		return z.rawReader(src)
	}
}

func (z *inflaters) rawReader(src io.Reader) (io.Reader, func(), error) {
	return pooled(&z.raw, func() io.ReadCloser { return flate.NewReader(nil) },
		func(r io.ReadCloser) error { return r.(flate.Resetter).Reset(src, nil) })
}

// zlibReader has no reader to begin with that is not reading something.
func (z *inflaters) zlibReader(src io.Reader) (io.Reader, func(), error) {
	r, ok := z.zlib.Get().(io.ReadCloser)
	var err error
	if ok {
		err = r.(zlib.Resetter).Reset(src, nil)
	} else {
		r, err = zlib.NewReader(src)
	}
	if err != nil {
		return nil, nil, err
	}
	return r, func() { z.zlib.Put(r) }, nil
}

func pooled[R io.Reader](pool *sync.Pool, begin func() R, reset func(R) error) (io.Reader, func(), error) {
	r, ok := pool.Get().(R)
	if !ok {
		r = begin()
	}
	done := func() { pool.Put(r) }
	if err := reset(r); err != nil {
		done()
		return nil, nil, err
	}
	return r, done, nil
}

// isZlib reports whether data begins as RFC 1950 says; some clients send what that wraps.
func isZlib(data []byte) bool {
	return len(data) >= 2 && data[0]&0xf == 8 && (uint(data[0])<<8|uint(data[1]))%31 == 0
}
