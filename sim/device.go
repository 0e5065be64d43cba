package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	sdk "weir/sdk/go"
	"weir/telemetry"
)

const (
	// bufferFrames is how many frames of a device may be without a receipt.
	bufferFrames = 64
	// drainTimeout is how long a device that is told to stop waits for its last receipts.
	drainTimeout = 3 * time.Second
)

// retry brings a device back soon: somebody watches.
var retry = sdk.Retry{First: 200 * time.Millisecond, Max: 5 * time.Second}

// ClosedError says that the server closed the connection, and why.
type ClosedError = sdk.ClosedError

// DeviceOptions set up a Device.
type DeviceOptions struct {
	// URL is the ingest endpoint, such as ws://127.0.0.1:7420/v1/ingest, Token what the server is shown.
	URL, Token string
	Source     Source
	// Session marks this boot of the device; empty draws one at random.
	Session string
	// Stats may be shared; nil counts for nobody.
	Stats *Stats
	// Logger may be nil.
	Logger *slog.Logger
}

// Device sends the readings of a Source to a server.
type Device struct {
	source  Source
	stats   *Stats
	options sdk.Options
}

// NewDevice checks the options.
func NewDevice(o DeviceOptions) (*Device, error) {
	if o.Source == nil {
		return nil, errors.New("sim: device without source")
	}
	if err := telemetry.CheckDevice(o.Source.Device()); err != nil {
		return nil, fmt.Errorf("sim: device %q: %w", o.Source.Device(), err)
	}
	if o.Stats == nil {
		o.Stats = new(Stats)
	}
	return &Device{source: o.Source, stats: o.Stats, options: sdk.Options{
		URL: o.URL, Device: o.Source.Device(), Token: o.Token, Session: o.Session, Logger: o.Logger,
		Buffer:       sdk.Memory(sdk.BufferLimits{Frames: bufferFrames, WhenFull: sdk.Wait}),
		Retry:        retry,
		OnRejected:   func(r sdk.Rejection) { o.Stats.reject(r.Code, r.Readings) },
		OnConnection: func(e sdk.Connection) { o.Stats.setProblem(e.Err) },
	}}, nil
}

// Run sends until the source ends or ctx does, and then waits for the last receipts, a bounded time in the
// second case. It returns an error only if the server forbade to come back.
func (d *Device) Run(ctx context.Context) error {
	client, err := sdk.New(d.options)
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	d.stats.begin(client)
	defer d.stats.settle(client)
	d.play(ctx, client)
	rest, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(drainTimeout):
			cancel()
		case <-rest.Done():
		}
	})
	defer stop()
	var left *sdk.UndeliveredError
	if err := client.Close(rest); err != nil && !errors.As(err, &left) {
		return fmt.Errorf("sim: %w", err)
	}
	return client.Err()
}

// play sends what the source has until it ends, or ctx, or the client does.
func (d *Device) play(ctx context.Context, client *sdk.Client) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		case <-client.Done():
			return
		}
		step := d.source.Step(time.Now())
		d.stats.skipped.Add(int64(step.Skipped))
		if len(step.Readings) > 0 {
			// Waits while the server is away or slow; the source sees to what is lost meanwhile.
			if _, err := client.Send(ctx, step.Readings...); err != nil {
				return
			}
		}
		if step.Disconnect > 0 {
			client.Interrupt(step.Disconnect)
		}
		if step.Next.IsZero() {
			return
		}
		timer.Reset(time.Until(step.Next))
	}
}
