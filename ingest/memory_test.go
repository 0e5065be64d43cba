package ingest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/auth"
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

// Of a connection that has signed in and sent a frame. The kernel's sockets are not in the numbers, the client's side,
// a bare socket, is. Two things have made it half as large again, unseen: a deep stack, which is kept for as long as the
// goroutine lasts, and buffers that a frame has grown.
func TestAnIdleConnectionIsSmall(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("opens 500 connections, and measures them")
	}
	g := newDoorman()
	g.let("good", "press7", func(p *auth.Principal) { p.Expires = time.Now().Add(time.Hour) })
	s := start(t, nullProducer{}, guarded(g))
	const devices = 500
	said := append(squeezed([]byte(authMessage("good"))), squeezed([]byte(readingOfA))...)
	connect := func() {
		conn, br := s.rawDial(t, nil, offer)
		if _, err := conn.Write(said); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readFrame(br); err != nil {
			t.Fatal(err)
		}
		accepted(t, br, 1)
	}
	connect()
	before := memoryInUse()
	for range devices {
		connect()
	}
	perConnection := (memoryInUse() - before) / devices
	t.Logf("%d bytes per idle connection that has signed in and sent a compressed frame", perConnection)
	if perConnection > 7<<10 {
		t.Errorf("%d bytes", perConnection)
	}
}

// memoryInUse is that of the heap and the stacks.
func memoryInUse() int64 {
	heapInUse()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
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
		e, r := newEncoder(s.Server, dialect{}), newReceipt(func() {})
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
