package kafka

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Requests that kafka-go offers only with a cost per record, or per partition, are spoken directly.
// Versions that both Kafka 3 and 4 know, none of them "flexible".
const (
	apiFetch       = 1
	apiListOffsets = 2

	versionFetch       = 11
	versionListOffsets = 2

	// maxResponse refuses what can only be a broken stream, or not Kafka.
	maxResponse = 256 << 20
	// maxKept is how large a buffer for responses may be to be kept for the next.
	maxKept = 4 << 20
	// readSize is the buffer between socket and response.
	readSize = 32 << 10
)

// brokerConn speaks to one broker, one request at a time. Not safe for concurrent use.
type brokerConn struct {
	conn        net.Conn
	read        *bufio.Reader
	clientID    string
	correlation int32
	out         []byte
	in          []byte
}

func (c *Client) connect(ctx context.Context, addr string) (*brokerConn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.opts.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return &brokerConn{conn: conn, read: bufio.NewReaderSize(conn, readSize), clientID: c.opts.ClientID}, nil
}

func (b *brokerConn) close() { _ = b.conn.Close() }

// roundTrip sends a request and returns the body of the answer, valid until the next. After an error the
// connection is of no further use.
func (b *brokerConn) roundTrip(ctx context.Context, api, version int16, timeout time.Duration, body func([]byte) []byte) ([]byte, error) {
	if err := b.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = b.conn.SetDeadline(time.Unix(1, 0)) })
	in, err := b.exchange(api, version, body)
	if !stop() && ctx.Err() != nil {
		return nil, ctx.Err() // the deadline is spoilt, whatever came back
	}
	return in, err
}

func (b *brokerConn) exchange(api, version int16, body func([]byte) []byte) ([]byte, error) {
	if cap(b.in) > maxKept {
		b.in = nil
	}
	b.correlation++
	be := binary.BigEndian
	out := be.AppendUint32(b.out[:0], 0) // size
	out = be.AppendUint16(out, uint16(api))
	out = be.AppendUint16(out, uint16(version))
	out = be.AppendUint32(out, uint32(b.correlation))
	out = appendString(out, b.clientID)
	out = body(out)
	be.PutUint32(out, uint32(len(out)-4))
	b.out = out
	if _, err := b.conn.Write(out); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(b.read, head[:]); err != nil {
		return nil, err
	}
	size := int64(be.Uint32(head[:])) - 4
	if size < 0 || size > maxResponse {
		return nil, fmt.Errorf("%w: response of %d bytes", errProtocol, size)
	}
	if got := int32(be.Uint32(head[4:])); got != b.correlation {
		return nil, fmt.Errorf("%w: answer to request %d instead of %d", errProtocol, got, b.correlation)
	}
	if int64(cap(b.in)) < size {
		b.in = make([]byte, size, size+size/4)
	}
	b.in = b.in[:size]
	_, err := io.ReadFull(b.read, b.in)
	return b.in, err
}

// errProtocol means that the other side does not speak as Kafka does.
var errProtocol = errors.New("protocol error")

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

// wireReader reads the fixed-size fields of a response; after an error it yields zeros and stays bad.
type wireReader struct {
	b   []byte
	bad bool
}

func (r *wireReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *wireReader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *wireReader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *wireReader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *wireReader) string() string { return string(r.take(int(r.int16()))) }

// count reads the length of an array whose elements take at least min bytes.
func (r *wireReader) count(min int) int {
	n := int(r.int32())
	if n < 0 {
		return 0
	}
	if n > len(r.b)/min {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}
