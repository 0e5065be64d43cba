//go:build soak

package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	device "weir/sdk/go"
)

const deviceEnv = "WEIR_SOAK_DEVICE"

// deviceConfig is what a device process is told.
type deviceConfig struct {
	Device    string
	Addresses []string // of ingest: one at random for each connection
	Token     string
	Buffer    string
	Journal   string
	Seed      uint64
	Frames    float64 // per second, with the SDK
	// How it sends.
	Columns, Compress, TokenInMessage, NoSync bool
}

var metrics = []string{"temperature", "pressure", "vibration"}

// soakDevice is one life of a device.
type soakDevice struct {
	deviceConfig
	journal *journal
	rng     *rand.Rand
	value   atomic.Int64 // the last number given to a reading
	client  *device.Client
	postSeq uint64
	pending []entry // posts of an earlier life without a receipt
}

// beDevice runs a device until SIGTERM; then it delivers what it has, and ends.
func beDevice(text string) error {
	d := &soakDevice{}
	if err := json.Unmarshal([]byte(text), &d.deviceConfig); err != nil {
		return err
	}
	var past []entry
	var err error
	if d.journal, past, err = openJournal(d.Journal); err != nil {
		return err
	}
	lives := d.remember(past)
	d.rng = rand.New(rand.NewPCG(d.Seed, lives))
	if d.client, err = device.New(d.options()); err != nil {
		return err
	}
	d.journal.write(entry{Kind: kindBoot, Session: d.client.Session()})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 2)
	var work sync.WaitGroup
	work.Go(func() { failed <- d.send(ctx) })
	work.Go(func() { failed <- d.post(ctx, rand.New(rand.NewPCG(d.Seed+1, lives))) })
	select {
	case <-ctx.Done():
	case err := <-failed:
		return err
	case <-d.client.Done():
		return fmt.Errorf("the SDK has given up: %w", d.client.Err())
	}
	work.Wait()
	last, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for range 2 {
		if err := <-failed; err != nil {
			return err
		}
	}
	if err := d.client.Close(last); err != nil {
		return err
	}
	d.journal.write(entry{Kind: kindDone})
	return nil
}

// remember goes on where earlier lives ended.
func (d *soakDevice) remember(past []entry) (lives uint64) {
	open := map[uint64]entry{}
	for _, e := range past {
		for _, s := range e.Samples {
			d.value.Store(max(d.value.Load(), int64(s.Value)))
		}
		switch {
		case e.Kind == kindBoot:
			lives++
		case e.Kind == kindPost:
			d.postSeq = max(d.postSeq, e.Seq)
			open[e.Seq] = e
		case e.Kind == kindReceipt && e.Session == postSession:
			delete(open, e.Seq)
		}
	}
	for seq := range d.postSeq + 1 {
		if e, ok := open[seq]; ok {
			d.pending = append(d.pending, e)
		}
	}
	return lives
}

func (d *soakDevice) options() device.Options {
	return device.Options{
		URL: "ws://" + d.Addresses[0] + "/v1/ingest", Device: d.Device, Token: d.Token,
		Buffer:         device.Disk(d.Buffer, device.BufferLimits{WhenFull: device.Wait, NoSync: d.NoSync}),
		BacklogAfter:   3 * time.Second,
		Retry:          device.Retry{First: 200 * time.Millisecond, Max: 2 * time.Second},
		ReceiptTimeout: 8 * time.Second, KeepAlive: 4 * time.Second,
		Columns: d.Columns, Compress: d.Compress, TokenInMessage: d.TokenInMessage,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: 3 * time.Second}
			return dialer.DialContext(ctx, network, d.Addresses[rand.IntN(len(d.Addresses))])
		},
		OnReceipt: func(r device.Receipt) {
			d.journal.write(entry{Kind: kindReceipt, Session: r.Session, Seq: r.Seq, Receipt: &r})
		},
		OnRejected: func(r device.Rejection) {
			d.journal.write(entry{Kind: kindRejected, Session: r.Session, Seq: r.Seq, Rejected: &r})
		},
	}
}

// draw makes the readings of a frame.
func (d *soakDevice) draw(rng *rand.Rand) []sample {
	out := make([]sample, 1+rng.IntN(8))
	now := time.Now().UnixMicro()
	last := d.value.Add(int64(len(out)))
	for i := range out {
		out[i] = sample{Metric: metrics[rng.IntN(len(metrics))], Time: now + int64(i), Value: float64(last - int64(len(out)-1-i))}
	}
	return out
}

// send hands frames to the SDK. Some hold a reading of the future, which is refused, or one of yesterday.
func (d *soakDevice) send(ctx context.Context) error {
	pause := time.Duration(float64(time.Second) / d.Frames)
	for ctx.Err() == nil {
		frame := d.draw(d.rng)
		odd := &frame[d.rng.IntN(len(frame))]
		switch d.rng.IntN(40) {
		case 0:
			odd.Time, odd.Fate = odd.Time+time.Hour.Microseconds(), bad
		case 1:
			odd.Time, odd.Fate = odd.Time-25*time.Hour.Microseconds(), late
		}
		readings := make([]device.Reading, len(frame))
		for i, s := range frame {
			readings[i] = device.Reading{Metric: s.Metric, Time: s.Time, Value: s.Value}
		}
		d.journal.write(entry{Kind: kindIntent, First: frame[0].Value, Samples: frame})
		seq, err := d.client.Send(ctx, readings...)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // asked to end
			}
			return fmt.Errorf("send: %w", err)
		}
		d.journal.write(entry{Kind: kindTaken, First: frame[0].Value, Session: d.client.Session(), Seq: seq})
		wait := time.Duration(float64(pause) * (0.5 + d.rng.Float64()))
		if d.rng.IntN(100) == 0 { // now and then many at once
			wait = 0
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return nil
}

func (d *soakDevice) environ() []string {
	text, err := json.Marshal(d.deviceConfig)
	if err != nil {
		panic(err)
	}
	return append(os.Environ(), deviceEnv+"="+string(text))
}
