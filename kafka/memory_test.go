package kafka

import (
	"context"
	"encoding/binary"
	"runtime"
	"testing"
	"time"
)

// live is the heap in use.
func live() int64 {
	for range 2 { // pools give theirs back with the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestTailGivesTheMemoryOfALargeFetchBack(t *testing.T) {
	const large = 16 << 20
	for name, raw := range map[string][]byte{
		"large":        sealed([]Record{{Time: 1, Value: make([]byte, large)}}, sequence{})[batchPrefix:],
		"compressed":   compressed(t, []Record{{Time: 1, Value: make([]byte, large)}}, codecZstd),
		"many records": compressed(t, make([]Record, large/64), codecZstd),
	} {
		t.Run(name, func(t *testing.T) {
			end := int64(binary.BigEndian.Uint32(raw[batchRecordCount:]))
			log := logServer{single: true}
			log.add(raw, end)
			log.add(batchAt(end, 1), end+1)
			tail := log.tail(t)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			start, kept := live(), int64(0)
			log.before = func(offset int64) {
				if offset == end { // the tail waits
					kept = live() - start
				}
			}
			log.connect(t, tail)
			for _, want := range []int64{end, 1} {
				if f, err := tail.Next(ctx); err != nil || int64(len(f.Records)) != want {
					t.Fatalf("%d records, %v", len(f.Records), err)
				}
			}
			if kept > large/4 {
				t.Errorf("%d bytes are kept", kept)
			}
			runtime.KeepAlive(raw)
		})
	}
}
