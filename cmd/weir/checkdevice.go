package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"weir/conformance"
)

type checkDeviceCmd struct {
	Listen   string        `default:"127.0.0.1:7421" placeholder:"HOST:PORT" help:"Where the device under test connects."`
	For      time.Duration `default:"60s" help:"How long at most. A device that sends rarely needs longer: some checks need a few frames each."`
	Scenario string        `enum:"all,basic,faults" default:"all" help:"basic takes all that comes; faults also loses receipts, asks for pauses and closes on purpose; all is both."`
	JSON     bool          `help:"Print the report as JSON."`
}

// Help is shown below the summary of the command.
func (checkDeviceCmd) Help() string {
	return `Examples:
  weir check-device                      then let the device connect to ws://127.0.0.1:7421/v1/ingest
  weir check-device --listen 0.0.0.0:7421 --for 5m
  weir check-device --scenario basic --json

It plays the server, stores nothing, and asks for no credentials. The exit code is 1 when a check failed or no frame came.`
}

// errNonconforming says that the report has failures; the report itself is printed.
var errNonconforming = errors.New("the device does not conform")

func (c *checkDeviceCmd) Run(ctx context.Context, log *slog.Logger, to streams) error {
	kit, err := conformance.New(conformance.Options{Scenario: c.Scenario, Logger: log})
	if err != nil {
		return err
	}
	if c.For <= 0 {
		return errors.New("--for: must be above 0")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	web := &http.Server{Handler: kit, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	fmt.Fprintf(to.err, "waiting for a device at ws://%[1]s/v1/ingest or http://%[1]s/v1/readings, for %v\n", listener.Addr(), c.For)
	ctx, cancel := context.WithTimeout(ctx, c.For)
	defer cancel()
	report := kit.Run(ctx)
	_ = web.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if err := c.print(to.out, report); err != nil {
		return err
	}
	if !report.OK() {
		return errNonconforming
	}
	return nil
}

func (c *checkDeviceCmd) print(out io.Writer, report *conformance.Report) error {
	if c.JSON {
		return printJSON(out, report)
	}
	_, err := io.WriteString(out, reportText(report))
	return err
}

// reportText is the report for people.
func reportText(report *conformance.Report) string {
	var b strings.Builder
	counts := map[conformance.Verdict]int{}
	for i := range report.Results {
		r := &report.Results[i]
		counts[r.Verdict]++
		fmt.Fprintf(&b, "%-13s  %-11s  %s\n", r.Verdict, r.Check, r.Title)
		for _, e := range r.Evidence {
			fmt.Fprintf(&b, "    %s\n", e)
			if e.Snippet != "" {
				fmt.Fprintf(&b, "      %s\n", e.Snippet)
			}
		}
		if more := r.Failures - len(r.Evidence); more > 0 {
			fmt.Fprintf(&b, "    and %s more\n", grouped(int64(more)))
		}
		if r.Verdict == conformance.Fail {
			fmt.Fprintf(&b, "    read %s\n", r.Doc)
		}
	}
	fmt.Fprintf(&b, "%s frames with %s readings on %s connections: %d checks passed, %d failed, %d not exercised\n",
		grouped(int64(report.Frames)), grouped(int64(report.Readings)), grouped(int64(report.Connections)),
		counts[conformance.Pass], counts[conformance.Fail], counts[conformance.NotExercised])
	return b.String()
}
