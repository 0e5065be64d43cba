package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"weir/backtest"
	"weir/cmd/weir/progress"
	"weir/kafka"
	"weir/pipeline"
	"weir/telemetry"
)

type backtestCmd struct {
	serverFlags
	Rules        string   `arg:"" help:"The file with the rules, as pipelines.yaml; - is the standard input."`
	From         string   `placeholder:"TIME" help:"From when on alerts count: a time, or how long ago, such as 24h (the first reading)."`
	To           string   `placeholder:"TIME" help:"Up to when (now)."`
	Series       string   `default:"#" placeholder:"PATTERN" help:"Tell alerts of these series only."`
	KafkaBrokers []string `placeholder:"HOST:PORT" help:"Read from this Kafka cluster, and work here instead of asking a server."`
	JSON         bool     `help:"Print one JSON object per line."`
}

// Help is shown below the summary of the command.
func (backtestCmd) Help() string {
	return `Examples:
  weir backtest rules.yaml --from 24h
  weir backtest rules.yaml --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z --series 'plant1/+/temperature' --json
  weir backtest rules.yaml --kafka-brokers kafka:9092 --from 1h

The file takes the place of the pipelines in force; what is stored before --from warms the detectors and windows, as far back
as retention has it. Nothing is written, and the live pipeline goes on. A server runs one backtest at a time.`
}

func (c *backtestCmd) Run(ctx context.Context, log *slog.Logger, to streams) error {
	p, err := readPlan(c.Rules, to)
	if err != nil {
		return err
	}
	now := time.Now()
	from, err := backtestTime("--from", c.From, now, 0)
	if err != nil {
		return err
	}
	until, err := backtestTime("--to", c.To, now, now.UnixMicro())
	if err != nil {
		return err
	}
	pattern, err := telemetry.ParsePattern(c.Series)
	if err != nil {
		return fmt.Errorf("--series: %w", err)
	}
	show := &backtestOutput{to: to, json: c.JSON}
	stop := show.report(ctx)
	defer stop()
	if len(c.KafkaBrokers) > 0 {
		err = c.here(ctx, log, show, backtest.Options{
			Config: pipeline.DefaultConfig(), Plan: p, From: from, To: until, Live: true,
			Admit: backtest.Admitting(p, pattern, nil), Alerted: pattern.Match,
		})
	} else {
		err = c.there(ctx, show, p.Text(), from, until)
	}
	stop()
	if err != nil {
		return err
	}
	return show.end()
}

// backtestTime is a time in µs. Durations are before now.
func backtestTime(flag, text string, now time.Time, missing int64) (int64, error) {
	if text == "" {
		return missing, nil
	}
	if ago, err := time.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-ago).UnixMicro(), nil
	}
	at, err := backtest.ParseTime(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", flag, err)
	}
	return at, nil
}

// here reads the log and works in this process.
func (c *backtestCmd) here(ctx context.Context, log *slog.Logger, show *backtestOutput, o backtest.Options) error {
	client, err := kafka.New(kafka.Options{Brokers: c.KafkaBrokers, Logger: log})
	if err != nil {
		return err
	}
	defer client.Close()
	src, err := backtest.OpenLog(ctx, client)
	if err != nil {
		return err
	}
	defer src.Close()
	o.Progress = func(p backtest.Progress) { show.take(&backtest.Line{Progress: &p}) }
	totals, alerts, err := backtest.Run(ctx, o, src)
	if err != nil {
		return err
	}
	for i := range alerts {
		show.take(&backtest.Line{Alert: &alerts[i]})
	}
	show.take(&backtest.Line{Totals: totals})
	return nil
}

// there has a server do it.
func (c *backtestCmd) there(ctx context.Context, show *backtestOutput, file []byte, from, to int64) error {
	query := url.Values{"to": {strconv.FormatInt(to, 10)}}
	if from > 0 {
		query.Set("from", strconv.FormatInt(from, 10))
	}
	if c.Series != "#" {
		query.Set("series", c.Series)
	}
	base, err := c.base()
	if err != nil {
		return err
	}
	credential, err := c.Credential(c.URL)
	if err != nil {
		return err
	}
	address := strings.TrimSuffix(base.String(), "/") + "/v1/backtest?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(file))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/yaml")
	res, err := send(req, base, credential)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err != nil {
			return err
		}
		return refused(res, text, credential)
	}
	return show.lines(res.Body)
}

// backtestOutput prints alerts as they come.
type backtestOutput struct {
	to     streams
	json   bool
	at     atomic.Pointer[backtest.Progress]
	alerts []backtest.Alert
	totals *backtest.Totals
}

// report shows the progress until stop.
func (o *backtestOutput) report(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	line := func() string {
		at := o.at.Load()
		if at == nil {
			return "reading"
		}
		return fmt.Sprintf("at %s, %s records, %s series", stamp(at.Time), grouped(at.Records), grouped(int64(at.Series)))
	}
	go func() { defer close(ended); progress.New(o.to.err, line).Run(ctx) }()
	return func() { cancel(); <-ended }
}

func (o *backtestOutput) lines(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		l := new(backtest.Line)
		if err := json.Unmarshal(lines.Bytes(), l); err != nil {
			return fmt.Errorf("the server's answer is not understood: %w", err)
		}
		if l.Error != nil {
			return fmt.Errorf("the server gave up: %w", l.Error)
		}
		o.take(l)
	}
	return lines.Err()
}

func (o *backtestOutput) take(l *backtest.Line) {
	switch {
	case l.Progress != nil:
		o.at.Store(l.Progress)
	case l.Alert != nil:
		o.alerts = append(o.alerts, *l.Alert)
	case l.Totals != nil:
		o.totals = l.Totals
	}
}

func (o *backtestOutput) end() error {
	if o.totals == nil {
		return errors.New("the answer ended before its end")
	}
	if o.json {
		for i := range o.alerts {
			if err := json.NewEncoder(o.to.out).Encode(backtest.Line{Alert: &o.alerts[i]}); err != nil {
				return err
			}
		}
		return json.NewEncoder(o.to.out).Encode(backtest.Line{Totals: o.totals})
	}
	if err := o.table(); err != nil {
		return err
	}
	if err := printRules(o.to.out, o.totals.Rules); err != nil {
		return err
	}
	if n := o.totals.Untold; n > 0 {
		fmt.Fprintf(o.to.out, "%d further alerts are counted and not listed\n", n)
	}
	if n := o.totals.Before; n > 0 {
		fmt.Fprintf(o.to.out, "%s open at the beginning already, and not counted\n", plural(n, "alert was", "alerts were"))
	}
	return printSum(o.to.out, o.totals, 0)
}

func plural(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

func (o *backtestOutput) table() error {
	if len(o.alerts) == 0 {
		_, err := fmt.Fprintln(o.to.out, "no alert would have been raised")
		return err
	}
	w := tabwriter.NewWriter(o.to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FROM\tFOR\tSEVERITY\tRULE\tSERIES\tEND\tTRANSITIONS\tSUMMARY")
	for i := range o.alerts {
		a := &o.alerts[i]
		end := string(a.Phase)
		switch {
		case a.Silenced:
			end += ", silenced"
		case a.Inhibited:
			end += ", inhibited"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n",
			stamp(a.From), span(a.Duration), a.Severity, a.Rule, a.Series, end, a.Transitions, a.Summary)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(o.to.out)
	return err
}
