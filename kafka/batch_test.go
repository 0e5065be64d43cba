package kafka

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

func sealed(recs []Record, s sequence) []byte {
	var b recordBatch
	for i := range recs {
		b.add(&recs[i], 1700000000000)
	}
	return b.seal(s)
}

func TestBatchIsReadByAnotherImplementation(t *testing.T) {
	s := sequence{producer: 77, epoch: 3, base: 12}
	raw := sealed([]Record{
		{Time: 1000, Key: []byte("k"), Value: []byte("v"), Headers: []Header{{Key: "h", Value: []byte("x")}}},
		{Time: 900, Value: nil},
		{Time: 0, Key: []byte{}, Value: make([]byte, 300)},
	}, s)
	if n := binary.BigEndian.Uint32(raw); int(n) != len(raw)-batchPrefix {
		t.Fatalf("size prefix %d of %d bytes", n, len(raw))
	}
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw[batchPrefix:]); err != nil {
		t.Fatal(err)
	}
	if b.Magic != 2 || b.ProducerID != 77 || b.ProducerEpoch != 3 || b.FirstSequence != 12 || b.NumRecords != 3 ||
		b.LastOffsetDelta != 2 || b.FirstTimestamp != 1000 || b.MaxTimestamp != 1700000000000 {
		t.Fatalf("header %+v", b)
	}
	if sum := crc32.Checksum(raw[batchPrefix+batchAttributes:], castagnoli); uint32(b.CRC) != sum {
		t.Fatalf("checksum %x, want %x", b.CRC, sum)
	}
	rest := b.Records
	for i := range 3 {
		var r kmsg.Record
		size, n := binary.Varint(rest)
		if err := r.ReadFrom(rest[:n+int(size)]); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if int(r.OffsetDelta) != i {
			t.Errorf("record %d has offset delta %d", i, r.OffsetDelta)
		}
		rest = rest[n+int(size):]
	}
	if len(rest) != 0 {
		t.Errorf("%d bytes left over", len(rest))
	}
}

func TestSealAgainChangesOnlyIdentityAndChecksum(t *testing.T) {
	var b recordBatch
	b.add(&Record{Time: 1, Value: []byte("v")}, 0)
	first := sequence{producer: 1, epoch: 0, base: 5}
	one := append([]byte(nil), b.seal(first)...)
	two := append([]byte(nil), b.seal(sequence{producer: 2})...)
	three := b.seal(first)
	if string(one) == string(two) || string(one) != string(three) {
		t.Fatal("a batch does not depend on its sequence alone")
	}
}

func TestSequenceWrapsToZero(t *testing.T) {
	s := sequence{base: math.MaxInt32 - 1}
	if got := s.next(2).base; got != 0 {
		t.Errorf("after MaxInt32 comes %d", got)
	}
	if got := s.next(1).base; got != math.MaxInt32 {
		t.Errorf("before the wrap comes %d", got)
	}
}

func drawRecords(t *rapid.T) []Record {
	bytes := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
	header := rapid.Custom(func(t *rapid.T) Header {
		return Header{Key: rapid.StringN(0, 20, -1).Draw(t, "name"), Value: bytes.Draw(t, "header")}
	})
	record := rapid.Custom(func(t *rapid.T) Record {
		r := Record{Time: rapid.Int64Range(1, 1<<42).Draw(t, "time"), Key: bytes.Draw(t, "key"), Value: bytes.Draw(t, "value")}
		if hs := rapid.SliceOfN(header, 0, 3).Draw(t, "headers"); len(hs) > 0 {
			r.Headers = hs
		}
		return r
	})
	return rapid.SliceOfN(record, 1, 20).Draw(t, "records")
}

func TestRecordsSurviveEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		recs := drawRecords(t)
		raw := sealed(recs, sequence{})
		if len(raw) > recordsBound(recs)+batchHeaderSize+batchPrefix {
			t.Fatalf("%d bytes exceed the bound %d", len(raw), recordsBound(recs))
		}
		base := rapid.Int64Range(0, 1<<40).Draw(t, "base")
		binary.BigEndian.PutUint64(raw[batchPrefix:], uint64(base))
		from := base + int64(rapid.IntRange(0, len(recs)-1).Draw(t, "skip"))
		var d recordDecoder
		got, next, err := d.decode(raw[batchPrefix:], from)
		if err != nil || next != base+int64(len(recs)) || len(got) != int(next-from) {
			t.Fatalf("%d records, next %d, %v", len(got), next, err)
		}
		for i := range got {
			want := recs[int(from-base)+i]
			want.Offset = from + int64(i)
			if !sameRecord(&got[i], &want) {
				t.Fatalf("record %d: %+v, want %+v", i, got[i], want)
			}
		}
	})
}

func sameRecord(a, b *Record) bool {
	same := func(x, y []byte) bool { return (x == nil) == (y == nil) && string(x) == string(y) }
	if a.Offset != b.Offset || a.Time != b.Time || !same(a.Key, b.Key) || !same(a.Value, b.Value) || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Key != b.Headers[i].Key || !same(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

func TestDecodeLeavesACutBatchForTheNextFetch(t *testing.T) {
	raw := sealed([]Record{{Time: 1, Value: []byte("v")}}, sequence{})[batchPrefix:]
	both := append(append([]byte(nil), raw...), raw[:len(raw)-1]...)
	var d recordDecoder
	got, next, err := d.decode(both, 0)
	if err != nil || len(got) != 1 || next != 1 {
		t.Fatalf("%d records, next %d, %v", len(got), next, err)
	}
}

func TestDecodeRefusesAWrongChecksum(t *testing.T) {
	raw := sealed([]Record{{Time: 1, Value: []byte("value")}}, sequence{})[batchPrefix:]
	raw[len(raw)-3] ^= 1
	var d recordDecoder
	if _, _, err := d.decode(raw, 0); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("error %v", err)
	}
}

func TestDecodeSkipsControlBatches(t *testing.T) {
	raw := sealed([]Record{{Time: 1, Value: []byte("commit marker")}}, sequence{})[batchPrefix:]
	binary.BigEndian.PutUint16(raw[batchAttributes:], attrControl)
	binary.BigEndian.PutUint32(raw[batchCRC:], crc32.Checksum(raw[batchAttributes:], castagnoli))
	var d recordDecoder
	got, next, err := d.decode(raw, 0)
	if err != nil || len(got) != 0 || next != 1 {
		t.Fatalf("%d records, next %d, %v", len(got), next, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sealed([]Record{{Time: 1, Key: []byte("k"), Value: []byte("v"), Headers: FenceHeaders(3)}}, sequence{})[batchPrefix:], int64(0))
	f.Add([]byte{}, int64(5))
	f.Fuzz(func(t *testing.T, data []byte, from int64) {
		// Right the checksum of the first batch, or nothing behind it is ever reached.
		if len(data) >= batchHeaderSize {
			size := int64(int32(binary.BigEndian.Uint32(data[batchLength:]))) + batchLeaderEpoch
			if size >= batchHeaderSize && size <= int64(len(data)) {
				binary.BigEndian.PutUint32(data[batchCRC:], crc32.Checksum(data[batchAttributes:size], castagnoli))
			}
		}
		var d recordDecoder
		records, next, err := d.decode(data, from)
		if err == nil && next < from {
			t.Fatalf("next %d before %d", next, from)
		}
		for i := range records {
			if records[i].Offset < from {
				t.Fatalf("record at %d before %d", records[i].Offset, from)
			}
		}
	})
}

func FuzzFetchResponse(f *testing.F) {
	f.Add(make([]byte, 80))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseFetch(data, 0) })
}
