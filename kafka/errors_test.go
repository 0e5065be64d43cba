package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

func TestClassify(t *testing.T) {
	for _, test := range []struct {
		err       error
		reason    string
		retriable bool
	}{
		{nil, ReasonNone, false},
		{context.Canceled, ReasonCanceled, false},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), ReasonTimeout, true},
		{io.ErrUnexpectedEOF, ReasonNetwork, true},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, ReasonNetwork, true},
		{protocol.NewErrNoTopic("t"), ReasonUnknownTopic, true},
		{kafkago.NotLeaderForPartition, ReasonLeader, true},
		{kafkago.IllegalGeneration, ReasonRebalancing, true},
		{errors.Join(ErrFenced, kafkago.InvalidProducerEpoch), ReasonFenced, false},
		{fmt.Errorf("%w: %w", ErrInDoubt, ErrTimeout), ReasonInDoubt, false},
		{kafkago.MessageSizeTooLarge, ReasonTooLarge, false},
		{&ErrOffsetOutOfRange{}, ReasonOffsetRange, false},
		{kafkago.TopicAuthorizationFailed, ReasonAuthorization, false},
		{kafkago.Error(-1), ReasonOther, false},
		{errors.New("something else"), ReasonOther, false},
	} {
		if got := Classify(test.err); got != test.reason {
			t.Errorf("Classify(%v) = %s, want %s", test.err, got, test.reason)
		}
		if got := Retriable(test.err); got != test.retriable {
			t.Errorf("Retriable(%v) = %v", test.err, got)
		}
	}
}

func TestEveryReasonHasItsCounter(t *testing.T) {
	for code := kafkago.Error(-1); code < 120; code++ {
		if reason := Classify(code); !slices.Contains(reasons, reason) {
			t.Errorf("code %d is classified as %s, which has no counter", code, reason)
		}
	}
	for _, s := range sentinels {
		if !slices.Contains(reasons, s.reason) {
			t.Errorf("%v is classified as %s, which has no counter", s.err, s.reason)
		}
	}
}

func TestOnlyARefusalBeforeAppendingMeansNothingIsStored(t *testing.T) {
	for _, test := range []struct {
		err           error
		transactional bool
		doubt         bool
		want          verdict
	}{
		{nil, false, false, verdictStored},
		{kafkago.DuplicateSequenceNumber, false, true, verdictStored},
		{kafkago.DuplicateSequenceNumber, false, false, verdictReset},
		{kafkago.OutOfOrderSequenceNumber, true, true, verdictReset},
		{kafkago.UnknownProducerId, false, false, verdictReset},
		{kafkago.InvalidProducerEpoch, true, false, verdictFenced},
		{kafkago.ProducerFenced, true, true, verdictFenced},
		{kafkago.InvalidProducerEpoch, false, false, verdictReset},
		{kafkago.NotEnoughReplicas, false, false, verdictAgain},
		{kafkago.BrokerNotAvailable, false, false, verdictAgain},
		{protocol.NewErrNoTopic("t"), false, false, verdictAgain},
		{protocol.NewErrNoLeader("t", 0), false, false, verdictAgain},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, false, false, verdictAgain},
		{kafkago.NotEnoughReplicasAfterAppend, false, false, verdictDoubt},
		{kafkago.NotLeaderForPartition, false, false, verdictDoubt},
		{kafkago.LeaderNotAvailable, false, false, verdictDoubt},
		{kafkago.UnknownTopicOrPartition, false, false, verdictDoubt},
		{kafkago.FencedLeaderEpoch, false, false, verdictDoubt},
		{kafkago.UnknownLeaderEpoch, false, false, verdictDoubt},
		{kafkago.KafkaStorageError, false, false, verdictDoubt},
		{kafkago.RequestTimedOut, false, false, verdictDoubt},
		{kafkago.Error(-1), false, false, verdictDoubt},
		{kafkago.Error(12345), true, false, verdictDoubt},
		{io.ErrUnexpectedEOF, false, false, verdictDoubt},
		{protocol.ErrNoTopic, false, false, verdictDoubt}, // an answer without the topic
		{kafkago.MessageSizeTooLarge, false, false, verdictFailed},
		{kafkago.InvalidRecord, false, false, verdictFailed},
		{kafkago.TopicAuthorizationFailed, true, false, verdictFailed},
	} {
		if got := judge(test.err, test.transactional, test.doubt); got != test.want {
			t.Errorf("judge(%v, %v, %v) = %d, want %d", test.err, test.transactional, test.doubt, got, test.want)
		}
	}
}
