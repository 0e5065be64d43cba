package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"weir/backtest"
	"weir/pipeline"
	"weir/pipeline/plan"
	"weir/telemetry"
	"weir/wire"
)

type pipelineDryRunCmd struct {
	File   string        `arg:"" help:"The file, such as pipelines.yaml; \"\" is no file: the defaults."`
	Input  string        `required:"" placeholder:"CSV" help:"Rows timestamp,value or timestamp,series,value; - is the standard input."`
	Series string        `placeholder:"PATH" help:"The series of rows that name none, such as plant1/oven/temperature; needed when the file has no column for it."`
	After  time.Duration `default:"0s" help:"For how long nothing comes behind the last row: open windows close, and rules that wait for silence fire."`
	JSON   bool          `help:"Print one JSON object per line."`
}

// Help is shown below the summary of the command.
func (pipelineDryRunCmd) Help() string {
	return `Examples:
  weir pipeline dry-run pipelines.yaml --input oven.csv --series plant1/oven/temperature
  weir pipeline dry-run pipelines.yaml --input plant.csv --after 10m --json

Rows count as having come at the times that they tell of. Shown are the values of series that others lead to, and each
transition of an alert; what was refused is counted at the end. No server is asked.`
}

func (c *pipelineDryRunCmd) Run(ctx context.Context, to streams) error {
	p := plan.Default()
	if c.File != "" {
		var err error
		if p, err = readPlan(c.File, to); err != nil {
			return err
		}
	}
	in, err := openInput(c.Input)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	buffer := bufio.NewWriter(to.out)
	src := backtest.NewCSV(bufio.NewReader(in), c.Series)
	show := c.shower(buffer, src)
	totals, _, err := backtest.Run(ctx, backtest.Options{
		Config: pipeline.DefaultConfig(), Plan: p, After: c.After.Microseconds(), Update: show.update, Alert: show.alert,
	}, src)
	if err == nil {
		err = show.end(totals, src.Missing)
	} else if errors.Is(err, backtest.ErrNoSeries) {
		err = hinted{fmt.Errorf("--series: is needed: %w", err), "--series plant1/oven/temperature names the one that they are of; or have rows timestamp,series,value"}
	} else if c.Input != stdin {
		err = fmt.Errorf("%s: %w", c.Input, err)
	}
	return errors.Join(err, buffer.Flush())
}

// shower prints what comes out as it does.
type shower interface {
	update(*telemetry.Update)
	alert(*telemetry.Alert)
	end(t *backtest.Totals, missing int64) error
}

func (c *pipelineDryRunCmd) shower(out io.Writer, src *backtest.CSV) shower {
	made := func(series string) bool { return !src.Sent(series) }
	if c.JSON {
		return &jsonShower{out: out, made: made}
	}
	return &textShower{out: out, made: made}
}

type textShower struct {
	out    io.Writer
	made   func(series string) bool
	values int
}

// stamp is a time (µs) for people.
func stamp(micros int64) string { return time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05") }

func (s *textShower) update(u *telemetry.Update) {
	if !s.made(u.Series) {
		return
	}
	s.values++
	fmt.Fprintf(s.out, "%s  value  %s  %s", stamp(u.LastTime), u.Series, figure(u.Last))
	if u.N > 1 {
		fmt.Fprintf(s.out, "  (the last of %d at once, from %s to %s)", u.N, figure(u.Min), figure(u.Max))
	}
	fmt.Fprintln(s.out)
}

func (s *textShower) alert(a *telemetry.Alert) {
	fmt.Fprintf(s.out, "%s  alert  %s  %s %s (%s)  %s\n", stamp(a.Time), a.Series, a.Rule, a.Phase, a.Severity, a.Summary)
}

func (s *textShower) end(t *backtest.Totals, missing int64) error {
	if s.values > 0 || len(t.Rules) > 0 {
		fmt.Fprintln(s.out)
	}
	if err := printRules(s.out, t.Rules); err != nil {
		return err
	}
	return printSum(s.out, t, missing)
}

// figure is a number for people: six significant digits, and all of those before the point.
func figure(f float64) string {
	if size := math.Abs(f); size >= 1e5 && size < 1e15 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'g', 6, 64), 64)
	if size := math.Abs(f); size >= 1e-4 && size < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// printRules prints the totals of rules, if there are any.
func printRules(out io.Writer, rules []backtest.RuleTotal) error {
	if len(rules) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tALERTS\tSERIES\tOPEN AT THE END\tFLAPPING\tTIME TOGETHER")
	for _, r := range rules {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\n", r.Rule, r.Alerts, r.Series, r.Open, r.Flapping, span(r.Duration))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

// span is a duration (µs) for people.
func span(micros int64) string {
	d := time.Duration(micros) * time.Microsecond
	if d >= 10*time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
}

// printSum says what came, what was refused, and which records could not be applied.
func printSum(out io.Writer, t *backtest.Totals, missing int64) error {
	text := counted64(t.Readings, "reading")
	if t.First > 0 {
		text += fmt.Sprintf(" from %s to %s, %s series", stamp(t.First), stamp(t.Last), grouped(int64(t.Series)))
	}
	var refused []string
	for _, reason := range slices.Sorted(maps.Keys(t.Refused)) {
		refused = append(refused, fmt.Sprintf("%s %d", reason, t.Refused[reason]))
	}
	if t.Surplus > 0 {
		refused = append(refused, fmt.Sprintf("no room %d", t.Surplus))
	}
	if missing > 0 {
		refused = append(refused, fmt.Sprintf("no value %d", missing))
	}
	switch {
	case len(refused) > 0:
		text += "; refused: " + strings.Join(refused, ", ")
	case t.Letters == 0:
		text += "; none refused"
	}
	if _, err := fmt.Fprintln(out, text); err != nil || t.Letters == 0 {
		return err
	}
	fmt.Fprintf(out, "%s to the dead letters, for they cannot be applied:\n", plural(int(t.Letters), "record would go", "records would go"))
	for _, l := range t.ByCode {
		text := fmt.Sprintf("  %s %s", l.Code, grouped(l.Records))
		if x := l.Example; x != nil {
			text += fmt.Sprintf(", such as of %s at %s: %s", strings.TrimSpace(x.Device+" "+x.Path), stamp(x.Time), x.Message)
		}
		if _, err := fmt.Fprintln(out, text); err != nil {
			return err
		}
	}
	return nil
}

func counted64(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return grouped(int64(n)) + " " + what + "s"
}

type jsonShower struct {
	out  io.Writer
	made func(series string) bool
	err  error
}

func (s *jsonShower) line(v any) {
	if err := json.NewEncoder(s.out).Encode(v); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *jsonShower) update(u *telemetry.Update) {
	if !s.made(u.Series) {
		return
	}
	type value struct {
		Series string  `json:"series"`
		Time   int64   `json:"ts"`
		Value  float64 `json:"value"`
		N      uint64  `json:"n"`
		Min    float64 `json:"min"`
		Max    float64 `json:"max"`
	}
	s.line(map[string]value{"value": {u.Series, u.LastTime, u.Last, u.N, u.Min, u.Max}})
}

func (s *jsonShower) alert(a *telemetry.Alert) {
	s.line(map[string]json.RawMessage{"alert": wire.AppendAlertJSON(nil, a)})
}

func (s *jsonShower) end(t *backtest.Totals, missing int64) error {
	if missing > 0 {
		t.Refused["no_value"] = uint64(missing)
	}
	s.line(map[string]*backtest.Totals{"totals": t})
	return s.err
}
