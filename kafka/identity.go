package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// identity is what a producer is known by to brokers.
type identity struct {
	producer int64
	epoch    int16
}

var noIdentity = identity{producer: -1, epoch: -1}

// transactionTimeoutMs is told to the broker; no transaction is ever opened.
const transactionTimeoutMs = 60_000

// identities hands out producer ids. A fenced producer has one for all partitions, whose epoch only grows.
type identities struct {
	client          *Client
	transactionalID string

	mu      sync.Mutex
	current identity
}

func (s *identities) shared() identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// open asks for the first identity; with a transactional id it ends that of any predecessor.
func (s *identities) open(ctx context.Context) error { return s.replace(ctx, noIdentity) }

// renew asks for the next epoch with the present one, so that a successor's is left alone.
func (s *identities) renew(ctx context.Context) error { return s.replace(ctx, s.shared()) }

func (s *identities) replace(ctx context.Context, with identity) error {
	next, err := s.client.initProducerID(ctx, s.transactionalID, with)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.current = next
	s.mu.Unlock()
	return nil
}

// fresh asks for another identity, for one partition of a producer without transactional id.
func (s *identities) fresh(ctx context.Context) (identity, error) {
	return s.client.initProducerID(ctx, "", noIdentity)
}

// initProducerID asks until it is answered or ctx ends. A wrong epoch or id means a successor: ErrFenced.
func (c *Client) initProducerID(ctx context.Context, transactionalID string, old identity) (identity, error) {
	var out identity
	err := c.retry(ctx, func() error {
		res, err := c.api.InitProducerID(ctx, &kafkago.InitProducerIDRequest{
			TransactionalID: transactionalID, TransactionTimeoutMs: transactionTimeoutMs,
			// -1 and -1 when there is none: 0 would be somebody's.
			ProducerID: int(old.producer), ProducerEpoch: int(old.epoch),
		})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			if Classify(err) == ReasonFenced && old != noIdentity {
				return errors.Join(ErrFenced, err)
			}
			return err
		}
		out = identity{producer: int64(res.Producer.ProducerID), epoch: int16(res.Producer.ProducerEpoch)}
		return nil
	})
	if err != nil {
		return noIdentity, fmt.Errorf("init producer id: %w", err)
	}
	return out, nil
}

func rawRecords(batch []byte) protocol.RawRecordSet {
	return protocol.RawRecordSet{Reader: bytes.NewReader(batch)}
}
