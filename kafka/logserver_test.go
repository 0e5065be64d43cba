package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
)

// logServer answers fetches of one partition from batches in memory, as a broker does: from the batch that
// holds the offset on.
type logServer struct {
	batches [][]byte
	ends    []int64
	aborted []abortedTransaction
	asked   byte               // the isolation of the newest fetch
	single  bool               // answer with one batch at a time
	before  func(offset int64) // called with what is asked for, before it is answered
}

func (s *logServer) add(raw []byte, end int64) {
	s.batches, s.ends = append(s.batches, raw), append(s.ends, end)
}

// tail returns a tail of the partition from its beginning; connect must come before each Next.
func (s *logServer) tail(t *testing.T) *Tail {
	t.Helper()
	c, err := New(Options{Brokers: []string{"x:1"}})
	if err != nil {
		t.Fatal(err)
	}
	tail := c.NewTail(TailOptions{Topic: "t"})
	t.Cleanup(func() {
		_ = tail.Close()
		tail.drop()
		c.Close()
	})
	return tail
}

// connect gives the tail a connection, if it has none: there is no metadata here to find a leader in.
func (s *logServer) connect(t *testing.T, tail *Tail) {
	t.Helper()
	if tail.conn != nil {
		return
	}
	near, far := net.Pipe()
	go s.serve(far)
	tail.client.opts.Dial = func(context.Context, string, string) (net.Conn, error) { return near, nil }
	var err error
	if tail.conn, err = tail.client.connect(t.Context(), "x:1"); err != nil {
		t.Fatal(err)
	}
}

func (s *logServer) serve(conn net.Conn) {
	defer conn.Close()
	be := binary.BigEndian
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		req := make([]byte, be.Uint32(head[:]))
		if _, err := io.ReadFull(conn, req); err != nil {
			return
		}
		r := wireReader{b: req[4:]} // after API and version
		correlation := r.int32()
		r.string()
		r.take(4 + 4 + 4 + 4)
		s.asked = r.take(1)[0]
		r.take(4 + 4 + 4)
		topic := r.string()
		r.take(4 + 4 + 4)
		body := s.answer(topic, r.int64())
		out := be.AppendUint32(nil, uint32(4+len(body)))
		out = be.AppendUint32(out, uint32(correlation))
		if _, err := conn.Write(append(out, body...)); err != nil {
			return
		}
	}
}

func (s *logServer) answer(topic string, offset int64) []byte {
	if s.before != nil {
		s.before(offset)
	}
	be := binary.BigEndian
	out := be.AppendUint32(nil, 0) // throttle
	out = be.AppendUint16(out, 0)
	out = be.AppendUint32(out, 0)
	out = be.AppendUint32(out, 1)
	out = appendString(out, topic)
	out = be.AppendUint32(out, 1)
	out = be.AppendUint32(out, 0)
	out = be.AppendUint16(out, 0)
	out = be.AppendUint64(out, uint64(s.ends[len(s.ends)-1]))
	out = be.AppendUint64(out, 0) // last stable
	out = be.AppendUint64(out, 0) // log start
	out = be.AppendUint32(out, uint32(len(s.aborted)))
	for _, a := range s.aborted {
		out = be.AppendUint64(out, uint64(a.producer))
		out = be.AppendUint64(out, uint64(a.first))
	}
	out = be.AppendUint32(out, 0)
	first, _ := slices.BinarySearch(s.ends, offset+1)
	batches := s.batches[first:]
	if s.single {
		batches = batches[:1]
	}
	data := bytes.Join(batches, nil)
	out = be.AppendUint32(out, uint32(len(data)))
	return append(out, data...)
}
