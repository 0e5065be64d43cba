package wire

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/telemetry"
	"weir/wire/weirpb"
)

func drawBatch(t *rapid.T) *telemetry.Batch {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,8}`), 1, 30, rapid.ID[string]).Draw(t, "metrics")
	return &telemetry.Batch{
		Device:  rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "device"),
		Session: rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "session"),
		Seq:     rapid.Uint64().Draw(t, "seq"),
		Ingest:  rapid.Int64().Draw(t, "ingest"),
		Readings: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) telemetry.Reading {
			return telemetry.Reading{
				Metric: rapid.SampledFrom(names).Draw(t, "metric"),
				Time:   rapid.Int64().Draw(t, "time"),
				Value:  rapid.Float64().Draw(t, "value"),
			}
		}), 0, 60).Draw(t, "readings"),
	}
}

// readingsOf puts a generated message together, as the slow and obvious oracle of ReadingColumns.
func readingsOf(m *weirpb.ReadingBatch) *telemetry.Batch {
	b := &telemetry.Batch{Device: m.Device, Session: m.Session, Seq: m.Seq, Ingest: m.IngestTime}
	at := int64(0)
	for i, v := range m.Value {
		at += m.TimeDelta[i]
		metric := m.Metrics[0]
		if len(m.Metric) > 0 {
			metric = m.Metrics[m.Metric[i]]
		}
		b.Readings = append(b.Readings, telemetry.Reading{Metric: metric, Time: at, Value: v})
	}
	return b
}

func (c *ReadingColumns) batch() *telemetry.Batch {
	b := &telemetry.Batch{Device: c.Device, Session: c.Session, Seq: c.Seq, Ingest: c.Ingest}
	for i := range c.Value {
		metric := c.Metrics[0]
		if len(c.Metric) > 0 {
			metric = c.Metrics[c.Metric[i]]
		}
		b.Readings = append(b.Readings, telemetry.Reading{Metric: metric, Time: c.Time[i], Value: c.Value[i]})
	}
	return b
}

func sameBatch(a, b *telemetry.Batch) bool {
	return a.Device == b.Device && a.Session == b.Session && a.Seq == b.Seq && a.Ingest == b.Ingest &&
		slices.EqualFunc(a.Readings, b.Readings, func(a, b telemetry.Reading) bool {
			return a.Metric == b.Metric && a.Time == b.Time && math.Float64bits(a.Value) == math.Float64bits(b.Value)
		})
}

func TestReadingBatchesReadBackAsTheGeneratedCodeReadsThem(t *testing.T) {
	var c ReadingColumns
	rapid.Check(t, func(t *rapid.T) {
		in := drawBatch(t)
		record := AppendReadingBatch([]byte("before"), in)[len("before"):]
		var m weirpb.ReadingBatch
		if err := m.UnmarshalVT(record); err != nil {
			t.Fatal(err)
		}
		if got := readingsOf(&m); !sameBatch(got, in) {
			t.Fatalf("generated code reads %+v, want %+v", got, in)
		}
		for _, record := range [][]byte{record, appendMessage(nil, &m)} {
			if err := c.Unmarshal(record); err != nil {
				t.Fatal(err)
			}
			if got := c.batch(); !sameBatch(got, in) {
				t.Fatalf("read %+v, want %+v", got, in)
			}
		}
	})
}

func TestReadingBatchesOfManyMetricsReadBack(t *testing.T) {
	in := &telemetry.Batch{Device: "a"}
	for i := range telemetry.MaxReadingsPerRecord {
		in.Readings = append(in.Readings, telemetry.Reading{Metric: strings.Repeat("m", i%200) + string(rune('a'+i%26))})
	}
	var c ReadingColumns
	if err := c.Unmarshal(AppendReadingBatch(nil, in)); err != nil || !sameBatch(c.batch(), in) {
		t.Errorf("did not read back: %v", err)
	}
	in.Readings = append(in.Readings, in.Readings[0])
	if err := c.Unmarshal(AppendReadingBatch(nil, in)); !errors.Is(err, ErrRecord) {
		t.Errorf("a reading too many: %v", err)
	}
}

func TestReadingColumnsRefuseWhatDoesNotFitTogether(t *testing.T) {
	for name, m := range map[string]*weirpb.ReadingBatch{
		"short times":     {Metrics: []string{"m"}, TimeDelta: []int64{1}, Value: []float64{1, 2}},
		"short metrics":   {Metrics: []string{"m"}, Metric: []uint32{0}, TimeDelta: []int64{1, 2}, Value: []float64{1, 2}},
		"no metrics":      {TimeDelta: []int64{1}, Value: []float64{1}},
		"unknown metric":  {Metrics: []string{"m"}, Metric: []uint32{1}, TimeDelta: []int64{1}, Value: []float64{1}},
		"times, no value": {Metrics: []string{"m"}, TimeDelta: []int64{1}},
		"huge index":      {Metrics: []string{"m"}, Metric: []uint32{math.MaxUint32}, TimeDelta: []int64{1}, Value: []float64{1}},
	} {
		var c ReadingColumns
		if err := c.Unmarshal(appendMessage(nil, m)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	two := appendMessage(nil, &weirpb.ReadingBatch{Metrics: []string{"m"}, TimeDelta: []int64{1}, Value: []float64{1}})
	var c ReadingColumns
	if err := c.Unmarshal(append(two, two...)); !errors.Is(err, ErrRecord) {
		t.Errorf("two columns of values: %v", err)
	}
}

func drawUpdates(t *rapid.T) []telemetry.Update {
	number := rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN()))
	state := rapid.Map(rapid.IntRange(0, 4), func(i int) telemetry.State { return telemetry.State(i) })
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) telemetry.Update {
		u := telemetry.Update{
			Series:  rapid.StringMatching(`[a-z/]{1,12}`).Draw(t, "series"),
			Version: telemetry.Version(rapid.Int64Range(0, 1<<53).Draw(t, "version")),
			N:       rapid.Uint64Range(0, 3).Draw(t, "n"),
			Late:    rapid.Uint64Range(0, 1).Draw(t, "late"),
			Invalid: rapid.Uint64Range(0, 1).Draw(t, "invalid"),
			Avg:     number.Draw(t, "avg"), Lo: number.Draw(t, "lo"), Hi: number.Draw(t, "hi"),
			State: state.Draw(t, "state"), Worst: state.Draw(t, "worst"), Score: number.Draw(t, "score"),
			IngestTime: rapid.Int64().Draw(t, "ingest"),
		}
		u.Since = telemetry.Version(rapid.Int64Range(-1, int64(u.Version)).Draw(t, "since"))
		if u.N > 0 {
			u.FirstTime, u.LastTime = rapid.Int64().Draw(t, "first"), rapid.Int64().Draw(t, "last time")
			u.Last = number.Draw(t, "last")
			u.Min, u.Max, u.Sum = u.Last, u.Last, u.Last
		}
		if u.N > 1 {
			u.Min, u.Max, u.Sum = number.Draw(t, "min"), number.Draw(t, "max"), number.Draw(t, "sum")
		}
		return u
	}), 0, 20).Draw(t, "updates")
}

// updatesOf puts a generated message together, as the slow and obvious oracle of DecodeUpdateBatch.
func updatesOf(m *weirpb.UpdateBatch) []telemetry.Update {
	us := make([]telemetry.Update, len(m.Series))
	var version, first, ingest int64
	many := 0
	for i := range us {
		version += m.VersionDelta[i]
		first += m.FirstTimeDelta[i]
		ingest += m.IngestTimeDelta[i]
		us[i] = telemetry.Update{
			Series: m.Series[i], Version: telemetry.Version(version), Since: telemetry.Version(version - int64(m.Span[i])),
			N: m.N[i], FirstTime: first, LastTime: first + int64(m.Duration[i]),
			Last: m.Last[i], Min: m.Last[i], Max: m.Last[i], Sum: m.Last[i], Avg: m.Avg[i], Lo: m.Lo[i], Hi: m.Hi[i],
			State: telemetry.State(m.State[i] & 15), Worst: telemetry.State(m.State[i] >> 4), Score: m.Score[i],
			IngestTime: ingest, EmitTime: m.EmitTime,
		}
		if len(m.Late) > 0 {
			us[i].Late = m.Late[i]
		}
		if len(m.Invalid) > 0 {
			us[i].Invalid = m.Invalid[i]
		}
		if m.N[i] > 1 {
			us[i].Min, us[i].Max, us[i].Sum = m.Min[many], m.Max[many], m.Sum[many]
			many++
		}
	}
	return us
}

// sameUpdate compares bit by bit; NaN equals NaN.
func sameUpdate(a, b telemetry.Update) bool {
	for _, f := range [][2]*float64{
		{&a.Last, &b.Last}, {&a.Min, &b.Min}, {&a.Max, &b.Max}, {&a.Sum, &b.Sum},
		{&a.Avg, &b.Avg}, {&a.Lo, &b.Lo}, {&a.Hi, &b.Hi}, {&a.Score, &b.Score},
	} {
		if math.Float64bits(*f[0]) == math.Float64bits(*f[1]) || math.IsNaN(*f[0]) && math.IsNaN(*f[1]) {
			*f[0], *f[1] = 0, 0
		}
	}
	return a == b
}

func TestUpdateBatchesReadBackAsTheGeneratedCodeReadsThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, emit := drawUpdates(t), rapid.Int64().Draw(t, "emit")
		for i := range in {
			in[i].EmitTime = emit
		}
		record := AppendUpdateBatch([]byte("before"), emit, in)[len("before"):]
		var m weirpb.UpdateBatch
		if err := m.UnmarshalVT(record); err != nil {
			t.Fatal(err)
		}
		if got := updatesOf(&m); !slices.EqualFunc(got, in, sameUpdate) {
			t.Fatalf("generated code reads %+v, want %+v", got, in)
		}
		if canonical := appendMessage(nil, &m); !slices.Equal(canonical, record) {
			t.Fatalf("written as %x, by generated code %x", record, canonical)
		}
		got, err := DecodeUpdateBatch(record, []telemetry.Update{{Series: "before"}}, nil)
		if err != nil || got[0].Series != "before" || !slices.EqualFunc(got[1:], in, sameUpdate) {
			t.Fatalf("read %+v, %v; want %+v", got, err, in)
		}
	})
}

func TestDecodeUpdateBatchRefusesWhatDoesNotFitTogether(t *testing.T) {
	one := func() *weirpb.UpdateBatch {
		var m weirpb.UpdateBatch
		if err := m.UnmarshalVT(AppendUpdateBatch(nil, 1, flush(2, 2))); err != nil {
			t.Fatal(err)
		}
		return &m
	}
	for name, change := range map[string]func(*weirpb.UpdateBatch){
		"series":        func(m *weirpb.UpdateBatch) { m.Series = m.Series[:1] },
		"versions":      func(m *weirpb.UpdateBatch) { m.VersionDelta = m.VersionDelta[:1] },
		"more spans":    func(m *weirpb.UpdateBatch) { m.Span = append(m.Span, 1) },
		"no durations":  func(m *weirpb.UpdateBatch) { m.Duration = nil },
		"late":          func(m *weirpb.UpdateBatch) { m.Late = []uint64{1} },
		"more late":     func(m *weirpb.UpdateBatch) { m.Late = []uint64{1, 2, 3} },
		"min":           func(m *weirpb.UpdateBatch) { m.Min = m.Min[:1] },
		"n without max": func(m *weirpb.UpdateBatch) { m.N[0] = 1 },
		"state":         func(m *weirpb.UpdateBatch) { m.State = m.State[:1] },
		"score":         func(m *weirpb.UpdateBatch) { m.Score = nil },
	} {
		m := one()
		change(m)
		dst := []telemetry.Update{{Series: "before"}}
		if got, err := DecodeUpdateBatch(appendMessage(nil, m), dst, nil); !errors.Is(err, ErrRecord) || len(got) != 1 {
			t.Errorf("%s: %v, %d updates", name, err, len(got))
		}
	}
}

func TestRecordsAreWrittenAndReadWithoutAllocation(t *testing.T) {
	in, us := batch(100), flush(100, 2)
	readings, updates := AppendReadingBatch(nil, in), AppendUpdateBatch(nil, 1, us)
	var c ReadingColumns
	intern := func([]byte) string { return "s" }
	for name, f := range map[string]func() error{
		"write readings": func() error { readings = AppendReadingBatch(readings[:0], in); return nil },
		"read readings":  func() error { return c.Unmarshal(readings) },
		"write updates":  func() error { updates = AppendUpdateBatch(updates[:0], 1, us); return nil },
		"read updates": func() (err error) {
			us, err = DecodeUpdateBatch(updates, us[:0], intern)
			return err
		},
	} {
		var err error
		if n := testing.AllocsPerRun(10, func() { err = errors.Join(err, f()) }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, %v", name, n, err)
		}
	}
}

func sampleDeadLetter() DeadLetter {
	return DeadLetter{
		Code: CodeValueNotFinite, Path: "readings[4].value", Message: "value is not a finite number", Device: "plant1/press7",
		Time: 1_760_000_000_000_000, Raw: []byte{0, 0xff}, Stage: "ingest", Topic: TopicReadings, Partition: 3, Offset: 1 << 40,
	}
}

func TestAlertsMarkersAndDeadLettersReadBack(t *testing.T) {
	alert := sampleAlert()
	if got, err := DecodeAlert(AppendAlert(nil, &alert)); err != nil || !reflect.DeepEqual(got, alert) {
		t.Errorf("alert %+v, %v", got, err)
	}
	marker := Marker{Updates: 1, Alerts: 1 << 50, Readings: -1}
	if got, err := DecodeMarker(AppendMarker([]byte("x"), marker)[1:]); err != nil || got != marker {
		t.Errorf("marker %+v, %v", got, err)
	}
	letter := sampleDeadLetter()
	got, err := DecodeDeadLetter(AppendDeadLetter(nil, &letter))
	if err != nil || !slices.Equal(got.Raw, letter.Raw) {
		t.Errorf("dead letter %+v, %v", got, err)
	}
	got.Raw, letter.Raw = nil, nil
	if got.Code != letter.Code || got.Path != letter.Path || got.Message != letter.Message || got.Device != letter.Device ||
		got.Time != letter.Time || got.Stage != letter.Stage || got.Topic != letter.Topic ||
		got.Partition != letter.Partition || got.Offset != letter.Offset {
		t.Errorf("dead letter %+v", got)
	}
}

func FuzzReadingColumns(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendReadingBatch(nil, batch(1)))
	f.Add(AppendReadingBatch(nil, batch(9)))
	f.Add([]byte{0x42, 0xff, 0xff, 0xff, 0xff, 0x0f})
	var c ReadingColumns
	f.Fuzz(func(t *testing.T, record []byte) {
		if c.Unmarshal(record) != nil {
			return
		}
		if len(c.Value) > telemetry.MaxReadingsPerRecord {
			t.Fatalf("%d readings", len(c.Value))
		}
		var m weirpb.ReadingBatch
		if err := m.UnmarshalVT(record); err != nil {
			t.Fatalf("accepted what generated code refuses: %v", err)
		}
		if got, want := c.batch(), readingsOf(&m); !sameBatch(got, want) {
			t.Fatalf("read %+v, generated code %+v", got, want)
		}
	})
}

func FuzzDecodeUpdateBatch(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendUpdateBatch(nil, 1, flush(1, 1)))
	f.Add(AppendUpdateBatch(nil, 1, flush(3, 2)))
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, record []byte) {
		got, err := DecodeUpdateBatch(record, nil, nil)
		if err != nil {
			return
		}
		if len(got) > len(record) {
			t.Fatalf("%d updates of %d bytes", len(got), len(record))
		}
		var m weirpb.UpdateBatch
		if err := m.UnmarshalVT(record); err != nil {
			t.Fatalf("accepted what generated code refuses: %v", err)
		}
		if want := updatesOf(&m); !slices.EqualFunc(got, want, sameUpdate) {
			t.Fatalf("read %+v, generated code %+v", got, want)
		}
	})
}

func FuzzDecodeSmallRecords(f *testing.F) {
	alert, letter := sampleAlert(), sampleDeadLetter()
	f.Add(AppendAlert(nil, &alert))
	f.Add(AppendMarker(nil, Marker{Updates: 1, Alerts: 2, Readings: 3, Time: 4}))
	f.Add(AppendDeadLetter(nil, &letter))
	f.Fuzz(func(t *testing.T, record []byte) {
		if a, err := DecodeAlert(record); err == nil {
			if again, err := DecodeAlert(AppendAlert(nil, &a)); err != nil || again.ID != a.ID || again.Version != a.Version {
				t.Fatalf("alert %+v became %+v, %v", a, again, err)
			}
		}
		if m, err := DecodeMarker(record); err == nil {
			if again, err := DecodeMarker(AppendMarker(nil, m)); err != nil || again != m {
				t.Fatalf("marker %+v became %+v, %v", m, again, err)
			}
		}
		if d, err := DecodeDeadLetter(record); err == nil {
			if again, err := DecodeDeadLetter(AppendDeadLetter(nil, &d)); err != nil || !slices.Equal(again.Raw, d.Raw) {
				t.Fatalf("dead letter %+v became %+v, %v", d, again, err)
			}
		}
	})
}
