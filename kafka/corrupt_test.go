package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"
)

// batchAt returns one batch of n records from base on, as a broker stores it.
func batchAt(base int64, n int) []byte {
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = Record{Time: 1, Value: []byte(fmt.Sprint(base + int64(i)))}
	}
	raw := bytes.Clone(sealed(recs, sequence{})[batchPrefix:])
	binary.BigEndian.PutUint64(raw, uint64(base))
	return raw
}

// resealed rights the checksum of a batch that was changed.
func resealed(raw []byte) []byte {
	binary.BigEndian.PutUint32(raw[batchCRC:], crc32.Checksum(raw[batchAttributes:], castagnoli))
	return raw
}

// damages are ways for the batch [3, 7) to be corrupt, with the offset at which reading can go on.
var damages = []struct {
	name   string
	damage func(raw []byte) []byte
	next   int64
}{
	{"payload flipped", func(raw []byte) []byte { raw[len(raw)-3] ^= 1; return raw }, 7},
	{"does not decompress", func(raw []byte) []byte { raw[batchAttributes+1] = codecGzip; return resealed(raw) }, 7},
	{"unknown codec", func(raw []byte) []byte { raw[batchAttributes+1] = 7; return resealed(raw) }, 7},
	{"records end early", func(raw []byte) []byte {
		binary.BigEndian.PutUint32(raw[batchRecordCount:], 9)
		return resealed(raw)
	}, 7},
	{"record count flipped", func(raw []byte) []byte { raw[batchRecordCount+1] ^= 1; return raw }, 4},
	{"last offset flipped", func(raw []byte) []byte { raw[batchLastOffsetDelta+1] ^= 1; return raw }, 4},
	{"old message format", func(raw []byte) []byte { raw[batchMagic] = 1; return raw }, 4},
	{"senseless length", func(raw []byte) []byte { binary.BigEndian.PutUint32(raw[batchLength:], 1); return raw }, 4},
	{"longer than the answer", func(raw []byte) []byte { raw[batchLength+1] = 1; return raw }, 4},
}

func TestDecodeDeliversWhatPrecedesACorruptBatchAndTellsWhereItEnds(t *testing.T) {
	for _, test := range damages {
		t.Run(test.name, func(t *testing.T) {
			data := append(append(batchAt(0, 3), test.damage(batchAt(3, 4))...), batchAt(7, 1)...)
			var d recordDecoder
			got, next, err := d.decode(data, 1)
			if err != nil || next != 3 || len(got) != 2 || got[1].Offset != 2 {
				t.Fatalf("%d records, next %d, %v", len(got), next, err)
			}
			got, next, err = d.decode(data[len(batchAt(0, 3)):], 3)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || !errors.Is(err, ErrCorrupt) || len(got) != 0 || next != 3 {
				t.Fatalf("%d records, next %d, %v", len(got), next, err)
			}
			if corrupt.First != 3 || corrupt.Next != test.next {
				t.Fatalf("corrupt [%d, %d), want [3, %d)", corrupt.First, corrupt.Next, test.next)
			}
			if Classify(err) != ReasonCorrupt || Retriable(err) {
				t.Fatalf("classified as %s", Classify(err))
			}
		})
	}
}

func TestTailSeeksPastACorruptBatch(t *testing.T) {
	for _, test := range damages {
		t.Run(test.name, func(t *testing.T) {
			var log logServer
			log.add(batchAt(0, 3), 3)
			log.add(test.damage(batchAt(3, 4)), 7)
			log.add(batchAt(7, 2), 9)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			tail := log.tail(t)
			var got, lost []int64
			for len(got) < 5 {
				log.connect(t, tail)
				f, err := tail.Next(ctx)
				for i := range f.Records {
					got = append(got, f.Records[i].Offset)
				}
				var corrupt *CorruptError
				if errors.As(err, &corrupt) {
					if corrupt.Topic != "t" || tail.Offset() != corrupt.First || corrupt.Next > 7 {
						t.Fatalf("at %d: %v", tail.Offset(), err)
					}
					for o := corrupt.First; o < corrupt.Next; o++ {
						lost = append(lost, o)
					}
					tail.SeekTo(corrupt.Next)
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, []int64{0, 1, 2, 7, 8}) || !slices.Equal(lost, []int64{3, 4, 5, 6}) {
				t.Fatalf("read %v, lost %v", got, lost)
			}
		})
	}
}
