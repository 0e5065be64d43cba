package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/lxzan/gws"

	"weir/telemetry"
	"weir/wire"
)

// collector is a WebSocket server that hands out the messages it gets.
type collector struct {
	gws.BuiltinEventHandler
	messages chan string
}

func (c *collector) OnMessage(_ *gws.Conn, message *gws.Message) {
	c.messages <- message.Data.String()
	_ = message.Close()
}

func TestDevicesSendFramesThatTheServersDecoderTakes(t *testing.T) {
	sink := &collector{messages: make(chan string, 16)}
	upgrader := gws.NewUpgrader(sink, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		go conn.ReadLoop()
	}))
	defer server.Close()
	for _, perFrame := range []int{1, 100} {
		f, err := dialFleet("ws"+strings.TrimPrefix(server.URL, "http"), E2E{Devices: 2, Metrics: 4, FrameReadings: perFrame})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().UnixMicro()
		for _, d := range f.conns {
			d.appendFrame(now, perFrame)
		}
		if err := f.flush(); err != nil {
			t.Fatal(err)
		}
		decoder := wire.NewDecoder(wire.DecoderOptions{})
		for range f.conns {
			text := <-sink.messages
			frame, err := decoder.Decode([]byte(text))
			if err != nil {
				t.Fatalf("%v in %.200s", err, text)
			}
			readings := frame.Batches[0].Readings
			if len(frame.Rejected) > 0 || len(readings) != perFrame || readings[perFrame-1].Time != now {
				t.Fatalf("%d readings, %d rejected, newest at %d, want %d, 0, %d", len(readings), len(frame.Rejected), readings[len(readings)-1].Time, perFrame, now)
			}
		}
		f.close()
	}
}

func TestDashboardsCountRowsReadingsAndLatency(t *testing.T) {
	const now, age = 1_700_000_000_000_000, 7_000
	text := wire.AppendUpdatesHead(nil, 3, "", now)
	for i := range 3 {
		u := telemetry.Update{Version: telemetry.Version(i), Since: telemetry.NoVersion}
		if i > 0 { // the first row has no readings, hence null in its columns
			u.Add(telemetry.Version(i), now-age, 20)
			u.N = 5
		}
		text = wire.AppendRow(text, i, &u)
	}
	text = wire.AppendUpdatesTail(text)
	if !json.Valid(text) {
		t.Fatalf("not JSON: %s", text)
	}
	d := &dashboard{audience: &audience{}, latency: hdrhistogram.New(minLatency, maxLatency, 3)}
	d.updates(now, text)
	if d.frames != 0 {
		t.Fatal("counted before the measurement began")
	}
	d.audience.recording.Store(true)
	d.updates(now, text)
	if d.err != nil {
		t.Fatal(d.err)
	}
	if d.rows != 3 || d.readings != 10 || d.frames != 1 {
		t.Errorf("%d rows, %d readings, %d frames, want 3, 10, 1", d.rows, d.readings, d.frames)
	}
	if got := d.latency.ValueAtQuantile(50); d.latency.TotalCount() != 2 || got < age*99/100 || got > age*101/100 {
		t.Errorf("latency %d µs of %d rows, want %d of 2", got, d.latency.TotalCount(), age)
	}
}

func TestDashboardsSeeTheirShareOfTheDevices(t *testing.T) {
	cfg := E2E{Devices: 4, Sees: 3, MaxHz: 20}
	got := subscribeMessage(cfg, 1)
	for _, device := range []string{"d3", "d0", "d1"} {
		if !strings.Contains(got, fmt.Sprintf("bench/%s/#", device)) {
			t.Errorf("%s is missing in %s", device, got)
		}
	}
	if strings.Contains(got, "d2") {
		t.Errorf("d2 is in %s", got)
	}
	if _, err := wire.DecodeClientMessage([]byte(got)); err != nil {
		t.Error(err)
	}
}

func TestClientFramesOfAllSizesAreMaskedTexts(t *testing.T) {
	for _, n := range []int{0, 125, 126, 1<<16 - 1, 1 << 16} {
		client, server := net.Pipe()
		go func() {
			_, _ = client.Write(appendClientFrame(nil, bytes.Repeat([]byte{'x'}, n)))
			_ = client.Close()
		}()
		frame := new(bytes.Buffer)
		if _, err := frame.ReadFrom(server); err != nil {
			t.Fatal(err)
		}
		_ = server.Close()
		head := frame.Len() - n
		if want := map[bool]int{true: 6}[n < 126]; want != 0 && head != want {
			t.Errorf("%d bytes: head of %d", n, head)
		}
		if b := frame.Bytes(); b[0] != 0x81 || b[1]&0x80 == 0 {
			t.Errorf("%d bytes: begins with %x", n, b[:2])
		}
	}
}

func TestProcessFiguresOfThisProcess(t *testing.T) {
	before, err := cpuSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
	}
	after, err := cpuSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after <= before {
		t.Errorf("CPU time stood still at %v s", after)
	}
	if mib, err := residentMiB(os.Getpid()); err != nil || mib < 1 {
		t.Errorf("resident %v MiB, %v", mib, err)
	}
	if _, err := cpuSeconds(-1); err == nil {
		t.Error("no error for a process that does not exist")
	}
}
