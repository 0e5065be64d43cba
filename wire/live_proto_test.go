package wire

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"weir/telemetry"
	"weir/wire/weirpb"
)

// drawUpdate is any update that a row can tell of.
func drawAnyUpdate(t *rapid.T) *telemetry.Update {
	real := rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN()), rapid.Just(0.0))
	time := rapid.Int64Range(-1e15, 1<<52)
	u := &telemetry.Update{
		Version: telemetry.Version(rapid.Int64Range(-1, 1<<60).Draw(t, "version")),
		N:       rapid.Uint64Range(0, 3).Draw(t, "n"),
		Late:    rapid.SampledFrom([]uint64{0, 0, 0, 7}).Draw(t, "late"),
		Invalid: rapid.SampledFrom([]uint64{0, 0, 0, 300}).Draw(t, "invalid"),
		Avg:     real.Draw(t, "avg"), Lo: real.Draw(t, "lo"), Hi: real.Draw(t, "hi"), Score: real.Draw(t, "score"),
		State: telemetry.State(rapid.IntRange(0, 4).Draw(t, "state")), Worst: telemetry.State(rapid.IntRange(0, 4).Draw(t, "worst")),
		IngestTime: time.Draw(t, "ingest"), EmitTime: time.Draw(t, "emit"),
	}
	u.Since = u.Version - telemetry.Version(rapid.Int64Range(0, int64(u.Version)+1).Draw(t, "span"))
	if u.N > 0 {
		u.FirstTime, u.LastTime, u.Last = time.Draw(t, "first"), time.Draw(t, "last"), real.Draw(t, "value")
		u.Min, u.Max, u.Sum = u.Last, u.Last, u.Last
	}
	if u.N > 1 {
		u.Min, u.Max, u.Sum = real.Draw(t, "min"), real.Draw(t, "max"), real.Draw(t, "sum")
	}
	return u
}

func drawColumns(t *rapid.T) ColumnSet {
	if rapid.Bool().Draw(t, "all") {
		return 0
	}
	return (ColumnSet(rapid.Uint32Range(0, uint32(allColumns)).Draw(t, "columns")) | ownColumns).canonical()
}

func drawLiveEntries(t *rapid.T, from, n int) (entries []Entry) {
	for i := range n {
		e := Entry{I: from + i, Series: fmt.Sprintf("p/ü%d/m", from+i)}
		if rapid.Bool().Draw(t, "meta") {
			limit := rapid.Float64Range(-1, 1).Draw(t, "limit")
			e.Meta = &Meta{Unit: "°C", Tags: map[string]string{"line": "3"}, Min: &limit}
		}
		entries = append(entries, e)
	}
	return entries
}

func drawLiveRows(t *rapid.T, series int) (rows []Row) {
	for i := range series {
		if rapid.Bool().Draw(t, "row") {
			rows = append(rows, Row{I: i, Update: drawAnyUpdate(t)})
		}
	}
	return rows
}

// told is a message as a client has it.
func told(m ServerMessage) string {
	switch m := m.(type) {
	case *Subscribed:
		text := fmt.Sprintf("%q %v %v %v %v %v %v %v %v %d alerts", m.ID, m.View, m.MaxHz, [2]bool{m.Resumed, m.AlertsResumed}, m.Columns, m.Left, m.Cursor, m.PushTime, rowsTold(m.Rows), len(m.Alerts))
		return text + string(appendEntries(nil, m.Dictionary))
	case *Updates:
		return fmt.Sprintf("%v %q %v %v %s", m.View, m.Cursor, m.PushTime, m.Left, rowsTold(m.Rows))
	default:
		return string(m.Append(nil))
	}
}

func rowsTold(rows []Row) (text string) {
	for _, r := range rows {
		text += fmt.Sprintf("%d %+v\n", r.I, *r.Update)
	}
	return text
}

