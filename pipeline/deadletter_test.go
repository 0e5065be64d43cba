package pipeline

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"weir/kafka"
	"weir/wire"
)

func TestPoisonGoesToTheDeadLettersAndThePartitionGoesOn(t *testing.T) {
	w := newWorld(t, 1)
	stop := w.start(w.pipeline(nil))
	w.send(oneReading("plant/a", "x", epoch, 1))
	junk := []byte("\xff\xff this is no record")
	offset := w.sendRaw("plant/a", junk)
	w.sendRaw("plant/a", nil) // names no device
	w.send(oneReading("plant/a", "x", epoch+1, 2))
	w.awaitStored(2)
	stop()
	letters := w.records(wire.TopicDeadLetters, 0)
	if len(letters) != 2 {
		t.Fatalf("%d dead letters, want 2", len(letters))
	}
	letter, err := wire.DecodeDeadLetter(letters[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	if letter.Code != wire.CodeRecordMalformed || letter.Device != "plant/a" || !bytes.Equal(letter.Raw, junk) ||
		letter.Topic != wire.TopicReadings || letter.Offset != offset || letter.Stage != "pipeline" {
		t.Errorf("dead letter %+v", letter)
	}
}

func TestLargestRecordIsBuriedAndThePartitionGoesOn(t *testing.T) {
	w := newWorld(t, 1)
	junk := bytes.Repeat([]byte{0xff}, kafka.MaxMessageBytes-200)
	w.sendRaw("plant/a", junk)
	w.send(oneReading("plant/a", "x", epoch, 1))
	p := w.pipeline(nil)
	if err := w.ownUntilStored(p, 1); err != nil {
		t.Fatal(err)
	}
	if letters := w.records(wire.TopicDeadLetters, 0); len(letters) != 1 {
		t.Errorf("%d dead letters, want 1", len(letters))
	}
}

func TestRecordInAPartitionThatIsNotItsDevicesGoesToTheDeadLetters(t *testing.T) {
	w := newWorld(t, 2)
	home := kafka.PartitionFor("plant/a", 2)
	value := wire.AppendReadingBatch(nil, oneReading("plant/a", "x", epoch, 1))
	for range 2 {
		for partition := range 2 {
			record := kafka.Record{Key: []byte("plant/a"), Value: value}
			if _, err := w.producer.ProduceSync(w.context(), wire.TopicReadings, partition, []kafka.Record{record}); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop := w.start(w.pipeline(nil))
	w.awaitStored(2)
	w.await("both strays are buried", func() bool { return len(w.records(wire.TopicDeadLetters, 1-home)) == 2 })
	stop()
	if c := w.chains()["plant/a/x"]; c.N != 2 {
		t.Errorf("n %d, want 2", c.N)
	}
	letter, err := wire.DecodeDeadLetter(w.records(wire.TopicDeadLetters, 1-home)[0].Value)
	if err != nil || letter.Code != wire.CodeWrongPartition || !bytes.Equal(letter.Raw, value) {
		t.Errorf("dead letter %+v: %v", letter, err)
	}
}

// sendDamaged stores a batch of so many records that claims to be compressed and is not.
func (w *world) sendDamaged(records int) {
	w.t.Helper()
	be := binary.BigEndian
	body := be.AppendUint16(nil, 1) // gzip
	body = be.AppendUint32(body, uint32(records-1))
	body = append(body, make([]byte, 8+8)...) // times
	body = append(body, bytes.Repeat([]byte{0xff}, 8+2+4)...)
	body = be.AppendUint32(body, uint32(records))
	body = append(body, "this is no gzip"...)
	batch := be.AppendUint64(nil, 0)
	batch = be.AppendUint32(batch, uint32(4+1+4+len(body)))
	batch = append(be.AppendUint32(batch, 0), 2) // leader epoch, magic
	batch = be.AppendUint32(batch, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	batch = append(batch, body...)

	options := w.broker.Options()
	transport := &kafkago.Transport{Dial: options.Dial}
	defer transport.CloseIdleConnections()
	client := kafkago.Client{Addr: kafkago.TCP(options.Brokers...), Transport: transport}
	set := append(be.AppendUint32(nil, uint32(len(batch))), batch...)
	res, err := client.RawProduce(w.context(), &kafkago.RawProduceRequest{
		Topic: wire.TopicReadings, RequiredAcks: kafkago.RequireAll,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(set)},
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestBatchThatCannotBeReadIsBuriedOnceAndThePartitionGoesOn(t *testing.T) {
	w := newWorld(t, 1)
	w.send(oneReading("plant/a", "x", epoch, 1))
	w.sendDamaged(70)
	w.send(oneReading("plant/a", "x", epoch, 1))
	p := w.pipeline(nil)
	if err := w.ownUntilStored(p, 2); err != nil {
		t.Fatal(err)
	}
	letters := w.records(wire.TopicDeadLetters, 0)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want 1", len(letters))
	}
	letter, err := wire.DecodeDeadLetter(letters[0].Value)
	if err != nil || letter.Code != wire.CodeRecordCorrupt || letter.Offset != 1 || !strings.Contains(letter.Message, "[1, 71)") {
		t.Errorf("dead letter %+v: %v", letter, err)
	}
	if got := p.m.lost.Get(); got != 70 {
		t.Errorf("%d lost records counted, want 70", got)
	}
}
