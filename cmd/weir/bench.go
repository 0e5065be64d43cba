package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"weir/bench"
)

type benchCmd struct {
	E2E      benchE2ECmd             `cmd:"" name:"e2e" help:"Devices → server with the embedded broker → dashboards, over real WebSockets on this machine."`
	Pipeline benchPipelineCmd        `cmd:"" name:"pipeline" help:"Kafka → pipeline → Kafka, nothing else: a backlog, memory and records of a series, a restore, and the cost of checkpoints."`
	Push     benchPushCmd            `cmd:"" name:"push" help:"What telling dashboards costs: fan-out, memory of connections, isolation from those that do not read, and time from the device."`
	Process  benchPipelineProcessCmd `cmd:"" name:"pipeline-process" hidden:""`
}

type benchE2ECmd struct {
	Profile       string        `enum:"frames,single" default:"frames" help:"frames: 100 readings a frame, 100 dashboards that see everything. single: one reading a frame, 20 dashboards that each see 5 of 50 devices, unlimited rate."`
	Rate          float64       `placeholder:"N" help:"Readings per second over all devices (default: 200000 for frames, 10000 for single)."`
	MaxHz         *float64      `name:"max-hz" placeholder:"HZ" help:"Limit of each dashboard's frames per second, 0 = unlimited (default: 20 for frames, 0 for single)."`
	Devices       int           `default:"50" help:"Simulated devices, each on a connection of its own."`
	Metrics       int           `default:"4" help:"Metrics per device, 1 to 10."`
	FrameReadings int           `name:"frame" placeholder:"N" help:"Readings per frame (default: by profile)."`
	Dashboards    int           `placeholder:"N" help:"Dashboards (default: by profile)."`
	Sees          int           `default:"-1" help:"Devices that each dashboard subscribes to, 0 = all (default: by profile)."`
	Warm          time.Duration `default:"5s" help:"Warm-up before measuring."`
	Duration      time.Duration `default:"10s" help:"Length of the measurement."`
	measuredServer
	JSON bool `help:"Print the result as one JSON line instead of a table."`
}

func (c *benchE2ECmd) Run(ctx context.Context) error {
	self, log, end, err := c.open()
	if err != nil {
		return err
	}
	defer end()
	run := c.settings()
	run.Server = []string{self, "serve", "--log-level", "warn"}
	run.Progress = os.Stderr
	run.Log = log
	result, err := run.Run(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(result)
	}
	return printE2E(os.Stdout, result)
}

// settings fills what the flags left open from the profile.
func (c *benchE2ECmd) settings() bench.E2E {
	run := bench.E2E{
		Profile: c.Profile, Devices: c.Devices, Metrics: c.Metrics, Warm: c.Warm, Measure: c.Duration,
		FrameReadings: 100, Rate: 200_000, Dashboards: 100, Sees: 0, MaxHz: 20,
	}
	if c.Profile == "single" {
		run.FrameReadings, run.Rate, run.Dashboards, run.Sees, run.MaxHz = 1, 10_000, 20, 5, 0
	}
	if c.Rate > 0 {
		run.Rate = c.Rate
	}
	if c.FrameReadings > 0 {
		run.FrameReadings = c.FrameReadings
	}
	if c.Dashboards > 0 {
		run.Dashboards = c.Dashboards
	}
	if c.Sees >= 0 {
		run.Sees = c.Sees
	}
	if c.MaxHz != nil {
		run.MaxHz = *c.MaxHz
	}
	return run
}

func printE2E(out io.Writer, r *bench.Result) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, values...))
	}
	line("profile", "%s: %d devices, %d readings a frame, %d dashboards, max_hz %g", r.Profile, r.Devices, r.Frame, r.Dashboards, r.MaxHz)
	line("readings", "%.0f/s sent, %.0f/s receipted, %.0f/s seen by dashboards (offered %.0f/s)", r.Sent, r.Accepted, r.Seen, r.Offered)
	line("deliveries", "%.0f rows/s over all dashboards", r.Deliveries)
	line("latency", "p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms from device time to the dashboard", r.P50, r.P99, r.P999)
	line("cores", "server %.2f, load %.2f", r.ServerCores, r.LoadCores)
	line("memory", "server %.0f MiB resident", r.ServerMiB)
	line("machine", "%s", r.Machine)
	return table.Flush()
}
