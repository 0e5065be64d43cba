package wire

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"weir/telemetry"
	"weir/wire/weirpb"
)

// batchOf is a ReadingBatch of one reading.
func batchOf(device, metric string, time int64, value float64) *weirpb.ReadingBatch {
	return &weirpb.ReadingBatch{Device: device, Metrics: []string{metric}, TimeDelta: []int64{time}, Value: []float64{value}}
}

func marshal(t testing.TB, m proto.Message) string {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestColumnsReadBatchesAloneAndTogether(t *testing.T) {
	one := batchOf("a", "m", serverTime, 1)
	two := &weirpb.ReadingBatch{
		Device: "b", Metrics: []string{"m", "_x"}, Metric: []uint32{0, 1, 0, 0},
		TimeDelta: []int64{serverTime, 1, -1, 601_000_000}, Value: []float64{1, 2, math.NaN(), 3},
	}
	frame := &weirpb.DeviceFrame{Batches: []*weirpb.ReadingBatch{one, two, one}}
	session := func(device, name string, seq uint64) *weirpb.ReadingBatch {
		b := batchOf(device, "m", serverTime, 1)
		b.Session, b.Seq = name, seq
		return b
	}
	frames := func(batches ...*weirpb.ReadingBatch) string { return marshal(t, &weirpb.DeviceFrame{Batches: batches}) }
	short := batchOf("a", "m", 0, 1)
	short.TimeDelta = nil
	for frame, want := range map[string]string{
		marshal(t, one): "a m 1@0",
		marshal(t, two): "b m 1@0; !path_reserved readings[1].metric; !value_not_finite readings[2].value; !ts_future readings[3].ts",
		marshal(t, frame): "a m 1@0; b m 1@0; !path_reserved batches[1].readings[1].metric; !value_not_finite batches[1].readings[2].value; " +
			"!ts_future batches[1].readings[3].ts; a m 1@0",
		marshal(t, batchOf("", "m", serverTime, 1)):             "!device_missing device",
		marshal(t, batchOf("a/#", "m", serverTime, 1)):          "error path_wildcard device",
		frames(batchOf("a/#", "m", serverTime, 1), one):         "!path_wildcard batches[0].device; a m 1@0",
		frames(session("a", "s", 1), session("b", "t", 1)):      "error session_invalid batches[1].session",
		frames(session("a", "s", 1), session("b", "s", 2)):      "error seq_invalid batches[1].seq",
		frames(session("a", strings.Repeat("s", 65), 1)):        "error session_invalid batches[0].session",
		marshal(t, session("a", "s", 0)):                        "error seq_missing seq",
		frames(session("a", "s", 1), session("b", "s", 0)):      "error seq_missing batches[1].seq",
		marshal(t, session("a", "s", 1<<63)):                    "error seq_invalid seq",
		frames(session("a", "s", 1), one, session("b", "s", 1)): "a m 1@0; a m 1@0; b m 1@0",
		marshal(t, short):             "error format_syntax",
		frames(one, short):            "error format_syntax batches[1]",
		marshal(t, one) + frames(one): "error format_syntax batches",
		"\x50\x01" + marshal(t, one):  "a m 1@0",
		"\x0f":                        "error format_syntax", "": "error frame_empty", "\x50\x01": "",
	} {
		if got := decodeAs(t, FormatColumns, testOptions(), frame); got != want {
			t.Errorf("%q:\n got %s\nwant %s", frame, got, want)
		}
	}
}

func TestColumnsCarrySessionSeqAndBacklog(t *testing.T) {
	d := NewFrameDecoder(FormatColumns, testOptions())
	b := batchOf("a", "m", serverTime, 1)
	b.Session, b.Seq = "boot", 7
	f, err := d.Decode([]byte(marshal(t, &weirpb.DeviceFrame{Batches: []*weirpb.ReadingBatch{batchOf("b", "m", 1, 1), b}, Backlog: true})))
	if err != nil || f.Session != "boot" || f.Seq != 7 || !f.HasSeq || !f.Backlog || f.Batches[0].Seq != 7 || f.Batches[0].Session != "boot" {
		t.Errorf("%v, %+v", err, f)
	}
	f, err = d.Decode(AppendReadingBatch(nil, &telemetry.Batch{Device: "a", Readings: []telemetry.Reading{{Metric: "m"}}}))
	if err != nil || f.Session != "" || f.HasSeq || f.Backlog || f.Total != 1 {
		t.Errorf("%v, %+v", err, f)
	}
}

func TestColumnsBoundReadings(t *testing.T) {
	opts := testOptions()
	opts.MaxReadings = 2
	b := batchOf("a", "m", serverTime, 1)
	if got := decodeAs(t, FormatColumns, opts, marshal(t, &weirpb.DeviceFrame{Batches: []*weirpb.ReadingBatch{b, b, b}})); got != "error readings_too_many batches[2]" {
		t.Error(got)
	}
}
