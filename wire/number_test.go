package wire

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// numberText draws numbers as people and machines write them.
func numberText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?`),
		rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }),
		rapid.Map(rapid.IntRange(-1e9, 1e9), func(i int) string { return strconv.FormatFloat(float64(i)/1000, 'f', -1, 64) }),
	)
}

func TestNumbersAreRoundedAsStrconvRoundsThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := numberText().Draw(t, "number")
		var s scanner
		s.reset([]byte(text))
		n, ok := s.number()
		if !ok || !s.end() {
			t.Fatalf("%s: %v", text, s.failure())
		}
		got, finite := s.float(n)
		want, err := strconv.ParseFloat(text, 64)
		if math.Float64bits(got) != math.Float64bits(want) || finite != (err == nil) {
			t.Fatalf("%s is %v, %v; want %v, %v", text, got, finite, want, err)
		}
	})
}

func TestEightDigitsAreReadAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.OneOf(rapid.ByteRange('0', '9'), rapid.Byte()), 8, 8).Draw(t, "bytes")
		word := uint64(0)
		for i, c := range b {
			word |= uint64(c) << (8 * i)
		}
		want, err := strconv.ParseUint(string(b), 10, 64)
		if got, ok := eightDigits(word); ok != (err == nil) || ok && got != want {
			t.Fatalf("%q is %d, %v", b, got, ok)
		}
	})
}

func floats() *rapid.Generator[float64] {
	decimal := func(digits, power int) float64 { return float64(digits) / math.Pow10(power) }
	return rapid.OneOf(
		rapid.Float64(),
		rapid.Custom(func(t *rapid.T) float64 {
			return decimal(rapid.IntRange(-1e12, 1e12).Draw(t, "digits"), rapid.IntRange(0, 9).Draw(t, "power"))
		}),
		rapid.SampledFrom([]float64{
			0, math.Copysign(0, -1), 1e15, 1e15 - 1, -1e15, 999999999.999999, 1e9, 0.000001, 1e-7, 1e21, 1e20, 0.1 + 0.2,
			math.MaxFloat64, math.SmallestNonzeroFloat64,
		}),
	)
}

func TestFloatsAreWrittenInAsFewDigitsAsStrconvNeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := floats().Draw(t, "f")
		got := string(appendFloat(nil, f))
		if back, err := strconv.ParseFloat(got, 64); err != nil || math.Float64bits(back) != math.Float64bits(f) {
			t.Fatalf("%v is written as %s, which is %v", f, got, back)
		}
		if !json.Valid([]byte(got)) {
			t.Fatalf("%v is written as %s", f, got)
		}
		plain := strconv.FormatFloat(f, 'f', -1, 64)
		if len(got) > len(plain) {
			t.Fatalf("%v is written as %s, shortest is %s", f, got, plain)
		}
		if abs := math.Abs(f); (abs >= 1e-6 && abs < 1e21 || f == 0) && got != plain {
			t.Fatalf("%v is written as %s, not %s", f, got, plain)
		}
	})
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := string(appendFloat(nil, f)); got != "null" {
			t.Errorf("%v is written as %s", f, got)
		}
	}
}

func TestStringsAreWrittenAsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s")
		var got string
		if err := json.Unmarshal(appendString(nil, in), &got); err != nil {
			t.Fatal(err)
		}
		standard, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(standard, &want); err != nil || got != want {
			t.Fatalf("%q came back as %q, want %q", in, got, want)
		}
	})
}

func TestStringsAreReadAsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.String().Draw(t, "s")
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var s scanner
		s.reset(text)
		if got, ok := s.str(); !ok || string(got) != in || !s.end() {
			t.Fatalf("%s is read as %q: %v", text, got, s.failure())
		}
	})
}

func TestTimesAreReadAsPackageTimeReadsThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,10})?(Z|z|[+-][0-2][0-9]:[0-6][0-9])`),
			rapid.Map(rapid.Int64Range(-62135596800, 253402300799), func(s int64) string {
				return time.Unix(s, s&0xffffff).In(time.FixedZone("", int(s%1440)*60)).Format(time.RFC3339Nano)
			}),
		).Draw(t, "time")
		want, wantOK := refTime(text)
		got, ok := parseRFC3339([]byte(text))
		if ok != wantOK || ok && got != want {
			t.Fatalf("%s is %d, %v; want %d, %v", text, got, ok, want, wantOK)
		}
	})
}

func FuzzParseRFC3339(f *testing.F) {
	for _, seed := range []string{
		"", "2025-10-09T08:53:20Z", "2024-02-29t23:59:59.999999999-23:59", "1900-02-29T00:00:00Z", "0000-01-01T00:00:00Z",
		"2025-10-09T08:53:20.Z", "2025-10-09T08:53:20+01", "2025-10-09 08:53:20Z",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, wantOK := refTime(text)
		got, ok := parseRFC3339([]byte(text))
		if ok != wantOK || ok && got != want {
			t.Fatalf("%q is %d, %v; want %d, %v", text, got, ok, want, wantOK)
		}
	})
}
