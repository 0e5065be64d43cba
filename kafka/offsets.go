package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
)

// OffsetRange is what a partition holds: offsets from First up to, and not including, End.
type OffsetRange struct {
	First, End int64
}

const (
	// FirstOffset and EndOffset stand for the ends of a partition, as in Kafka's protocol.
	FirstOffset int64 = -2
	EndOffset   int64 = -1
)

// Offsets returns the range of every partition of a topic.
func (c *Client) Offsets(ctx context.Context, topic string) ([]OffsetRange, error) {
	var out []OffsetRange
	err := c.retry(ctx, func() error {
		t, err := c.topic(ctx, topic)
		if err != nil {
			return err
		}
		out = make([]OffsetRange, len(t.Partitions))
		byLeader := make(map[string][]int)
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if p.Leader.Host == "" || p.ID >= len(out) {
				return kafkago.LeaderNotAvailable
			}
			byLeader[brokerAddr(p.Leader)] = append(byLeader[brokerAddr(p.Leader)], p.ID)
		}
		for addr, partitions := range byLeader {
			if err := c.queryOffsets(ctx, addr, topic, partitions, out); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("offsets of %s: %w", topic, err)
	}
	return out, nil
}

// Committed returns the offsets a group has committed, per partition; -1 where it has none.
func (c *Client) Committed(ctx context.Context, group, topic string, partitions int) ([]int64, error) {
	ids := make([]int, partitions)
	out := make([]int64, partitions)
	for i := range ids {
		ids[i], out[i] = i, -1
	}
	err := c.retry(ctx, func() error {
		res, err := c.api.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: ids}})
		if err == nil {
			err = res.Error
		}
		if errors.Is(err, kafkago.GroupIdNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, p := range res.Topics[topic] {
			if p.Error != nil {
				return p.Error
			}
			if p.Partition >= 0 && p.Partition < partitions {
				out[p.Partition] = p.CommittedOffset
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("committed offsets of %s on %s: %w", group, topic, err)
	}
	return out, nil
}

// Lag returns how many offsets a group is behind, per partition: from what it has committed, or else from
// the first offset, to the end.
func (c *Client) Lag(ctx context.Context, group, topic string) ([]int64, error) {
	ranges, err := c.Offsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	committed, err := c.Committed(ctx, group, topic, len(ranges))
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(ranges))
	for i, r := range ranges {
		out[i] = max(r.End-max(committed[i], r.First), 0)
	}
	return out, nil
}

// query is a connection to a leader for questions, kept between them. kafka-go would open one connection
// per partition and end.
type query struct {
	mu   sync.Mutex
	conn *brokerConn
}

func (q *query) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.conn != nil {
		q.conn.close()
		q.conn = nil
	}
}

func (c *Client) query(addr string) (*query, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	q := c.queries[addr]
	if q == nil {
		q = new(query)
		c.queries[addr] = q
	}
	return q, nil
}

// queryOffsets asks one leader for both ends of partitions and puts them into out.
func (c *Client) queryOffsets(ctx context.Context, addr, topic string, partitions []int, out []OffsetRange) error {
	q, err := c.query(addr)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for attempt := 0; ; attempt++ {
		fresh := q.conn == nil
		if fresh {
			if q.conn, err = c.connect(ctx, addr); err != nil {
				q.conn = nil
				return err
			}
		}
		if err = q.conn.offsets(ctx, topic, partitions, out); err == nil || answered(err) {
			return err
		}
		q.conn.close()
		q.conn = nil
		if fresh || ctx.Err() != nil {
			return err // a kept connection may have been closed by the broker meanwhile, a new one not
		}
	}
}

// offsets asks for both ends of partitions of a topic and puts them into out, by partition.
func (b *brokerConn) offsets(ctx context.Context, topic string, partitions []int, out []OffsetRange) error {
	for _, end := range []int64{FirstOffset, EndOffset} {
		in, err := b.roundTrip(ctx, apiListOffsets, versionListOffsets, requestTimeout, func(dst []byte) []byte {
			return appendListOffsets(dst, topic, partitions, end)
		})
		if err != nil {
			return err
		}
		r := wireReader{b: in}
		r.int32() // throttle
		for range r.count(6) {
			r.string()
			for range r.count(22) {
				p, code := int(r.int32()), r.int16()
				r.int64() // timestamp
				offset := r.int64()
				if err := codeError(code); err != nil {
					return err
				}
				switch {
				case p < 0 || p >= len(out):
					r.bad = true
				case end == FirstOffset:
					out[p].First = offset
				default:
					out[p].End = offset
				}
			}
		}
		if r.bad {
			return fmt.Errorf("%w: list offsets", errProtocol)
		}
	}
	return nil
}

func appendListOffsets(dst []byte, topic string, partitions []int, end int64) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(dst, 0xffffffff) // replica: a client
	dst = append(dst, 0)                   // isolation: read uncommitted
	dst = be.AppendUint32(dst, 1)
	dst = appendString(dst, topic)
	dst = be.AppendUint32(dst, uint32(len(partitions)))
	for _, p := range partitions {
		dst = be.AppendUint32(dst, uint32(p))
		dst = be.AppendUint64(dst, uint64(end))
	}
	return dst
}
