package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/segmentio/kafka-go/compress"
)

// compressed returns a batch of recs compressed by kafka-go.
func compressed(t testing.TB, recs []Record, codec int) []byte {
	t.Helper()
	raw := sealed(recs, sequence{})[batchPrefix:]
	var buf bytes.Buffer
	w := compress.Compression(codec).Codec().NewWriter(&buf)
	if _, err := w.Write(raw[batchHeaderSize:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out := append(bytes.Clone(raw[:batchHeaderSize]), buf.Bytes()...)
	be := binary.BigEndian
	be.PutUint32(out[batchLength:], uint32(len(out)-batchLeaderEpoch))
	be.PutUint16(out[batchAttributes:], uint16(codec))
	be.PutUint32(out[batchCRC:], crc32.Checksum(out[batchAttributes:], castagnoli))
	return out
}

func TestDecodeReadsOtherProducersCompression(t *testing.T) {
	recs := benchRecords(500, 100)
	for _, codec := range []int{codecGzip, codecSnappy, codecLZ4, codecZstd} {
		var d recordDecoder
		got, next, err := d.decode(compressed(t, recs, codec), 0)
		if err != nil || len(got) != len(recs) || next != int64(len(recs)) {
			t.Errorf("codec %d: %d records, next %d, %v", codec, len(got), next, err)
			continue
		}
		for i := range got {
			want := recs[i]
			want.Offset = int64(i)
			if !sameRecord(&got[i], &want) {
				t.Fatalf("codec %d, record %d: %+v", codec, i, got[i])
			}
		}
	}
}

func FuzzInflate(f *testing.F) {
	recs := []Record{{Time: 1, Key: []byte("key"), Value: []byte("value value value")}}
	for codec := codecGzip; codec <= codecZstd; codec++ {
		f.Add(compressed(f, recs, codec)[batchHeaderSize:], uint16(codec))
	}
	f.Fuzz(func(t *testing.T, data []byte, codec uint16) {
		if out, err := inflate(data, codec&attrCompression); err == nil && len(out) > maxInflated {
			t.Fatalf("%d bytes", len(out))
		}
	})
}
