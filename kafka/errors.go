package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

var (
	// ErrFenced is permanent: another producer has taken over the transactional id.
	ErrFenced = errors.New("producer fenced by a successor")
	// ErrTooLarge is what a call gets whose records do not fit into one batch.
	ErrTooLarge = errors.New("records do not fit into one batch")
	// ErrClosed is what a closed producer, tail or client answers.
	ErrClosed = errors.New("closed")
	// ErrInDoubt means that records may or may not be stored: the broker's answer was lost and could not
	// be had again.
	ErrInDoubt = errors.New("outcome unknown: records may be stored")
	// ErrTimeout means that records were not acknowledged within ProducerOptions.DeliveryTimeout, or that a
	// producer's epoch was not raised within RenewTimeout.
	ErrTimeout = errors.New("not acknowledged in time")
	// ErrRebalancing is what a commit gets while the group changes hands. Retry, or give up with the partition.
	ErrRebalancing = errors.New("group is rebalancing")
	// ErrCorrupt means that what was read is no record batch, or has a wrong checksum: see CorruptError.
	ErrCorrupt = errors.New("corrupt record batch")
	// ErrPartitionCount means that a topic exists with another number of partitions than asked for.
	ErrPartitionCount = errors.New("topic has another number of partitions")
)

// ErrOffsetOutOfRange says that an offset is not, or no longer, in the log, and what is. Get it by
//
//	var out *kafka.ErrOffsetOutOfRange
//	if errors.As(err, &out) { … out.First … }
type ErrOffsetOutOfRange struct {
	Topic     string
	Partition int
	Offset    int64
	First     int64 // first offset that is there
	End       int64 // offset of the next record to be written
}

func (e *ErrOffsetOutOfRange) Error() string {
	return fmt.Sprintf("offset %d of %s/%d is out of range [%d, %d]", e.Offset, e.Topic, e.Partition, e.First, e.End)
}

// CorruptError says which part of a partition cannot be read: the record batch with the offsets
// [First, Next). Reading goes on behind it with Tail.SeekTo(Next), or ReadRange from there; if the batch's
// header is damaged too, Next is First+1, and more of the same batch may follow. It is ErrCorrupt.
type CorruptError struct {
	Topic       string
	Partition   int
	First, Next int64 // Next > First
	Cause       error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: %s/%d, offsets [%d, %d): %v", ErrCorrupt, e.Topic, e.Partition, e.First, e.Next, e.Cause)
}

// Unwrap makes errors.Is find ErrCorrupt and the cause.
func (e *CorruptError) Unwrap() []error { return []error{ErrCorrupt, e.Cause} }

// Reasons that Classify answers with: the values of metric labels, a bounded set.
const (
	ReasonNone           = "none"
	ReasonCanceled       = "canceled"
	ReasonTimeout        = "timeout"
	ReasonNetwork        = "network"
	ReasonFenced         = "fenced"
	ReasonInDoubt        = "in_doubt"
	ReasonTooLarge       = "too_large"
	ReasonClosed         = "closed"
	ReasonRebalancing    = "rebalancing"
	ReasonOffsetRange    = "offset_out_of_range"
	ReasonSequence       = "sequence"
	ReasonLeader         = "leader"
	ReasonUnknownTopic   = "unknown_topic"
	ReasonCoordinator    = "coordinator"
	ReasonReplicas       = "replicas"
	ReasonStorage        = "storage"
	ReasonThrottled      = "throttled"
	ReasonCorrupt        = "corrupt"
	ReasonAuthorization  = "authorization"
	ReasonInvalid        = "invalid"
	ReasonPartitionCount = "partition_count"
	ReasonOther          = "other"
)

var sentinels = []struct {
	err    error
	reason string
}{
	{ErrFenced, ReasonFenced},
	{ErrInDoubt, ReasonInDoubt},
	{ErrTooLarge, ReasonTooLarge},
	{ErrClosed, ReasonClosed},
	{ErrRebalancing, ReasonRebalancing},
	{ErrTimeout, ReasonTimeout},
	{ErrPartitionCount, ReasonPartitionCount},
	{ErrCorrupt, ReasonCorrupt},
	{context.Canceled, ReasonCanceled},
	{context.DeadlineExceeded, ReasonTimeout},
	{os.ErrDeadlineExceeded, ReasonTimeout},
	{protocol.ErrNoTopic, ReasonUnknownTopic},
	{protocol.ErrNoPartition, ReasonUnknownTopic},
	{protocol.ErrNoLeader, ReasonLeader},
	{net.ErrClosed, ReasonNetwork},
	{io.EOF, ReasonNetwork},
	{io.ErrUnexpectedEOF, ReasonNetwork},
	{io.ErrClosedPipe, ReasonNetwork},
	{io.ErrNoProgress, ReasonNetwork},
}

