package detect

import (
	"encoding/csv"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorded reads the series of a CSV file with rows timestamp,value.
func recorded(t *testing.T, path string) []point {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []point
	for _, row := range rows[1:] {
		at, err := time.Parse("2006-01-02 15:04:05", strings.NewReplacer("T", " ", "Z", "").Replace(row[0]))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		v, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			v = math.NaN()
		}
		out = append(out, point{at.UnixMicro(), v})
	}
	return out
}

// TestRecordedSeries runs over testdata, and over the folder in WEIR_ANOMALY if that is set: what is said of
// a reading depends on nothing that comes later, and a detector saved and restored in the middle goes on as
// if nothing had been.
func TestRecordedSeries(t *testing.T) {
	for _, dir := range []string{"testdata", os.Getenv("WEIR_ANOMALY")} {
		if dir == "" {
			continue
		}
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".csv" {
				t.Run(strings.TrimSuffix(filepath.Base(path), ".csv"), func(t *testing.T) { checkSeries(t, recorded(t, path)) })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func checkSeries(t *testing.T, points []point) {
	p := shipped(t)
	whole := make([]Verdict, len(points))
	var d Detector
	for i, at := range points {
		whole[i] = d.Observe(p, at.t, at.v)
	}
	t.Logf("%d readings, %d bytes marshalled", len(points), len(d.MarshalAppend(nil)))
	for share := 1; share < 8; share++ {
		cut := len(points) * share / 8
		var prefix, after Detector
		for i, at := range points[:cut] {
			if got := prefix.Observe(p, at.t, at.v); !equal(got, whole[i]) {
				t.Fatalf("prefix of %d, reading %d: %+v, want %+v", cut, i, got, whole[i])
			}
		}
		if err := after.Unmarshal(prefix.MarshalAppend(nil)); err != nil {
			t.Fatal(err)
		}
		for i, at := range points[cut:] {
			if got := after.Observe(p, at.t, at.v); !equal(got, whole[cut+i]) {
				t.Fatalf("restored at %d, reading %d: %+v, want %+v", cut, cut+i, got, whole[cut+i])
			}
		}
	}
}
