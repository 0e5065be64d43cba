package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"weir/backtest"
	"weir/cmd/weir/progress"
	"weir/pipeline/detect"
)

type scoreCmd struct {
	In  string `required:"" type:"existingdir" placeholder:"DIR" help:"Where the CSV files are, at any depth."`
	Out string `required:"" placeholder:"DIR" help:"Where the scores go, under the same names."`
}

// Help is shown below the summary of the command.
func (scoreCmd) Help() string {
	return `Examples:
  weir score --in recorded --out scores

Each file is one series with rows timestamp,value (further columns are ignored). Timestamps are
2014-04-01 00:00:00 (UTC), RFC 3339, or seconds, milliseconds, microseconds or nanoseconds since 1970.
An empty value, NaN or null is a missing one; true is 1, false 0. The detector is the pipeline's with default settings.
Written is, row for row, timestamp,value,anomaly_score,severity: anomaly_score is the severity where an
alert starts and 0 elsewhere, severity is in [0, 1] with 0.5 at the alert level.`
}

// scored counts what was done, for the line of progress.
type scored struct{ files, rows atomic.Int64 }

func (c *scoreCmd) Run(ctx context.Context, to streams) error {
	config := detect.DefaultConfig()
	params, err := config.Compile()
	if err != nil {
		return err
	}
	files, err := csvFiles(c.In, c.Out)
	if err != nil {
		return err
	}
	var done scored
	reporting, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	line := func() string {
		return fmt.Sprintf("%d of %d files, %s rows", done.files.Load(), len(files), grouped(done.rows.Load()))
	}
	go func() { defer close(ended); progress.New(to.err, line).Run(reporting) }()
	defer func() { stop(); <-ended }()
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := scoreFile(params, filepath.Join(c.In, name), filepath.Join(c.Out, name), &done); err != nil {
			return err
		}
		done.files.Add(1)
	}
	return nil
}

// csvFiles are the paths, relative to in, of the files to score. Out may lie inside of in.
func csvFiles(in, out string) ([]string, error) {
	var files []string
	skip, err := filepath.Abs(out)
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	if full, err := filepath.Abs(in); err != nil || full == skip {
		return nil, errors.New("--out: must be another folder than --in")
	}
	err = filepath.WalkDir(in, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if full, err := filepath.Abs(path); err == nil && full == skip {
			return fs.SkipDir
		}
		if !entry.IsDir() && strings.EqualFold(filepath.Ext(path), ".csv") {
			name, err := filepath.Rel(in, path)
			files = append(files, name)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("--in: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("--in: no *.csv file in %s", in)
	}
	return files, nil
}

// scoreFile scores one series. A file that cannot be read to its end leaves none behind.
func scoreFile(params *detect.Params, in, out string, done *scored) (err error) {
	from, err := os.Open(in) //nolint:gosec // the user's own path
	if err != nil {
		return err
	}
	defer from.Close()                                            //nolint:errcheck // only read
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil { //nolint:gosec // results are for everybody
		return fmt.Errorf("--out: %w", err)
	}
	to, err := os.Create(out) //nolint:gosec // the user's own path
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	buffer := bufio.NewWriter(to)
	err = scoreSeries(params, bufio.NewReader(from), buffer, done)
	if err != nil {
		err = fmt.Errorf("%s: %w", in, err)
	}
	err = errors.Join(err, buffer.Flush(), to.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(out))
	}
	return err
}

func scoreSeries(params *detect.Params, from io.Reader, to io.Writer, done *scored) error {
	in, out := csv.NewReader(from), csv.NewWriter(to)
	in.FieldsPerRecord, in.ReuseRecord = -1, true
	if err := out.Write([]string{"timestamp", "value", "anomaly_score", "severity"}); err != nil {
		return err
	}
	var detector detect.Detector
	columns := [2]int{0, 1}
	for first := true; ; first = false {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			out.Flush()
			return out.Error()
		}
		if err != nil {
			return err
		}
		at, _ := in.FieldPos(0)
		if first {
			row[0] = strings.TrimPrefix(row[0], "\ufeff")
			if isHeader(row, &columns) {
				continue
			}
		}
		if len(row) <= max(columns[0], columns[1]) {
			return fmt.Errorf("line %d: %d columns, want timestamp and value", at, len(row))
		}
		stamp, text := row[columns[0]], row[columns[1]]
		t, err := backtest.ParseTime(stamp)
		if err != nil {
			return fmt.Errorf("line %d: %w", at, err)
		}
		v, err := backtest.ParseValue(text)
		if err != nil {
			return fmt.Errorf("line %d: %w", at, err)
		}
		verdict := detector.Observe(params, t, v)
		onset := 0.0
		if verdict.Onset {
			onset = verdict.Score
		}
		if err := out.Write([]string{stamp, text, decimal(onset), decimal(verdict.Score)}); err != nil {
			return err
		}
		done.rows.Add(1)
	}
}

// isHeader tells whether the first row has names rather than a reading, and finds the columns by them.
func isHeader(row []string, columns *[2]int) bool {
	if _, err := backtest.ParseTime(row[0]); err == nil {
		return false
	}
	known := false
	for i, name := range row {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "timestamp":
			columns[0], known = i, true
		case "value":
			columns[1], known = i, true
		}
	}
	if known || len(row) < 2 {
		return known
	}
	_, err := backtest.ParseValue(row[1])
	return err != nil
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
