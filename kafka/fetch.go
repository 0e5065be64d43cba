package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// fetchRequest asks for records of one partition.
type fetchRequest struct {
	topic     string
	partition int
	offset    int64
	maxBytes  int
	maxWait   time.Duration
	committed bool // what is in no transaction that is open
}

// abortedTransaction is one of which a fetch has records, from an offset on until the next control batch of its producer.
type abortedTransaction struct {
	producer, first int64
	ended           bool
}

// fetchResponse is the answer; data is the raw record batches, valid until the connection's next request.
type fetchResponse struct {
	highWatermark int64
	logStart      int64
	aborted       []abortedTransaction // only if committed was asked for
	data          []byte
}

// fetchGrace is how much longer than maxWait an answer may take.
const fetchGrace = 10 * time.Second

func (b *brokerConn) fetch(ctx context.Context, req *fetchRequest) (fetchResponse, error) {
	in, err := b.roundTrip(ctx, apiFetch, versionFetch, req.maxWait+fetchGrace, req.append)
	if err != nil {
		return fetchResponse{}, err
	}
	return parseFetch(in, req.partition)
}

func (req *fetchRequest) append(dst []byte) []byte {
	const none = 0xffffffff
	isolation := byte(0)
	if req.committed {
		isolation = 1
	}
	be := binary.BigEndian
	dst = be.AppendUint32(dst, none) // replica: a client
	dst = be.AppendUint32(dst, uint32(req.maxWait.Milliseconds()))
	dst = be.AppendUint32(dst, 1) // min bytes: answer as soon as there is something
	dst = be.AppendUint32(dst, uint32(req.maxBytes))
	dst = append(dst, isolation)
	dst = be.AppendUint32(dst, 0)    // session
	dst = be.AppendUint32(dst, none) // session epoch: no session
	dst = be.AppendUint32(dst, 1)
	dst = appendString(dst, req.topic)
	dst = be.AppendUint32(dst, 1)
	dst = be.AppendUint32(dst, uint32(req.partition))
	dst = be.AppendUint32(dst, none) // leader epoch unknown
	dst = be.AppendUint64(dst, uint64(req.offset))
	dst = be.AppendUint64(dst, ^uint64(0)) // log start: for followers
	dst = be.AppendUint32(dst, uint32(req.maxBytes))
	dst = be.AppendUint32(dst, 0) // forgotten topics
	return appendString(dst, "")  // rack
}

func parseFetch(in []byte, partition int) (fetchResponse, error) {
	r := wireReader{b: in}
	r.int32() // throttle
	code := r.int16()
	r.int32() // session
	out := fetchResponse{highWatermark: -1}
	found := false
	for range r.count(6) {
		r.take(int(r.int16())) // topic
		for range r.count(38) {
			found = int(r.int32()) == partition || found
			if c := r.int16(); c != 0 {
				code = c
			}
			out.highWatermark = r.int64()
			r.int64() // last stable
			out.logStart = r.int64()
			for range r.count(16) {
				out.aborted = append(out.aborted, abortedTransaction{producer: r.int64(), first: r.int64()})
			}
			r.int32() // preferred replica
			if n := r.int32(); n > 0 {
				out.data = r.take(int(n))
			}
		}
	}
	if code != 0 {
		return out, codeError(code)
	}
	if r.bad || !found {
		return out, fmt.Errorf("%w: fetch", errProtocol)
	}
	return out, nil
}
