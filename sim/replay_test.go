package sim

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/telemetry"
)

func recording(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const fiveMinutes = `timestamp,value
2014-04-01 00:00:00,20.0
2014-04-01 00:05:00,21.5
2014-04-01 00:10:00,
2014-04-01 00:15:00,-3e2
2014-04-01T00:20:00Z,7,1
`

func TestReplayStampsRowsWithTheTimeTheyAreSent(t *testing.T) {
	replay := Replay{Dir: recording(t, map[string]string{"cloud/a.csv": fiveMinutes, "cloud/notes.txt": "x"}), Speed: 300}
	got, err := replay.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows != 4 || got.Skipped != 1 || got.Length != 4*time.Second || len(got.Sources) != 1 {
		t.Fatalf("%+v", got)
	}
	if name := got.Sources[0].Device(); name != "replay/cloud/a" {
		t.Errorf("device %q, want replay/cloud/a", name)
	}
	frames, _ := play(got.Sources[0], time.Minute)
	at := func(s int, v float64) telemetry.Reading {
		return telemetry.Reading{Metric: "value", Time: epoch.Add(time.Duration(s) * time.Second).UnixMicro(), Value: v}
	}
	want := []telemetry.Reading{at(0, 20), at(1, 21.5), at(3, -300), at(4, 7)}
	if flat := slices.Concat(frames...); !slices.Equal(flat, want) {
		t.Errorf("%+v, want %+v", flat, want)
	}
}

func TestReplayCanKeepTheRecordedSpacingWithoutLeavingThePresent(t *testing.T) {
	replay := Replay{Dir: recording(t, map[string]string{"a.csv": fiveMinutes}), Speed: 300, KeepSpacing: true}
	got, err := replay.Load()
	if err != nil {
		t.Fatal(err)
	}
	frames, _ := play(got.Sources[0], time.Minute)
	flat := slices.Concat(frames...)
	last := flat[len(flat)-1].Time
	if want := epoch.Add(4 * time.Second).UnixMicro(); last != want {
		t.Errorf("last row is stamped %d, want %d", last, want)
	}
	if gap := flat[1].Time - flat[0].Time; gap != 5*60*1e6 {
		t.Errorf("first interval is %d µs, want five minutes", gap)
	}
}

func TestReplayPutsManyRowsDueAtOnceIntoOneFrame(t *testing.T) {
	text := "timestamp,value\n" + strings.Repeat("2014-04-01 00:00:00,1\n", 3*tapeFrame)
	replay := Replay{Dir: recording(t, map[string]string{"a.csv": text}), Speed: 1}
	got, err := replay.Load()
	if err != nil {
		t.Fatal(err)
	}
	if frames, _ := play(got.Sources[0], time.Minute); len(frames) != 3 {
		t.Errorf("%d frames, want 3", len(frames))
	}
}

func TestReplayMakesPathsThatDevicesMayUse(t *testing.T) {
	for rel, want := range map[string]string{
		"x.csv":           "replay/x",
		"_a/b+c#d.csv":    "replay/a/b-c-d",
		"a/_.csv":         "replay/a/unnamed",
		"a/b.c.CSV":       "replay/a/b.c",
		"a/\x01\xff.csv":  "replay/a/--",
		"sub/deep/y.csv":  "replay/sub/deep/y",
		"a/ec2-i_1-2.csv": "replay/a/ec2-i_1-2",
	} {
		got := replayDevice(rel)
		if got != want {
			t.Errorf("%q becomes %q, want %q", rel, got, want)
		}
		if err := telemetry.CheckDevice(got); err != nil {
			t.Errorf("%q: %v", got, err)
		}
	}
}

func TestReplayTellsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		replay Replay
		want   string
	}{
		"no file":         {Replay{Dir: t.TempDir(), Speed: 1}, "no *.csv"},
		"no folder":       {Replay{Dir: filepath.Join(t.TempDir(), "none"), Speed: 1}, "no such file"},
		"no speed":        {Replay{Dir: t.TempDir()}, "speed:"},
		"future":          {Replay{Dir: t.TempDir(), Speed: 0.5, KeepSpacing: true}, "speed:"},
		"no CSV but .csv": {Replay{Dir: recording(t, map[string]string{"a.csv": "a,\"b\nc"}), Speed: 1}, "a.csv"},
	} {
		if _, err := c.replay.Load(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}