// appendColumns is m as JSON with the chosen columns.
func (m *Updates) appendColumns(chosen ColumnSet) []byte {
	b := AppendUpdatesHead(nil, m.View, m.Cursor, m.PushTime)
	for _, r := range m.Rows {
		b = chosen.AppendRow(b, r.I, r.Update)
	}
	return AppendUpdatesTail(b, m.Left...)
}

func TestProtobufTellsWhatJSONDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var inJSON, inProto LiveDecoder
		same := func(text, binary []byte) {
			t.Helper()
			a, err := inJSON.Decode(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			b, err := inProto.DecodeProto(binary)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if told(a) != told(b) {
				t.Fatalf("in JSON\n%s\nin protobuf\n%s", told(a), told(b))
			}
			var generated weirpb.ServerMessage
			if err := generated.UnmarshalVT(binary); err != nil {
				t.Fatal(err)
			}
			again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&generated)
			if err != nil || !bytes.Equal(again, binary) {
				t.Fatalf("the generated code writes %x (%v), not\n%x", again, err, binary)
			}
		}
		chosen, series := drawColumns(t), rapid.IntRange(0, 5).Draw(t, "series")
		sub := &Subscribed{
			ID: "ä \"b\"", View: rapid.IntRange(0, 300).Draw(t, "view"), MaxHz: rapid.SampledFrom([]float64{0, 0.5, 20}).Draw(t, "hz"),
			Resumed: rapid.Bool().Draw(t, "resumed"), AlertsResumed: rapid.Bool().Draw(t, "alerts resumed"), Columns: chosen, Dictionary: drawLiveEntries(t, 0, series), Rows: drawLiveRows(t, series),
			Cursor: "AQ", PushTime: serverTime, Left: rapid.SliceOf(rapid.Uint32()).Draw(t, "left"),
		}
		if sub.Resumed {
			sub.Alerts = []telemetry.Alert{sampleAlert()}
		}
		same(sub.Append(nil), sub.AppendProto(nil))
		added := &SeriesMsg{View: sub.View, Added: drawLiveEntries(t, series, 2), Changed: drawLiveEntries(t, 0, min(series, 1)), Removed: []int{3, 300}}
		same(added.Append(nil), added.AppendProto(nil))
		for range 3 {
			u := &Updates{
				View: sub.View, Cursor: rapid.SampledFrom([]string{"", "AQE"}).Draw(t, "cursor"), PushTime: serverTime,
				Rows: drawLiveRows(t, series+2), Left: rapid.SliceOf(rapid.Uint32()).Draw(t, "left"),
			}
			same(u.appendColumns(chosen), u.AppendProto(nil, chosen))
		}
		pong := (&Pong{Payload: []byte(`{"t":1}`)}).Append(nil)
		same(pong, AppendServerJSON(nil, pong))
	})
}

func TestAClientsMessageInProtobufIsItsText(t *testing.T) {
	want := (&Unsubscribe{ID: "a"}).Append(nil)
	got, err := DecodeClientProto(AppendClientJSON(nil, want))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s %v", got, err)
	}
	for _, bad := range []string{"\x0a\x05x", "\x08\x01", "\xff"} {
		if _, err := DecodeClientProto([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzDecodeLiveProto(f *testing.F) {
	u := sampleUpdate(4096, 8192, 3)
	rows := []Row{{I: 0, Update: &u}}
	sub := &Subscribed{ID: "a", View: 1, Dictionary: []Entry{{I: 0, Series: u.Series}}, Rows: rows, Alerts: []telemetry.Alert{sampleAlert()}}
	f.Add(sub.AppendProto(nil), (&Updates{View: 1, Rows: rows, Left: []uint32{1}}).AppendProto(nil, 0))
	f.Add(sub.AppendProto(nil), (&SeriesMsg{View: 1, Added: []Entry{{I: 1, Series: "x"}}, Removed: []int{1}}).AppendProto(nil))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var d LiveDecoder
		for _, frame := range [][]byte{first, second} {
			m, err := d.DecodeProto(frame)
			if err == nil && m == nil {
				t.Error("neither a message nor an error")
			}
		}
	})
}
