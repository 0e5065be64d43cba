package sim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weir/telemetry"
	"weir/wire"
)

const (
	// firstCredit is how many frames fly before the first receipt has told the server's credit.
	firstCredit = 16
	// receiptTimeout is how long a device waits for a receipt before it takes the connection for dead.
	receiptTimeout = 30 * time.Second
	// drainTimeout is how long a device that is told to stop waits for its last receipts.
	drainTimeout = 3 * time.Second
)

// DeviceOptions set up a Device.
type DeviceOptions struct {
	// URL is the ingest endpoint, such as ws://127.0.0.1:7420/v1/ingest.
	URL    string
	Source Source
	// Session marks this boot of the device; empty draws one at random.
	Session string
	// Stats may be shared; nil counts for nobody.
	Stats *Stats
	// Logger may be nil.
	Logger *slog.Logger
}

// Device sends the readings of a Source to a server.
type Device struct {
	url    string
	source Source
	stats  *Stats
	log    *slog.Logger
	outbox *outbox

	// Owned by Run.
	credit int
	pause  time.Time // nothing is sent before
	next   time.Time // when the source wants to be asked
	ended  bool      // the source has ended, or ctx
	again  bool      // it was connected before
}

// NewDevice checks the options.
func NewDevice(o DeviceOptions) (*Device, error) {
	if o.Source == nil {
		return nil, errors.New("sim: device without source")
	}
	if err := telemetry.CheckDevice(o.Source.Device()); err != nil {
		return nil, fmt.Errorf("sim: device %q: %w", o.Source.Device(), err)
	}
	if o.Session == "" {
		o.Session = rand.Text()
	}
	if o.Stats == nil {
		o.Stats = new(Stats)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Device{
		url: o.URL, source: o.Source, stats: o.Stats, credit: firstCredit,
		log:    o.Logger.With("device", o.Source.Device()),
		outbox: newOutbox(o.Source.Device(), o.Session),
	}, nil
}

// Run sends until the source ends or ctx does, and then waits for the last receipts, a bounded time in the
// second case. It returns an error only if the server forbade to come back.
func (d *Device) Run(ctx context.Context) error {
	d.stats.running.Add(1)
	defer d.settle()
	wait := backoff.NewExponentialBackOff()
	// Full jitter: uniform between nothing and twice the interval.
	wait.InitialInterval, wait.MaxInterval, wait.RandomizationFactor = 100*time.Millisecond, 2500*time.Millisecond, 1
	wait.Reset()
	for {
		l, err := openLink(ctx, d.url)
		if err == nil {
			var done bool
			var away time.Duration
			done, away, err = d.session(ctx, l)
			var closed *ClosedError
			if errors.As(err, &closed) && closed.Final() {
				return err
			}
			if done {
				return nil
			}
			if l.heard {
				wait.Reset()
			}
			if away > 0 && !sleep(ctx, away) {
				return nil
			}
		} else if ctx.Err() == nil {
			d.stats.dialErrors.Add(1)
		}
		if err != nil && ctx.Err() == nil {
			d.stats.setProblem(err)
			d.log.Debug("not connected", "reason", err)
		}
		if !sleep(ctx, wait.NextBackOff()) {
			return nil
		}
	}
}

// settle counts the end, and what was never receipted.
func (d *Device) settle() {
	d.stats.running.Add(-1)
	for _, f := range d.outbox.frames {
		if f.again {
			d.stats.unsure.Add(int64(f.readings))
		}
	}
}

// session uses one connection until it is lost (an error), all is done, or a fault keeps the device away.
func (d *Device) session(ctx context.Context, l *link) (done bool, away time.Duration, err error) {
	d.stats.connects.Add(1)
	if d.again {
		d.stats.reconnects.Add(1)
	}
	d.again = true
	d.stats.connected.Add(1)
	d.stats.setProblem(nil)
	d.log.Debug("connected")
	farewell := false
	defer func() {
		l.close(farewell)
		d.stats.connected.Add(-1)
		d.outbox.groundAll()
	}()
	stop := ctx.Done()
	var drained <-chan time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake, away, err := d.pump(l, time.Now())
		if away > 0 || err != nil {
			return false, away, err
		}
		if d.ended && len(d.outbox.frames) == 0 {
			farewell = true
			return true, 0, nil
		}
		timer.Reset(time.Until(wake))
		select {
		case r := <-l.receipts:
			l.heard = true
			d.receipt(r, time.Now())
		case <-l.closed:
			for len(l.receipts) > 0 {
				d.receipt(<-l.receipts, time.Now())
			}
			return false, 0, l.err
		case <-timer.C:
		case <-stop:
			d.ended, stop = true, nil
			drained = time.After(drainTimeout)
		case <-drained:
			farewell = true
			return true, 0, nil
		}
	}
}

// pump sends what may be sent now, and returns when to look again unless a receipt comes before.
func (d *Device) pump(l *link, now time.Time) (wake time.Time, away time.Duration, err error) {
	wake = now.Add(receiptTimeout)
	if sent, ok := d.outbox.oldest(); ok {
		wake = sent.Add(receiptTimeout)
		if !now.Before(wake) {
			return wake, 0, fmt.Errorf("no receipt within %v", receiptTimeout)
		}
	}
	if now.Before(d.pause) {
		return earlier(wake, d.pause), 0, nil
	}
	for d.outbox.flying < d.credit {
		if f := d.outbox.unsent(); f != nil {
			if err := d.send(l, f, now); err != nil {
				return wake, 0, err
			}
			continue
		}
		if d.ended {
			return wake, 0, nil
		}
		if now.Before(d.next) {
			return earlier(wake, d.next), 0, nil
		}
		if away := d.step(now); away > 0 {
			return wake, away, nil
		}
	}
	return wake, 0, nil
}

// step asks the source for the next frame.
func (d *Device) step(now time.Time) (away time.Duration) {
	s := d.source.Step(now)
	d.stats.skipped.Add(int64(s.Skipped))
	if len(s.Readings) > 0 {
		d.outbox.add(s.Readings)
	}
	d.next, d.ended = s.Next, s.Next.IsZero()
	return s.Disconnect
}

func (d *Device) send(l *link, f *frame, now time.Time) error {
	number, err := l.send(f.body)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if f.again {
		d.stats.resent.Add(1)
	} else {
		d.stats.frames.Add(1)
		d.stats.sent.Add(int64(f.readings))
	}
	d.outbox.launch(f, number, now)
	return nil
}

func (d *Device) receipt(r *wire.Receipt, now time.Time) {
	d.credit = max(1, r.Credit)
	if r.RetryAfter > 0 {
		d.pause = now.Add(time.Duration(r.RetryAfter) * time.Millisecond)
	}
	f := d.outbox.find(r.Frame)
	if f == nil {
		return
	}
	if r.RetryAfter > 0 && r.Accepted+r.Duplicate+r.Late+len(r.Rejected) == 0 {
		d.outbox.ground(f)
		return
	}
	d.stats.receipt(r, f.readings)
	d.outbox.remove(f)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// sleep waits, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
