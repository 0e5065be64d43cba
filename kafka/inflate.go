package kafka

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Weir does not compress its batches; other producers may. kafka-go's codecs are not used, as its snappy and
// zstd readers do not come back from some broken input.
const (
	codecGzip   = 1
	codecSnappy = 2
	codecLZ4    = 3
	codecZstd   = 4

	// maxInflated bounds what one compressed batch may grow to.
	maxInflated = 64 << 20
)

var errInflated = fmt.Errorf("more than %d bytes", maxInflated)

func inflate(b []byte, codec uint16) ([]byte, error) {
	switch codec {
	case codecGzip:
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return readBounded(r)
	case codecSnappy:
		return inflateSnappy(b)
	case codecLZ4:
		return readBounded(lz4.NewReader(bytes.NewReader(b)))
	case codecZstd:
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxInflated))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		return d.DecodeAll(b, nil)
	}
	return nil, errors.New("unknown codec")
}

func readBounded(r io.Reader) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err == nil && len(out) > maxInflated {
		err = errInflated
	}
	return out, err
}

// xerialMagic begins what Java clients write: the magic, two versions of 4 bytes, then blocks with their
// length in front. Others write a bare block.
var xerialMagic = []byte("\x82SNAPPY\x00")

const xerialHead = 16

func inflateSnappy(b []byte) ([]byte, error) {
	if len(b) < xerialHead || !bytes.HasPrefix(b, xerialMagic) {
		return appendSnappy(nil, b)
	}
	var out []byte
	for b = b[xerialHead:]; len(b) > 0; {
		if len(b) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(b))
		if b = b[4:]; n > int64(len(b)) {
			return nil, io.ErrUnexpectedEOF
		}
		var err error
		if out, err = appendSnappy(out, b[:n]); err != nil {
			return nil, err
		}
		b = b[n:]
	}
	return out, nil
}

func appendSnappy(dst, block []byte) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, err
	}
	if n > maxInflated-len(dst) {
		return nil, errInflated
	}
	out, err := snappy.Decode(nil, block)
	return append(dst, out...), err
}
