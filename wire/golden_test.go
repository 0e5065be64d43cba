package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"weir/telemetry"
)

var update = flag.Bool("update", false, "rewrite the files in testdata/golden")

// section is a field of a golden file: a list with one line per entry, or a plain value.
type section struct {
	name  string
	value any
	lines []any
}

// golden compares a file with what the code produces now, or rewrites it. testdata/golden/README.md tells
// what is in it.
func golden(t *testing.T, file string, sections ...section) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("{\n")
	for i, s := range sections {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString(compact(t, s.name) + ": ")
		if s.lines == nil {
			b.WriteString(compact(t, s.value))
			continue
		}
		b.WriteString("[\n")
		for j, line := range s.lines {
			if j > 0 {
				b.WriteString(",\n")
			}
			b.WriteString(compact(t, line))
		}
		b.WriteString("\n]")
	}
	b.WriteString("\n}\n")
	path := filepath.Join("testdata", "golden", file)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s differs from what the code produces; if that is meant: go test ./wire -run Golden -update", path)
	}
}

func compact(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// goldenUpdate is an Update as an object with the wire's names; NaN, and the values of no readings, are null.
type goldenUpdate struct {
	Series    string     `json:"series"`
	Version   int64      `json:"version"`
	Since     int64      `json:"since"`
	N         uint64     `json:"n"`
	Late      uint64     `json:"late"`
	Invalid   uint64     `json:"invalid"`
	FirstTime *int64     `json:"first_ts"`
	LastTime  *int64     `json:"last_ts"`
	Last      goldenReal `json:"last"`
	Min       goldenReal `json:"min"`
	Max       goldenReal `json:"max"`
	Sum       goldenReal `json:"sum"`
	Avg       goldenReal `json:"avg"`
	Lo        goldenReal `json:"lo"`
	Hi        goldenReal `json:"hi"`
	State     int        `json:"state"`
	Score     float64    `json:"score"`
	Worst     int        `json:"worst"`
	Ingest    int64      `json:"ingest_ts"`
	Emit      int64      `json:"emit_ts"`
}

// goldenReal is a float64 that may be NaN.
type goldenReal float64

func (r goldenReal) MarshalJSON() ([]byte, error) { return appendFloat(nil, float64(r)), nil }

func goldenOf(u telemetry.Update) goldenUpdate {
	g := goldenUpdate{
		Series: u.Series, Version: int64(u.Version), Since: int64(u.Since), N: u.N, Late: u.Late, Invalid: u.Invalid,
		FirstTime: &u.FirstTime, LastTime: &u.LastTime,
		Last: goldenReal(u.Last), Min: goldenReal(u.Min), Max: goldenReal(u.Max), Sum: goldenReal(u.Sum),
		Avg: goldenReal(u.Avg), Lo: goldenReal(u.Lo), Hi: goldenReal(u.Hi),
		State: int(u.State), Score: u.Score, Worst: int(u.Worst), Ingest: u.IngestTime, Emit: u.EmitTime,
	}
	if u.N == 0 {
		none := goldenReal(math.NaN())
		g.FirstTime, g.LastTime, g.Last, g.Min, g.Max, g.Sum = nil, nil, none, none, none, none
	}
	return g
}

// sampleUpdate is an update of n readings 20, 20.5, … whose numbers of all kinds are easy to tell apart.
func sampleUpdate(since, version telemetry.Version, n int) telemetry.Update {
	u := telemetry.Update{
		Series: "plant1/press7/temperature", Since: since, Avg: 20.25, Lo: 18.125, Hi: 22.375, State: telemetry.OK,
		Score: 0.125, Worst: telemetry.Warming, IngestTime: serverTime + int64(version)*1000, EmitTime: serverTime + int64(version)*1000 + 500,
	}
	for i := range n {
		u.Add(version, serverTime+int64(version)*100-int64(n-1-i)*10, 20+float64(i)/2)
	}
	u.Version = version
	return u
}

func TestGoldenCodes(t *testing.T) {
	golden(t, "codes.json", listOf("errors", Codes()), listOf("close", CloseCodes()))
}

// listOf is a section with one line per element.
func listOf[T any](name string, list []T) section {
	s := section{name: name, lines: make([]any, len(list))}
	for i := range list {
		s.lines[i] = list[i]
	}
	return s
}

func TestGoldenMerge(t *testing.T) {
	type mergeCase struct {
		Name    string         `json:"name"`
		Updates []goldenUpdate `json:"updates"`
		Merged  goldenUpdate   `json:"merged"`
	}
	var cases []mergeCase
	add := func(name string, us ...telemetry.Update) {
		c := mergeCase{Name: name}
		for _, u := range us {
			c.Updates = append(c.Updates, goldenOf(u))
		}
		merged := us[0]
		for i := range us[1:] {
			if err := merged.Merge(&us[i+1]); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		c.Merged = goldenOf(merged)
		cases = append(cases, c)
	}
	change := func(u telemetry.Update, f func(*telemetry.Update)) telemetry.Update { f(&u); return u }
	unknown := func(u *telemetry.Update) {
		u.Avg, u.Lo, u.Hi, u.State = math.NaN(), math.NaN(), math.NaN(), telemetry.Warming
	}

	add("one", sampleUpdate(-1, 3, 2))
	add("two adjacent", sampleUpdate(-1, 3, 2), sampleUpdate(3, 9, 3))
	add("three adjacent", sampleUpdate(0, 3, 1), sampleUpdate(3, 4, 1), sampleUpdate(4, 4096, 5))
	add("no readings first", sampleUpdate(-1, 3, 0), sampleUpdate(3, 9, 3))
	add("no readings second", sampleUpdate(-1, 3, 2), sampleUpdate(3, 9, 0))
	add("no readings at all", sampleUpdate(-1, 3, 0), sampleUpdate(3, 9, 0))
	add("readings left out are counted",
		change(sampleUpdate(-1, 3, 1), func(u *telemetry.Update) { u.Late = 2 }),
		change(sampleUpdate(3, 9, 0), func(u *telemetry.Update) { u.Late, u.Invalid = 1, 4 }))
	add("same newest time: the later version is last",
		sampleUpdate(-1, 3, 1),
		change(sampleUpdate(3, 9, 1), func(u *telemetry.Update) { u.LastTime, u.FirstTime, u.Last = serverTime+300, serverTime+300, 7 }))
	add("older times arrive later: last stays",
		sampleUpdate(-1, 3, 2),
		change(sampleUpdate(3, 9, 1), func(u *telemetry.Update) { u.LastTime, u.FirstTime, u.Last = serverTime-5, serverTime-5, 7 }))
	add("a spike survives",
		sampleUpdate(-1, 3, 2),
		change(sampleUpdate(3, 4, 1), func(u *telemetry.Update) { u.Last, u.Min, u.Max, u.Sum = 9e9, 9e9, 9e9, 9e9 }),
		sampleUpdate(4, 9, 2))
	add("band and state are the newest, score and worst the highest",
		change(sampleUpdate(-1, 3, 1), func(u *telemetry.Update) {
			u.State, u.Worst, u.Score = telemetry.Anomalous, telemetry.Alerting, 0.875
		}),
		change(sampleUpdate(3, 9, 1), func(u *telemetry.Update) { u.Avg, u.Lo, u.Hi = 1.5, -2.5, 3.5 }))
	add("the band becomes unknown", sampleUpdate(-1, 3, 1), change(sampleUpdate(3, 9, 1), unknown))
	add("the band becomes known", change(sampleUpdate(-1, 3, 1), unknown), sampleUpdate(3, 9, 1))
	add("ingest and emission do not go back",
		change(sampleUpdate(-1, 3, 1), func(u *telemetry.Update) { u.IngestTime += 1e9; u.EmitTime += 1e9 }), sampleUpdate(3, 9, 1))
	add("values of both signs",
		change(sampleUpdate(-1, 3, 1), func(u *telemetry.Update) { u.Last, u.Min, u.Max, u.Sum = -1e-7, -1e-7, -1e-7, -1e-7 }),
		sampleUpdate(3, 9, 1))
	add("versions near the end of exact numbers",
		change(sampleUpdate(1<<53-3, 1<<53-2, 1), func(u *telemetry.Update) { u.IngestTime, u.EmitTime = serverTime, serverTime }),
		change(sampleUpdate(1<<53-2, 1<<53-1, 0), func(u *telemetry.Update) { u.IngestTime, u.EmitTime = serverTime, serverTime }))

	golden(t, "merge.json", listOf("merges", cases), listOf("relations", relations()))
}

type relationCase struct {
	Since    telemetry.Version `json:"since"`
	Version  telemetry.Version `json:"version"`
	Seen     telemetry.Version `json:"seen"`
	Relation string            `json:"relation"`
}

func relations() []relationCase {
	names := map[telemetry.Relation]string{
		telemetry.Contiguous: "contiguous", telemetry.Replay: "replay", telemetry.Gap: "gap", telemetry.Overlap: "overlap",
	}
	var cases []relationCase
	for _, c := range [][3]telemetry.Version{
		{-1, 0, -1}, {-1, 7, -1}, {-1, 7, 7}, {-1, 7, 8}, {-1, 7, 3}, {10, 20, -1}, {10, 20, 9}, {10, 20, 10}, {10, 20, 11},
		{10, 20, 19}, {10, 20, 20}, {10, 20, 21}, {1<<53 - 2, 1<<53 - 1, 1<<53 - 2}, {1<<53 - 2, 1<<53 - 1, 1<<53 - 3},
	} {
		u := telemetry.Update{Since: c[0], Version: c[1]}
		cases = append(cases, relationCase{c[0], c[1], c[2], names[u.Follow(c[2])]})
	}
	return cases
}

func TestGoldenRows(t *testing.T) {
	type rowCase struct {
		Name   string          `json:"name"`
		I      int             `json:"i"`
		Update goldenUpdate    `json:"update"`
		Row    json.RawMessage `json:"row"`
	}
	var cases []rowCase
	add := func(name string, i int, f func(*telemetry.Update)) {
		u := sampleUpdate(4096, 8192, 3)
		f(&u)
		row := AppendRow(nil, i, &u)
		var s scanner
		s.reset(row)
		back := telemetry.Update{Series: u.Series}
		if at, ok := s.row(&back, wholeRows); !ok || at != i || !sameUpdate(back, u) {
			t.Errorf("%s: %s is read as %+v", name, row, back)
		}
		cases = append(cases, rowCase{name, i, goldenOf(u), row})
	}
	add("plain", 17, func(*telemetry.Update) {})
	add("first of its series", 0, func(u *telemetry.Update) { u.Since = telemetry.NoVersion })
	add("no readings", 1, func(u *telemetry.Update) { *u = sampleUpdate(4096, 8192, 0) })
	add("readings left out", 1, func(u *telemetry.Update) { u.Late, u.Invalid = 3, 4 })
	add("band unknown", 2, func(u *telemetry.Update) { u.Avg, u.Lo, u.Hi = math.NaN(), math.NaN(), math.NaN() })
	add("worst of states", 3, func(u *telemetry.Update) { u.State, u.Worst, u.Score = telemetry.Alerting, telemetry.Alerting, 1 })
	add("numbers that are long", 4, func(u *telemetry.Update) {
		u.Last, u.Min, u.Max, u.Sum = 0.30000000000000004, -1.0/3, math.MaxFloat64, 5e-324
		u.Avg, u.Lo, u.Hi, u.Score = 123456789.123456, 1e21, -1e-7, 1.0/3
	})
	add("numbers that are whole", 5, func(u *telemetry.Update) {
		u.Last, u.Min, u.Max, u.Sum = 1, -9007199254740992, 1e20, 0
		u.Version, u.Since, u.N = 1<<53-1, 1<<53-2, 1<<53-1
	})
	golden(t, "rows.json", section{name: "columns", value: Columns()}, listOf("rows", cases))
}

func TestGoldenPatterns(t *testing.T) {
	type matchCase struct {
		Pattern string `json:"pattern"`
		Path    string `json:"path"`
		Matches bool   `json:"matches"`
	}
	type refusedCase struct {
		Pattern string `json:"pattern"`
		Code    string `json:"code"`
	}
	paths := []string{
		"plant1", "plant1/a", "plant1/a/temperature", "plant1/a/b/temperature", "plant10/a", "_weir/load", "plant1/_all/temperature",
		"Werk Süd/Presse 7/Öldruck",
	}
	var matches []matchCase
	for _, text := range []string{
		"#", "+", "+/+", "+/#", "plant1", "plant1/#", "plant1/+", "plant1/+/temperature", "plant1/+/#", "plant1/a/temperature",
		"_weir/#", "+/load", "Werk Süd/+/Öldruck",
	} {
		p := pattern(t, text)
		for _, path := range paths {
			matches = append(matches, matchCase{text, path, p.Match(path)})
		}
	}
	var refused []refusedCase
	for _, text := range []string{
		"", "/", "a/", "/a", "a//b", "a+", "a/+b", "#/a", "a/#/b", "a#", "##", "a\u0001", "a/\u007f",
		"a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/#", string(bytes.Repeat([]byte("x"), 256)), string(bytes.Repeat([]byte("ü"), 128)),
	} {
		_, err := telemetry.ParsePattern(text)
		var e *telemetry.PathError
		if !errors.As(err, &e) {
			t.Fatalf("pattern %q: %v", text, err)
		}
		refused = append(refused, refusedCase{text, e.Code})
	}
	golden(t, "patterns.json", listOf("matches", matches), listOf("refused", refused))
}
