package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// raw speaks the protocol by hand: a test decides producer ids, epochs and sequences itself.
type raw struct{ *caller }

func dialRaw(b *Broker) (*raw, error) {
	c, err := b.Dial(context.Background(), "", "")
	if err != nil {
		return nil, err
	}
	return newRaw(c), nil
}

func newRaw(c net.Conn) *raw {
	return &raw{newCaller(c)}
}

func rawClient(t testing.TB, b *Broker) *raw {
	t.Helper()
	r, err := dialRaw(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.conn.Close() })
	return r
}

func (r *raw) createTopic(name string, partitions int32, configs map[string]string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 5
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for k, v := range configs {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	req.Topics = append(req.Topics, topic)
	resp := kmsg.NewPtrCreateTopicsResponse()
	if err := r.do(req, resp); err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return err
	}
	return nil
}

// producer is an idempotent producer's identity.
type producer struct {
	id    int64
	epoch int16
}

func (r *raw) initProducer(txid string) (producer, error) {
	return r.renewProducer(txid, producer{-1, -1})
}

func (r *raw) renewProducer(txid string, old producer) (producer, error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version = 4
	req.ProducerID, req.ProducerEpoch = old.id, old.epoch
	req.TransactionTimeoutMillis = 60000
	if txid != "" {
		req.TransactionalID = &txid
	}
	resp := kmsg.NewPtrInitProducerIDResponse()
	if err := r.do(req, resp); err != nil {
		return producer{}, err
	}
	return producer{resp.ProducerID, resp.ProducerEpoch}, kerr.ErrorForCode(resp.ErrorCode)
}

type record struct{ key, value []byte }

// produce sends one batch; its error is the partition's.
func (r *raw) produce(topic string, partition int32, p producer, seq int32, recs ...record) (int64, error) {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 7, -1, 10000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{
		{Partition: partition, Records: encodeBatch(p, seq, recs)},
	}}}
	resp := kmsg.NewPtrProduceResponse()
	if err := r.do(req, resp); err != nil {
		return 0, err
	}
	got := &resp.Topics[0].Partitions[0]
	return got.BaseOffset, kerr.ErrorForCode(got.ErrorCode)
}

func encodeBatch(p producer, seq int32, recs []record) []byte {
	var body []byte
	for i, rec := range recs {
		one := []byte{0}                       // attributes
		one = kbin.AppendVarint(one, 0)        // time delta
		one = kbin.AppendVarint(one, int32(i)) // offset delta
		one = kbin.AppendVarintBytes(one, rec.key)
		one = kbin.AppendVarintBytes(one, rec.value)
		one = kbin.AppendVarint(one, 0) // headers
		body = append(kbin.AppendVarint(body, int32(len(one))), one...)
	}
	b := kmsg.RecordBatch{
		Magic: 2, PartitionLeaderEpoch: -1, LastOffsetDelta: int32(len(recs)) - 1,
		ProducerID: p.id, ProducerEpoch: p.epoch, FirstSequence: seq, NumRecords: int32(len(recs)), Records: body,
		Length: int32(49 + len(body)),
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	return raw
}

// fetched is a record with its offset.
type fetched struct {
	offset int64
	record
}

// fetch returns what is at and behind an offset, waiting at most waitMillis for it.
func (r *raw) fetch(topic string, partition int32, offset int64, waitMillis int32) ([]fetched, error) {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 6, waitMillis, 1, 1<<20
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, 1<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{part}}}
	resp := kmsg.NewPtrFetchResponse()
	if err := r.do(req, resp); err != nil {
		return nil, err
	}
	got := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return nil, err
	}
	return decodeBatches(got.RecordBatches, offset)
}

func decodeBatches(raw []byte, from int64) ([]fetched, error) {
	var out []fetched
	for len(raw) > batchPrefix {
		n := batchPrefix + int(binary.BigEndian.Uint32(raw[8:]))
		if n > len(raw) {
			break
		}
		var b kmsg.RecordBatch
		if err := b.ReadFrom(raw[:n]); err != nil {
			return nil, err
		}
		rd := kbin.Reader{Src: b.Records}
		for range b.NumRecords {
			rd.Varint()
			rd.Int8()
			rd.Varlong()
			f := fetched{offset: b.FirstOffset + int64(rd.Varint())}
			f.key, f.value = rd.VarintBytes(), rd.VarintBytes()
			rd.Varint()
			if f.offset >= from {
				out = append(out, f)
			}
		}
		if err := rd.Complete(); err != nil {
			return nil, err
		}
		raw = raw[n:]
	}
	return out, nil
}

// offset asks for the log's start (-2) or end (-1).
func (r *raw) offset(topic string, partition int32, at int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 4
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp = partition, at
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{part}}}
	resp := kmsg.NewPtrListOffsetsResponse()
	if err := r.do(req, resp); err != nil {
		return 0, err
	}
	got := &resp.Topics[0].Partitions[0]
	return got.Offset, kerr.ErrorForCode(got.ErrorCode)
}

func (r *raw) bounds(topic string, partition int32) (start, end int64, err error) {
	if start, err = r.offset(topic, partition, -2); err == nil {
		end, err = r.offset(topic, partition, -1)
	}
	return start, end, err
}

func (r *raw) commit(group, topic string, partition int32, offset int64) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 5, group, -1
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	part.Partition, part.Offset = partition, offset
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{part}}}
	resp := kmsg.NewPtrOffsetCommitResponse()
	if err := r.do(req, resp); err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

func (r *raw) committed(group, topic string, partition int32) (int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group = 4, group
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
	resp := kmsg.NewPtrOffsetFetchResponse()
	if err := r.do(req, resp); err != nil {
		return 0, err
	}
	got := &resp.Topics[0].Partitions[0]
	return got.Offset, kerr.ErrorForCode(got.ErrorCode)
}

// all reads a whole partition.
func (r *raw) all(topic string, partition int32) ([]fetched, error) {
	start, end, err := r.bounds(topic, partition)
	if err != nil {
		return nil, err
	}
	var out []fetched
	for at := start; at < end; {
		recs, err := r.fetch(topic, partition, at, 0)
		if err != nil {
			return nil, err
		}
		if len(recs) == 0 {
			return nil, fmt.Errorf("nothing at offset %d of [%d, %d)", at, start, end)
		}
		out = append(out, recs...)
		at = recs[len(recs)-1].offset + 1
	}
	return out, nil
}

// number is a record whose value is n; size pads it.
func number(n int64, size int) record {
	v := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(v, uint64(n))
	return record{value: v}
}

func numberOf(r record) int64 { return int64(binary.BigEndian.Uint64(r.value)) }

func brokerConfig(t testing.TB, r *raw, name string) string {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 1
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeBroker, "0", []string{name}
	req.Resources = append(req.Resources, resource)
	resp := kmsg.NewPtrDescribeConfigsResponse()
	must(t, r.do(req, resp))
	for _, c := range resp.Resources[0].Configs {
		if c.Name == name && c.Value != nil {
			return *c.Value
		}
	}
	t.Fatalf("no %s: %+v", name, resp.Resources[0])
	return ""
}
