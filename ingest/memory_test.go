package ingest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// mixedFrame has 4,096 readings, each of another device, and is close to the largest frame.
func mixedFrame() string {
	readings := make([]string, 4096)
	for i := range readings {
		readings[i] = fmt.Sprintf(`{"device":"plant/%s/%d","metric":"m","value":1}`, strings.Repeat("x", 190), i)
	}
	return `{"session":"boot","seq":1,"readings":[` + strings.Join(readings, ",") + `]}`
}

func TestALargeFrameLeavesNothingWithItsConnection(t *testing.T) {
	s := start(t, nullProducer{})
	frame := mixedFrame()
	const devices = 8
	connected := make([]*device, devices)
	for i := range connected {
		connected[i] = s.dial(t, "", nil)
	}
	exchange := func(frame string) {
		for _, d := range connected {
			d.send(frame)
			if r := d.receipt(); r.Accepted+r.Duplicate == 0 {
				t.Fatalf("receipt: %+v", r)
			}
		}
	}
	exchange(oneReading)
	before := heapInUse()
	exchange(frame)
	// What is left are names that the decoder and the server remember, within their own bounds.
	if grown := (heapInUse() - before) / devices; grown > 256<<10 {
		t.Errorf("after a frame of %d bytes each connection holds %d bytes more", len(frame), grown)
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	for range 3 { // sync.Pools are emptied by the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestAnEncoderIsSmallBetweenFrames(t *testing.T) {
	s := start(t, nullProducer{})
	for name, frame := range map[string]string{
		"many devices": mixedFrame(),
		"one device":   string(benchFrame(4096)[14:]),
		"refused":      `[` + strings.Repeat("7,", 4095) + `7]`,
		"not JSON":     strings.Repeat("x", 1<<20),
	} {
		e, r := newEncoder(s.Server, ""), newReceipt(func() {})
		r.begin(1, 1, nowMicros())
		e.submit(t.Context(), []byte(frame), r)
		r.release()
		r.shrink()
		records := 0
		for _, recs := range e.recs {
			records = max(records, cap(recs))
		}
		if cap(e.buf) > keepBytes || cap(e.spans) > keepDevices || records > keepDevices {
			t.Errorf("%s: keeps %d bytes, %d spans, %d records of a partition", name, cap(e.buf), cap(e.spans), records)
		}
		if cap(r.acks) > keepDevices || cap(r.Rejected) > keepRejections {
			t.Errorf("%s: the receipt keeps %d sessions and %d rejections", name, cap(r.acks), cap(r.Rejected))
		}
	}
}
