package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/lxzan/gws"

	"weir/cmd/weir/hint"
	"weir/cmd/weir/progress"
	"weir/internal/joined"
	"weir/sim"
	"weir/sim/wsdial"
	"weir/wire"
)

type simulateCmd struct {
	URL  string `default:"http://127.0.0.1:7420" env:"WEIR_URL" help:"Address of the server, or of its ingest endpoint."`
	Wait bool   `help:"Keep trying while no server answers, instead of giving up at the start."`
	credentialFlags

	Devices *int    `placeholder:"N" help:"Made-up devices, each on a connection of its own (default: 50, or none with --host or --replay)." group:"Fleet"`
	Metrics int     `default:"4" help:"Metrics per device." group:"Fleet"`
	Rate    float64 `default:"2000" help:"Readings per second over all devices." group:"Fleet"`
	Batch   int     `default:"0" help:"Readings per frame, 0 for one of each metric." group:"Fleet"`
	Seed    uint64  `default:"1" help:"Decides the shapes of the series and when which fault comes." group:"Fleet"`
	Faults  bool    `default:"true" negatable:"" help:"Break devices now and then: spikes, stuck sensors, drop-outs, shifts, lost connections." group:"Fleet"`

	Host bool `help:"Send this machine's CPU, memory, disk, network and load, once a second." group:"Host"`

	Replay      string  `type:"existingdir" placeholder:"DIR" help:"Play the CSV files (timestamp,value) below a folder, each as a device." group:"Replay"`
	Speed       float64 `default:"300" help:"How many times faster than recorded; at 300, five minutes pass in a second." group:"Replay"`
	KeepSpacing bool    `help:"Keep the recorded intervals between timestamps, ending now, instead of stamping each row with the time it is sent." group:"Replay"`

	Duration time.Duration `help:"Stop after this time (default: run until interrupted, or until the recordings end)."`
	Quiet    bool          `short:"q" help:"Show no progress."`
}

// Help is shown below the summary of the command.
func (simulateCmd) Help() string {
	return `Examples:
  weir simulate                          50 devices, 2000 readings a second
  weir simulate --host                   this machine
  weir simulate --host --devices 5       both
  weir simulate --replay nab --speed 600 recorded series, ten minutes a second`
}

func (c *simulateCmd) Run(ctx context.Context, log *slog.Logger, to streams) error {
	sources, err := c.sources(to.err)
	if err != nil {
		return err
	}
	c.URL = webSocket(c.URL, "/v1/ingest")
	token, err := c.Credential(c.URL)
	if err != nil {
		return err
	}
	stats := new(sim.Stats)
	swarm, err := sim.NewSwarm(sim.SwarmOptions{URL: c.URL, Token: token, Sources: sources, Stats: stats, Logger: log})
	if err != nil {
		return err
	}
	if err := c.preflight(ctx, token); err != nil {
		return err
	}
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	return refusal(c.watch(ctx, swarm, stats, to.err))
}

// refusal adds to an error of credentials what to do about it.
func refusal(err error) error {
	var closed *sim.ClosedError
	if errors.As(err, &closed) && (closed.Action() == wire.ActionToken || closed.Reason == wire.ReasonForbidden) {
		return &credentialError{err}
	}
	return err
}

// credentialError is a refusal for want of the right credentials.
type credentialError struct{ error }

func (e *credentialError) Unwrap() error { return e.error }

// Hint says what to do next.
func (e *credentialError) Hint() string {
	return hint.Credentials("write these devices")
}

// sources makes what the flags ask for.
func (c *simulateCmd) sources(notes io.Writer) ([]sim.Source, error) {
	var sources []sim.Source
	if fleet := c.fleet(); fleet.Devices != 0 {
		if err := fleet.Validate(); err != nil {
			return nil, joined.Prefixed("--", err)
		}
		sources = append(sources, fleet.Sources()...)
	}
	if c.Host {
		host, err := sim.NewHost()
		if err != nil {
			return nil, err
		}
		sources = append(sources, host)
	}
	if c.Replay != "" {
		replay := sim.Replay{Dir: c.Replay, Speed: c.Speed, KeepSpacing: c.KeepSpacing}
		if err := replay.Validate(); err != nil {
			return nil, joined.Prefixed("--", err)
		}
		recording, err := replay.Load()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(notes, "replaying %d series with %d rows in %v", len(recording.Sources), recording.Rows, recording.Length.Round(time.Second))
		if recording.Skipped > 0 {
			fmt.Fprintf(notes, ", without %d rows that have no time or number", recording.Skipped)
		}
		fmt.Fprintln(notes)
		sources = append(sources, recording.Sources...)
	}
	if len(sources) == 0 {
		return nil, errors.New("nothing to send: pass --devices above 0, --host or --replay DIR")
	}
	return sources, nil
}

func (c *simulateCmd) fleet() sim.Fleet {
	fleet := sim.Fleet{Devices: 50, Metrics: c.Metrics, Rate: c.Rate, Batch: c.Batch, Seed: c.Seed, Faults: c.Faults}
	switch {
	case c.Devices != nil:
		fleet.Devices = *c.Devices
	case c.Host || c.Replay != "":
		fleet.Devices = 0
	}
	return fleet
}

// preflight opens a connection and closes it, so that a wrong address is told at once and once.
func (c *simulateCmd) preflight(ctx context.Context, token string) error {
	if c.Wait {
		return wsdial.CheckURL(c.URL)
	}
	header := make(http.Header)
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	conn, err := wsdial.Dial(ctx, c.URL, gws.BuiltinEventHandler{}, header)
	if err != nil {
		return err
	}
	_ = conn.WriteClose(wire.CloseNormal, nil)
	return nil
}

// watch runs the swarm and shows how it is getting on.
func (c *simulateCmd) watch(ctx context.Context, swarm *sim.Swarm, stats *sim.Stats, out io.Writer) error {
	line := simulateLine{start: time.Now()}
	shown, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !c.Quiet {
			progress.New(out, func() string { return line.text(time.Now(), stats.Counts()) }).Run(shown)
		}
	}()
	err := swarm.Run(ctx)
	stop()
	<-done
	if !c.Quiet {
		fmt.Fprintln(out, summary(stats.Counts(), time.Since(line.start)))
	}
	return err
}