var codeReasons = map[kafkago.Error]string{
	kafkago.OffsetOutOfRange:                   ReasonOffsetRange,
	kafkago.InvalidMessage:                     ReasonCorrupt,
	kafkago.InvalidRecord:                      ReasonInvalid,
	kafkago.UnknownTopicOrPartition:            ReasonUnknownTopic,
	kafkago.UnknownTopicID:                     ReasonUnknownTopic,
	kafkago.LeaderNotAvailable:                 ReasonLeader,
	kafkago.NotLeaderForPartition:              ReasonLeader,
	kafkago.FencedLeaderEpoch:                  ReasonLeader,
	kafkago.UnknownLeaderEpoch:                 ReasonLeader,
	kafkago.BrokerNotAvailable:                 ReasonLeader,
	kafkago.ReplicaNotAvailable:                ReasonLeader,
	kafkago.OffsetNotAvailable:                 ReasonLeader,
	kafkago.NotController:                      ReasonLeader,
	kafkago.RequestTimedOut:                    ReasonTimeout,
	kafkago.NetworkException:                   ReasonNetwork,
	kafkago.MessageSizeTooLarge:                ReasonTooLarge,
	kafkago.RecordListTooLarge:                 ReasonTooLarge,
	kafkago.GroupLoadInProgress:                ReasonCoordinator,
	kafkago.GroupCoordinatorNotAvailable:       ReasonCoordinator,
	kafkago.NotCoordinatorForGroup:             ReasonCoordinator,
	kafkago.ConcurrentTransactions:             ReasonCoordinator,
	kafkago.UnstableOffsetCommit:               ReasonCoordinator,
	kafkago.NotEnoughReplicas:                  ReasonReplicas,
	kafkago.NotEnoughReplicasAfterAppend:       ReasonReplicas,
	kafkago.KafkaStorageError:                  ReasonStorage,
	kafkago.LogDirNotFound:                     ReasonStorage,
	kafkago.ThrottlingQuotaExceeded:            ReasonThrottled,
	kafkago.IllegalGeneration:                  ReasonRebalancing,
	kafkago.UnknownMemberId:                    ReasonRebalancing,
	kafkago.RebalanceInProgress:                ReasonRebalancing,
	kafkago.MemberIDRequired:                   ReasonRebalancing,
	kafkago.FencedInstanceID:                   ReasonRebalancing,
	kafkago.OutOfOrderSequenceNumber:           ReasonSequence,
	kafkago.DuplicateSequenceNumber:            ReasonSequence,
	kafkago.UnknownProducerId:                  ReasonSequence,
	kafkago.InvalidProducerEpoch:               ReasonFenced,
	kafkago.ProducerFenced:                     ReasonFenced,
	kafkago.InvalidProducerIDMapping:           ReasonFenced,
	kafkago.TransactionCoordinatorFenced:       ReasonCoordinator,
	kafkago.TopicAuthorizationFailed:           ReasonAuthorization,
	kafkago.GroupAuthorizationFailed:           ReasonAuthorization,
	kafkago.ClusterAuthorizationFailed:         ReasonAuthorization,
	kafkago.TransactionalIDAuthorizationFailed: ReasonAuthorization,
	kafkago.SASLAuthenticationFailed:           ReasonAuthorization,
	kafkago.UnsupportedVersion:                 ReasonInvalid,
	kafkago.InvalidRequest:                     ReasonInvalid,
	kafkago.InvalidTopic:                       ReasonInvalid,
	kafkago.InvalidTransactionState:            ReasonInvalid,
	kafkago.InvalidConfiguration:               ReasonInvalid,
	kafkago.InvalidSessionTimeout:              ReasonInvalid,
	kafkago.InvalidGroupId:                     ReasonInvalid,
	kafkago.PolicyViolation:                    ReasonInvalid,
}

// Classify maps an error of this package to one of the Reason constants.
func Classify(err error) string {
	if err == nil {
		return ReasonNone
	}
	for i := range sentinels {
		if errors.Is(err, sentinels[i].err) {
			return sentinels[i].reason
		}
	}
	var out *ErrOffsetOutOfRange
	if errors.As(err, &out) {
		return ReasonOffsetRange
	}
	var code kafkago.Error
	if errors.As(err, &code) {
		if reason, ok := codeReasons[code]; ok {
			return reason
		}
		return ReasonOther
	}
	var network net.Error
	if errors.As(err, &network) {
		return ReasonNetwork
	}
	return ReasonOther
}

// Retriable reports whether the same operation may succeed later without anybody doing something about it.
func Retriable(err error) bool {
	switch Classify(err) {
	case ReasonTimeout, ReasonNetwork, ReasonLeader, ReasonUnknownTopic, ReasonCoordinator, ReasonReplicas,
		ReasonStorage, ReasonThrottled, ReasonRebalancing:
		return true
	}
	return false
}

// codeError turns a code of the protocol into an error, nil for 0.
func codeError(code int16) error {
	if code == 0 {
		return nil
	}
	return kafkago.Error(code)
}

// answered reports whether err is the broker's own answer, so that nothing is under way any more.
func answered(err error) bool {
	var code kafkago.Error
	return errors.As(err, &code)
}

// neverSent reports whether a request that failed with err certainly did not reach a broker: its leader is
// not known, or not to be connected to. BrokerNotAvailable is kafka-go's own word for that.
func neverSent(err error) bool {
	var topic *protocol.TopicError
	var partition *protocol.TopicPartitionError
	var dial *net.OpError
	return errors.As(err, &topic) || errors.As(err, &partition) || errors.Is(err, kafkago.BrokerNotAvailable) ||
		errors.As(err, &dial) && dial.Op == "dial"
}
