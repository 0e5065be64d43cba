package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// verdict is what an attempt's outcome asks for.
type verdict int

const (
	verdictStored verdict = iota // acknowledged
	verdictAgain                 // refused for now, nothing stored by this attempt
	verdictDoubt                 // no answer, or one that leaves open whether it is stored
	verdictReset                 // the broker does not know our sequence: not stored by this attempt
	verdictFenced                // a successor has taken over
	verdictFailed                // refused for good, nothing stored by this attempt
)

// judge sorts an attempt's outcome. doubt tells that an earlier attempt of the same batch may have stored it.
func judge(err error, transactional, doubt bool) verdict {
	var code kafkago.Error
	switch {
	case err == nil:
		return verdictStored
	case neverSent(err):
		return verdictAgain
	case errors.As(err, &code):
		return judgeCode(code, transactional, doubt)
	}
	return verdictDoubt
}

// judgeCode takes only those codes for a refusal that a leader answers before it appends. A leader that
// loses its place while it waits for the replicas answers as one that never had it; so anything else, also
// what is not known here, leaves open whether the batch is stored.
func judgeCode(code kafkago.Error, transactional, doubt bool) verdict {
	switch code {
	case kafkago.DuplicateSequenceNumber:
		if doubt {
			return verdictStored
		}
		return verdictReset
	case kafkago.OutOfOrderSequenceNumber, kafkago.UnknownProducerId:
		return verdictReset
	case kafkago.InvalidProducerEpoch, kafkago.ProducerFenced, kafkago.InvalidProducerIDMapping:
		if transactional {
			return verdictFenced
		}
		return verdictReset
	case kafkago.NotEnoughReplicas, kafkago.ThrottlingQuotaExceeded:
		return verdictAgain
	case kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge,
		kafkago.InvalidMessage, kafkago.InvalidMessageSize, kafkago.InvalidRecord, kafkago.InvalidTimestamp,
		kafkago.InvalidTopic, kafkago.InvalidRequest, kafkago.InvalidRequiredAcks, kafkago.InvalidTransactionState,
		kafkago.UnsupportedVersion, kafkago.UnsupportedForMessageFormat, kafkago.UnsupportedCompressionType,
		kafkago.PolicyViolation, kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed,
		kafkago.TransactionalIDAuthorizationFailed, kafkago.SASLAuthenticationFailed:
		return verdictFailed
	}
	return verdictDoubt
}

// deliver sends b until the outcome is known or the delivery timeout has passed. All attempts carry the same
// identity and sequence, by which the broker tells a retry from a new batch. A batch that is given up after it
// reached a broker leaves the queue stale: were its sequence used again and it is stored after all, the next
// batch would be taken for its retry, and be acknowledged without being stored.
func (q *queue) deliver(b *batch) (base int64, err error) {
	if err := q.p.gate.Acquire(q.p.ctx, 1); err != nil {
		return -1, context.Cause(q.p.ctx)
	}
	defer q.p.gate.Release(1)

	pause := newBackOff()
	deadline := b.opened.Add(q.p.opts.DeliveryTimeout)
	if q.failing && time.Now().After(deadline) {
		return -1, ErrTimeout // or a long queue would wait for the broker once per batch
	}
	reached, doubt := false, false
	defer func() {
		if reached && err != nil {
			q.stale = true
		}
	}()
	for {
		if err := q.p.refusal(); err != nil {
			return -1, err
		}
		if err := q.identify(doubt, deadline); err != nil {
			if q.failing = true; Retriable(err) || q.p.ctx.Err() != nil {
				err = q.pause(pause.NextBackOff(), deadline, doubt, err)
			}
			if err != nil {
				return -1, err
			}
			continue
		}
		base, err = q.attempt(b)
		reached = reached || !neverSent(err)
		switch judge(err, q.p.opts.TransactionalID != "", doubt) {
		case verdictStored:
			if err != nil {
				base = -1
			}
			q.sequence, q.failing = b.sealed.next(b.count).base, false
			return base, nil
		case verdictFenced:
			err = fmt.Errorf("%w: %w", ErrFenced, err)
			q.p.fence(err)
			return -1, err
		case verdictFailed:
			if err = tooLarge(err); doubt {
				err = fmt.Errorf("%w: %w", ErrInDoubt, err)
			}
			return -1, err
		case verdictReset:
			q.stale = true
			if doubt {
				return -1, fmt.Errorf("%w: %w", ErrInDoubt, err)
			}
		case verdictDoubt:
			doubt = true
		case verdictAgain:
		}
		q.p.client.metrics.retries[Classify(err)].Inc()
		q.p.client.refresh()
		if err := q.pause(pause.NextBackOff(), deadline, doubt, err); err != nil {
			return -1, err
		}
	}
}

// pause waits before the next attempt; an error means there is to be none.
func (q *queue) pause(d time.Duration, deadline time.Time, doubt bool, last error) error {
	if d = min(d, time.Until(deadline)); d > 0 && sleep(q.p.ctx, d) {
		return nil
	}
	q.failing = true
	why := ErrTimeout
	if q.p.ctx.Err() != nil {
		why = context.Cause(q.p.ctx)
	}
	if doubt {
		return fmt.Errorf("%w: %w (last: %w)", ErrInDoubt, why, last)
	}
	return fmt.Errorf("%w (last: %w)", why, last)
}

// attempt sends b once under the queue's identity and sequence.
func (q *queue) attempt(b *batch) (int64, error) {
	s := sequence{producer: q.id.producer, epoch: q.id.epoch, base: q.sequence}
	if b.shared && b.isSealed && b.sealed != s {
		b.buf, b.shared = slices.Clone(b.buf), false
	}
	q.p.client.metrics.requests.Inc()
	base, err := q.p.client.rawProduce(q.p.ctx, q.tp, b.seal(s))
	if err != nil && !answered(err) {
		b.shared = true
	}
	return base, err
}

// identify makes sure that the queue has a usable identity. While an attempt is in doubt it stays as it is,
// as only the old sequence makes a retry recognisable.
func (q *queue) identify(doubt bool, deadline time.Time) error {
	if doubt {
		return nil
	}
	shared := q.p.ids.shared()
	transactional := q.p.opts.TransactionalID != ""
	switch {
	case q.id == noIdentity:
		q.adopt(shared)
		return nil
	case transactional && q.id != shared:
		q.adopt(shared)
		return nil
	case !q.stale:
		return nil
	}
	ctx, cancel := context.WithDeadline(q.p.ctx, deadline)
	defer cancel()
	if !transactional {
		id, err := q.p.ids.fresh(ctx)
		if err != nil {
			return err
		}
		q.adopt(id)
		return nil
	}
	q.p.gate.Release(1) // a change of epoch waits for all senders
	err := q.p.renew(ctx, q.id)
	_ = q.p.gate.Acquire(context.Background(), 1) // renewals end with the producer, so this does not hang
	if err != nil {
		return err
	}
	q.adopt(q.p.ids.shared())
	return nil
}

func (q *queue) adopt(id identity) {
	q.id, q.sequence, q.stale = id, 0, false
}

// tooLarge gives a broker's refusal for size its name.
func tooLarge(err error) error {
	if Classify(err) == ReasonTooLarge && !errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}
