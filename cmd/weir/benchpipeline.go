package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"weir/bench"
	"weir/config"
)

type benchPipelineCmd struct {
	KafkaBrokers []string          `placeholder:"HOST:PORT" help:"Kafka cluster without Weir's topics, to measure a process with the role of the pipeline (default: one process with the embedded broker and the pipeline)."`
	BrokerPid    int               `placeholder:"PID" help:"Process of that cluster on this machine, whose CPU time is told too."`
	Partitions   int               `default:"4" help:"Partitions of each topic."`
	Devices      int               `default:"1000" help:"Devices of the backlog."`
	Metrics      int               `default:"4" help:"Metrics per device of the backlog."`
	Batch        int               `default:"100" help:"Readings per record of the backlog."`
	Readings     int               `default:"10000000" help:"Readings of the backlog."`
	Series       int               `default:"100000" help:"Series of the restore and of the steady load; 0 leaves both out."`
	Rate         float64           `default:"100000" help:"Steady load in readings per second, 10 a record, over all those series."`
	Duration     time.Duration     `default:"20s" help:"How long the steady load is measured, with and without checkpoints."`
	Set          map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Any setting of the server by its full path."`
	measuredServer
	JSON bool `help:"Print the result as one JSON line instead of a table."`
}

func (c *benchPipelineCmd) Run(ctx context.Context) error {
	self, log, end, err := c.open()
	if err != nil {
		return err
	}
	defer end()
	run := bench.Pipeline{
		Brokers: c.KafkaBrokers, BrokerPid: c.BrokerPid, Program: self, Partitions: c.Partitions,
		Devices: c.Devices, Metrics: c.Metrics, Batch: c.Batch, Readings: c.Readings,
		Series: c.Series, Rate: c.Rate, Measure: c.Duration, Set: c.Set, Log: log, Progress: os.Stderr,
	}
	result, err := run.Run(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(result)
	}
	return printPipeline(os.Stdout, result)
}

func printPipeline(out io.Writer, r *bench.PipelineResult) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, values...))
	}
	line("broker", "%s, %d partitions; %s", r.Broker, r.Partitions, r.Processes)
	line("backlog", "%d readings of %d series, %d a record, all counted in %d rows of weir.updates", r.Readings, r.Series, r.Batch, r.Rows)
	line("readings", "%.0f/s, %.0f/s per core (last two thirds: %.0f/s)", r.Backlog.Whole.PerSecond, r.PerCore, r.Backlog.Warm.PerSecond)
	line("cpu", "%.3f s per million readings: %s; others used %.2f cores", r.CPU, named(r.Backlog.Whole.CPU, "%.3f"), r.Backlog.Others)
	line("memory", "at most %s MiB resident", named(r.Backlog.RSS, "%.0f"))
	if s := r.State; s != nil {
		line("state", "%d series: %.0f bytes a series in weir.state, %.0f in weir.latest, %.0f of live heap", s.Series, s.RecordBytes, s.LatestBytes, s.HeapBytes)
		line("restore", "%.2f s from the start of the process until ready; %.2f s summed over partitions; %.0f MiB resident", s.Ready, s.Restore, s.RSS)
	}
	if c := r.Checkpoint; c != nil {
		line("checkpoints", "%.3f cores: %.3f with %.0f checkpoints in %.0f s, %.3f without; %.0f readings/s over %d series", c.Share, c.With, c.Checkpoints, c.Seconds, c.Without, c.Rate, c.Series)
		line("", "the graph stands still for %.1f ms, a checkpoint takes %.0f ms (means); the load runs %s", c.Pause, c.Took, c.Load)
	}
	if c := r.Checkpoint; c != nil && min(c.AppliedWith, c.AppliedWithout) < 0.95*c.Rate {
		line("", "TOO BUSY to compare: %.0f readings/s applied with checkpoints, %.0f without", c.AppliedWith, c.AppliedWithout)
	}
	line("machine", "%s", r.Machine)
	return table.Flush()
}

// named lists values by name.
func named(by map[string]float64, format string) string {
	var parts []string
	for _, name := range []string{"pipeline", "broker"} {
		if v, ok := by[name]; ok {
			parts = append(parts, name+" "+fmt.Sprintf(format, v))
		}
	}
	return strings.Join(parts, ", ")
}

// benchPipelineProcessCmd is the process under test of benchPipelineCmd.
type benchPipelineProcessCmd struct {
	Data   string            `type:"path" required:"" help:"Directory of the embedded broker."`
	Listen string            `required:"" help:"Address of /readyz, /metrics and the profiler."`
	Load   string            `help:"Steady load as JSON."`
	Set    map[string]string `mapsep:"none" help:"Settings by full path."`
}

func (c *benchPipelineProcessCmd) Run(ctx context.Context, log *slog.Logger) error {
	flags := map[string]any{"data": c.Data}
	for key, value := range c.Set {
		flags[key] = value
	}
	settings, err := config.Load(config.Sources{Flags: flags})
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	process := bench.PipelineProcess{Data: c.Data, Listen: c.Listen, Config: settings, Logger: log}
	if process.Load, process.Rate, err = bench.ParseLoad(c.Load); err != nil {
		return err
	}
	return process.Run(ctx)
}
