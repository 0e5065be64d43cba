package kafka

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// batchOf is a batch [base, base+n) of a producer's transaction, or the control batch that ends it.
func batchOf(producer, base int64, n int, attributes uint16) []byte {
	raw := batchAt(base, n)
	binary.BigEndian.PutUint64(raw[batchProducerID:], uint64(producer))
	binary.BigEndian.PutUint16(raw[batchAttributes:], attributes)
	return resealed(raw)
}

// Producer 7 aborts 0 and 1, commits 4 and begins 11; 8 commits 2 and aborts 7 and 8; 5 and 12 are in none.
func TestRecordsOfAbortedTransactionsAreLeftOut(t *testing.T) {
	s := new(logServer)
	for _, one := range []struct {
		producer, base int64
		n              int
		attributes     uint16
	}{
		{7, 0, 2, attrTransaction}, {8, 2, 1, attrTransaction}, {7, 3, 1, attrTransaction | attrControl}, {7, 4, 1, attrTransaction},
		{7, 5, 1, 0}, {8, 6, 1, attrTransaction | attrControl}, {8, 7, 2, attrTransaction}, {7, 9, 1, attrTransaction | attrControl},
		{8, 10, 1, attrTransaction | attrControl}, {7, 11, 1, attrTransaction}, {9, 12, 1, 0},
	} {
		s.add(batchOf(one.producer, one.base, one.n, one.attributes), one.base+int64(one.n))
	}
	aborted := []abortedTransaction{{producer: 7, first: 0}, {producer: 8, first: 7}}
	for committed, want := range map[bool]string{false: "0 1 2 4 5 7 8 11 12", true: "2 4 5 11 12"} {
		tail := s.tail(t)
		if s.aborted = nil; committed {
			tail.opts.Committed, s.aborted = true, aborted
		}
		s.connect(t, tail)
		fetch, err := tail.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range fetch.Records {
			got = append(got, fmt.Sprint(r.Offset))
		}
		if text := strings.Join(got, " "); text != want || (s.asked == 1) != committed || tail.Offset() != 13 {
			t.Errorf("committed %v: %s, isolation %d, next %d; want %s", committed, text, s.asked, tail.Offset(), want)
		}
	}
}
