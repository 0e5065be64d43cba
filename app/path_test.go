package app

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"weir/telemetry"
	"weir/wire"
)

type reading struct {
	Metric string  `json:"metric"`
	Time   int64   `json:"ts"` // ms
	Value  float64 `json:"value"`
}

type envelope struct {
	Device   string    `json:"device"`
	Session  string    `json:"session,omitempty"`
	Seq      uint64    `json:"seq"`
	Readings []reading `json:"readings"`
}

// wave makes n readings of a calm sensor, ending now.
func wave(metric string, n int) []reading {
	var out []reading
	now := time.Now().UnixMilli()
	for i := range n {
		out = append(out, reading{metric, now - int64(n-i)*10, 20 + math.Sin(float64(i)/5)})
	}
	return out
}

func TestReadingsReachADashboardEachOnceAndASpikeRaisesAnAlert(t *testing.T) {
	r := start(t, memory())
	d := r.dashboard("plant1/#")
	dev := r.dial("v1/ingest")
	readings := wave("temperature", 400)
	readings[350].Value = 500
	for i := 0; i < len(readings); i += 20 {
		e := envelope{Device: "plant1/press7", Session: "boot", Seq: uint64(i), Readings: readings[i : i+20]}
		if got := dev.deliver(t, e); got.Accepted != 20 {
			t.Fatalf("receipt %+v", got)
		}
	}
	const series = "plant1/press7/temperature"
	for d.count(series) < 400 || len(d.alerts) == 0 {
		d.step()
	}
	u := d.total[series]
	if u.N != 400 || u.Max != 500 || u.Worst != telemetry.Alerting {
		t.Errorf("shown: n %d max %v worst %v", u.N, u.Max, u.Worst)
	}
	if a := d.alerts[0]; a.Series != series || a.Value != 500 || a.Phase != telemetry.Firing {
		t.Errorf("alert: %+v", a)
	}
	if !d.welcome.Insecure || d.welcome.Epoch == "" {
		t.Errorf("welcome: %+v", d.welcome)
	}
	if row := r.snapshot("plant1/press7/temperature").Rows[0].Update; row.Version != u.Version || row.Last != u.Last {
		t.Errorf("snapshot %+v differs from what was shown %+v", row, u)
	}
}

func TestARestartGoesOnWhereTheProcessStopped(t *testing.T) {
	c := onDisk(t)
	const series = "plant1/press7/temperature"
	var before telemetry.Version
	var epoch string
	t.Run("first process", func(t *testing.T) {
		r := start(t, c)
		d, dev := r.dashboard("#"), r.dial("v1/ingest")
		dev.deliver(t, envelope{Device: "plant1/press7", Session: "boot", Seq: 1, Readings: wave("temperature", 100)})
		for d.count(series) < 100 {
			d.step()
		}
		before, epoch = d.seen[series], d.welcome.Epoch
	})
	r := start(t, c)
	d, dev := r.dashboard("#"), r.dial("v1/ingest")
	if d.welcome.Epoch != epoch {
		t.Errorf("epoch %s became %s", epoch, d.welcome.Epoch)
	}
	if d.seen[series] != before {
		t.Fatalf("the snapshot is at version %d, the dashboard had seen %d", d.seen[series], before)
	}
	// The resent frame is a duplicate to the pipeline, though not to this ingest.
	dev.deliver(t, envelope{Device: "plant1/press7", Session: "boot", Seq: 1, Readings: wave("temperature", 100)})
	dev.deliver(t, envelope{Device: "plant1/press7", Session: "boot", Seq: 2, Readings: wave("temperature", 50)})
	for d.count(series) < 50 {
		d.step()
	}
	if n := d.count(series); n != 50 {
		t.Errorf("%d readings shown after the restart", n)
	}
}

func TestAStopUnderLoadLosesNothingThatHasAReceipt(t *testing.T) {
	c := onDisk(t)
	accepted := 0
	t.Run("stopped process", func(t *testing.T) {
		r := start(t, c)
		var devices sync.WaitGroup
		var mu sync.Mutex
		enough := make(chan struct{}, 1)
		for i := range 4 {
			dev := r.dial("v1/ingest")
			devices.Go(func() {
				for dev.conn.WriteString(fmt.Sprintf(`{"device":"plant1/d%d","metric":"m","value":1}`, i)) == nil {
				}
			})
			devices.Go(func() {
				for m := range dev.messages {
					receipt, err := wire.DecodeReceipt(m)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if accepted += receipt.Accepted; accepted > 2000 {
						select {
						case enough <- struct{}{}:
						default:
						}
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		devices.Wait()
	})
	r := start(t, c)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stored, emitted uint64
	r.eventually("every stored reading is emitted", func() bool {
		stored, emitted = r.stored(ctx)
		return stored == emitted
	})
	if stored != uint64(accepted) {
		t.Errorf("%d readings have a receipt, %d are stored", accepted, stored)
	}
}
