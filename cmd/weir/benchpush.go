package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"weir/bench"
)

type benchPushCmd struct {
	Cases    []string          `default:"fanout,memory,isolation,glass" placeholder:"CASE" enum:"fanout,memory,isolation,glass" help:"What to measure: fanout, memory, isolation, glass (all of them)."`
	Devices  int               `default:"10" help:"Devices, each on a connection of its own; it sends all its metrics in one frame."`
	Metrics  int               `default:"5" help:"Metrics per device, 1 to 10: every dashboard sees all series."`
	Hz       float64           `default:"20" help:"Readings per second of each series."`
	Conns    []int             `default:"1000,5000" placeholder:"N" help:"Numbers of dashboards of the fan-out (1000,5000)."`
	Views    []int             `default:"1,50,0" placeholder:"N" help:"Numbers of different subscriptions of the fan-out; 0: all are different (1,50,0)."`
	MaxHz    float64           `name:"max-hz" default:"10" help:"Limit of each dashboard's frames per second, 0 = unlimited."`
	Idle     int               `default:"50000" help:"Idle connections, or as many as a process may have open."`
	Laggards int               `default:"200" help:"Connections that do not read, each of 1,000 series."`
	Readings float64           `default:"200000" help:"Readings per second while the time from the device is measured."`
	Warm     time.Duration     `default:"3s" help:"Warm-up before each measurement."`
	Duration time.Duration     `default:"10s" help:"Length of each measurement."`
	Set      map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Any setting of the server by its full path."`
	Profile  string            `type:"path" placeholder:"FILE" help:"Write a CPU profile of the server during the last measurement."`
	measuredServer
	JSON bool `help:"Print the JSON line only, without the tables."`
}

func (c *benchPushCmd) Run(ctx context.Context) error {
	self, log, end, err := c.open()
	if err != nil {
		return err
	}
	defer end()
	run := bench.Push{
		Cases: c.Cases, Program: self, Set: c.Set, Devices: c.Devices, Metrics: c.Metrics, Hz: c.Hz, Conns: c.Conns, Views: c.Views, MaxHz: c.MaxHz,
		Idle: c.Idle, Laggards: c.Laggards, Readings: c.Readings, Warm: c.Warm, Measure: c.Duration, Profile: c.Profile,
		Log: log, Progress: os.Stderr,
	}
	result, failed := run.Run(ctx) // with what was measured before it failed
	if !c.JSON {
		failed = errors.Join(failed, printPush(os.Stdout, result))
	}
	return errors.Join(failed, json.NewEncoder(os.Stdout).Encode(result))
}

func printPush(out io.Writer, r *bench.PushResult) error {
	for _, part := range []struct {
		name string
		runs []bench.PushRun
	}{{"fan-out", r.FanOut}, {"isolation", r.Isolation}, {"glass to glass", r.Glass}} {
		if err := printPushRuns(out, part.name, part.runs); err != nil {
			return err
		}
	}
	if len(r.Memory) > 0 {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "memory\tconns\taddresses\tKiB RSS each\theap\tstack\tserver MiB\tlaggards\ttheir rows\tlost")
		for _, m := range r.Memory {
			fmt.Fprintf(table, "%s\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f\t%d\n",
				m.Name, m.Conns, m.Sources, m.PerConn, m.HeapPerConn, m.StackPerConn, m.RSS, m.Laggards, m.LaggingRows, m.Lost)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s; %d open files a process, local ports %s\n", r.Machine, r.OpenFiles, r.Ports)
	return err
}

func printPushRuns(out io.Writer, name string, runs []bench.PushRun) error {
	if len(runs) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\tmax_hz\tdeliveries/s\toffered\tMB/s\tcores: server\tbase\tload\tothers\tµs/delivery\tpush only\tpush p50, p99 ms\tdevice p50, p99 ms\tRSS MiB\tKiB/conn\tgaps\tlost\n", name)
	for i := range runs {
		run := &runs[i]
		fmt.Fprintf(table, "%s\t%g\t%.0f\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t%.3f\t%.3f\t%.1f, %.1f\t%.1f, %.1f\t%.0f\t%.1f\t%d\t%s\n",
			run.Name, run.MaxHz, run.Deliveries, run.Offered, run.MB, run.ServerCores, run.BaseCores, run.LoadCores, run.OthersCores,
			run.CPU, run.PushCPU, run.PushP50, run.PushP99, run.DeviceP50, run.DeviceP99, run.RSS, run.RSSPerConn,
			run.Faults.Gaps+run.Faults.Replays, endings(run.Endings))
	}
	return table.Flush()
}

// endings lists how connections ended.
func endings(by map[string]int) string {
	if len(by) == 0 {
		return "none"
	}
	text := ""
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		text += fmt.Sprintf("%d %s; ", by[reason], reason)
	}
	return text
}
