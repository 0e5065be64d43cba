package sim

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"weir/telemetry"
)

// Replay plays recorded series: each file *.csv below Dir, with rows `timestamp,value`, is the metric
// "value" of a device named after its path, replay/<folder>/<file>. Timestamps are 2014-04-01 00:00:00
// (UTC) or RFC 3339. A first row that is no data is a header, further columns are ignored, and so are rows
// without a number or a time; Load counts them.
type Replay struct {
	Dir string
	// Speed divides the recorded intervals: at 300, a series with a row every five minutes plays one a
	// second.
	Speed float64
	// KeepSpacing leaves the recorded intervals between the timestamps: the last row gets the time at
	// which it is sent and all others lie as long before it as they did. Otherwise each row gets the time
	// at which it is sent. Needs a Speed of at least 1, or rows would lie in the future.
	KeepSpacing bool
}

// Recording is what Load found.
type Recording struct {
	Sources       []Source
	Rows, Skipped int
	// Length is how long the longest series plays.
	Length time.Duration
}

// Validate names the field that is wrong.
func (r *Replay) Validate() error {
	if !(r.Speed > 0) || math.IsInf(r.Speed, 0) {
		return errors.New("speed: must be above 0")
	}
	if r.KeepSpacing && r.Speed < 1 {
		return errors.New("speed: must be at least 1 to keep the recorded spacing")
	}
	return nil
}

// Load reads all files.
func (r *Replay) Load() (*Recording, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	out := new(Recording)
	err := filepath.WalkDir(r.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.EqualFold(filepath.Ext(path), ".csv") {
			return err
		}
		rows, skipped, err := loadRows(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		out.Skipped += skipped
		if len(rows) == 0 {
			return nil
		}
		out.Rows += len(rows)
		rel, err := filepath.Rel(r.Dir, path)
		if err != nil {
			return err
		}
		tape := &tape{device: replayDevice(rel), rows: rows, speed: r.Speed, keep: r.KeepSpacing}
		out.Length = max(out.Length, tape.play(rows[len(rows)-1].at))
		out.Sources = append(out.Sources, tape)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	if len(out.Sources) == 0 {
		return nil, fmt.Errorf("replay: no *.csv file with rows `timestamp,value` below %s", r.Dir)
	}
	return out, nil
}

func replayDevice(rel string) string {
	parts := strings.Split(filepath.ToSlash(rel), "/")
	last := len(parts) - 1
	parts[last] = strings.TrimSuffix(parts[last], filepath.Ext(parts[last]))
	for i := range parts {
		parts[i] = segment(parts[i])
	}
	return "replay/" + strings.Join(parts, "/")
}

type row struct {
	at    int64 // µs, as recorded
	value float64
}

func loadRows(path string) (rows []row, skipped int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = file.Close() }() // only read
	return readRows(file)
}

func readRows(in io.Reader) (rows []row, skipped int, err error) {
	table := csv.NewReader(in)
	table.FieldsPerRecord = -1
	table.ReuseRecord = true
	for line := 0; ; line++ {
		fields, err := table.Read()
		if errors.Is(err, io.EOF) {
			return rows, skipped, nil
		}
		if err != nil {
			return nil, 0, err
		}
		r, ok := parseRow(fields)
		switch {
		case ok:
			rows = append(rows, r)
		case line > 0:
			skipped++
		}
	}
}

func parseRow(fields []string) (row, bool) {
	if len(fields) < 2 {
		return row{}, false
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(fields[1]), 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return row{}, false
	}
	for _, layout := range []string{time.DateTime, time.RFC3339} {
		if at, err := time.Parse(layout, strings.TrimSpace(fields[0])); err == nil {
			return row{at: at.UnixMicro(), value: value}, true
		}
	}
	return row{}, false
}

// tapeFrame is how many rows that are due at once go into a frame.
const tapeFrame = 500

// tape plays one file.
type tape struct {
	device string
	rows   []row
	speed  float64
	keep   bool

	start time.Time
	next  int
	frame []telemetry.Reading
}

// Device implements Source.
func (t *tape) Device() string { return t.device }

// Step implements Source.
func (t *tape) Step(now time.Time) Step {
	if t.start.IsZero() {
		t.start = now
	}
	t.frame = t.frame[:0]
	for len(t.frame) < tapeFrame && t.next < len(t.rows) && !t.due(t.next).After(now) {
		r := t.rows[t.next]
		t.frame = append(t.frame, telemetry.Reading{Metric: "value", Time: t.stamp(r.at), Value: r.value})
		t.next++
	}
	out := Step{Readings: t.frame}
	if t.next < len(t.rows) {
		out.Next = t.due(t.next)
	}
	return out
}

// play is how long after the start a row of the recorded time is due. Rows out of order are sent with the
// ones they follow.
func (t *tape) play(at int64) time.Duration {
	return time.Duration(float64(at-t.rows[0].at) * float64(time.Microsecond) / t.speed)
}

func (t *tape) due(i int) time.Time { return t.start.Add(t.play(t.rows[i].at)) }

// stamp is the timestamp that a row of the recorded time gets.
func (t *tape) stamp(at int64) int64 {
	if !t.keep {
		return t.start.Add(t.play(at)).UnixMicro()
	}
	last := t.rows[len(t.rows)-1].at
	return t.start.Add(t.play(last)).UnixMicro() - (last - at)
}
