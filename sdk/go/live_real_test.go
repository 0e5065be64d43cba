package device_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/app"
	"weir/config"
	device "weir/sdk/go"
	"weir/telemetry"
	"weir/wire"
)

// patience bounds what is waited for; it is only reached by a failure.
const patience = 60 * time.Second

// weir is a server that can be stopped and started again at the same address.
type weir struct {
	t    *testing.T
	c    config.Config
	stop func()
}

func startWeir(t *testing.T, c config.Config) *weir {
	t.Helper()
	c.InsecureOpen = true
	return runWeir(t, c)
}

func runWeir(t *testing.T, c config.Config) *weir {
	t.Helper()
	c.Listen, c.StopTimeout = "127.0.0.1:0", 20*time.Second
	w := &weir{t: t, c: c}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *weir) start() {
	w.t.Helper()
	a, err := app.New(app.Options{Config: w.c, Build: app.Build{Version: "test"}})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := a.Run(ctx); err != nil {
			w.t.Errorf("serve: %v", err)
		}
	})
	w.stop = func() { cancel(); run.Wait() }
	w.c.Listen = strings.TrimSuffix(strings.TrimPrefix(a.URL(), "http://"), "/")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		res, err := client.Get(a.URL() + "readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not ready: %v", err)
		}
	}
}

func (w *weir) url(path string) string { return "ws://" + w.c.Listen + path }

// witness follows everything and keeps what it was told.
type witness struct {
	live *device.Live
	sub  *device.Subscription
	slow time.Duration

	mu       sync.Mutex
	versions map[string]device.Version
	readings uint64
	alerts   map[string]int
	faults   []string
}

func newWitness(t *testing.T, w *weir, number int) *witness {
	t.Helper()
	o := device.LiveOptions{URL: w.url("/v1/live"), Retry: device.Retry{First: 50 * time.Millisecond, Max: 500 * time.Millisecond}}
	if number%2 == 1 {
		o.Compress = true
	}
	o.Protobuf = number%4 >= 2
	live, err := device.NewLive(o)
	if err != nil {
		t.Fatal(err)
	}
	k := &witness{live: live, versions: map[string]device.Version{}, alerts: map[string]int{}, slow: time.Duration(number) * 20 * time.Millisecond}
	k.sub, err = live.Subscribe(device.SubscribeOptions{Patterns: []string{"#"}, MaxHz: []float64{device.Unlimited, 20, 5, 50}[number%4]})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if c, err := k.sub.Next(ctx); err != nil || !c.Reset || len(c.Rows) > 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	return k
}

func (k *witness) run() {
	for {
		c, err := k.sub.Next(context.Background())
		if err != nil {
			return
		}
		k.take(c)
		if k.slow > 0 {
			time.Sleep(rand.N(k.slow))
		}
	}
}

func (k *witness) take(c *device.Changes) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.Reset {
		k.faults = append(k.faults, "begun anew: "+c.Reason)
	}
	for i := range c.Rows {
		u := &c.Rows[i]
		seen, known := k.versions[u.Series]
		if !known {
			seen = telemetry.NoVersion
		}
		if u.Since != seen {
			k.faults = append(k.faults, fmt.Sprintf("%s: (%d, %d] after %d", u.Series, u.Since, u.Version, seen))
		}
		k.versions[u.Series] = u.Version
		k.readings += u.N + u.Late + u.Invalid
	}
	for _, a := range c.Alerts {
		k.alerts[fmt.Sprintf("%s %d", a.ID, a.Version)]++
	}
}

func (k *witness) seen() (readings uint64, alerts int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.readings, len(k.alerts)
}

const (
	loadDevices = 4
	loadFrames  = 60
	perFrame    = 50
)

// load sends loadFrames frames of each device, with a spike near the end, and waits for their receipts. disturb is called
// between.
func load(t *testing.T, w *weir, disturb func(done int)) {
	t.Helper()
	var clients []*device.Client
	for d := range loadDevices {
		c, err := device.New(device.Options{
			URL: w.url("/v1/ingest"), Device: fmt.Sprintf("plant1/line%d/press", d), Retry: device.Retry{First: 50 * time.Millisecond, Max: 200 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now().Add(-loadFrames * perFrame * time.Millisecond)
	for f := range loadFrames {
		for _, c := range clients {
			var readings []device.Reading
			for i := range perFrame {
				value := 20 + rand.Float64()
				if f == loadFrames-5 && i > 40 {
					value = 5000
				}
				readings = append(readings, device.At([]string{"temperature", "flow"}[i%2], value, began.Add(time.Duration(f*perFrame+i)*time.Millisecond)))
			}
			if _, err := c.Send(ctx, readings...); err != nil {
				t.Fatal(err)
			}
		}
		disturb(f)
	}
	for _, c := range clients {
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
		if n := c.Stats(); n.Accepted+n.Late != loadFrames*perFrame {
			t.Errorf("%+v", n)
		}
	}
}

// cutter drops connections at random until stop.
func cutter(seed uint64, witnesses []*witness) (stop func() (cuts int64)) {
	lives := make([]*device.Live, 0, len(witnesses))
	for _, w := range witnesses {
		lives = append(lives, w.live)
	}
	return cutLives(seed, lives)
}

func cutLives(seed uint64, lives []*device.Live) (stop func() (cuts int64)) {
	done := make(chan struct{})
	var wait sync.WaitGroup
	var cuts atomic.Int64
	wait.Go(func() {
		draw := rand.New(rand.NewPCG(seed, 3))
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Duration(draw.IntN(15)) * time.Millisecond):
				lives[draw.IntN(len(lives))].Interrupt(time.Duration(draw.IntN(100)) * time.Millisecond)
				cuts.Add(1)
			}
		}
	})
	return func() int64 { close(done); wait.Wait(); return cuts.Load() }
}

func witnessed(t *testing.T, w *weir, disturb func(done int)) {
	t.Helper()
	var witnesses []*witness
	var readers sync.WaitGroup
	for i := range 8 {
		k := newWitness(t, w, i)
		witnesses = append(witnesses, k)
		readers.Go(k.run)
	}
	stop := cutter(1, witnesses)
	load(t, w, disturb)
	cuts := stop()
	const all = loadDevices * loadFrames * perFrame
	var resumes, merged int64
	most := 0
	for deadline, settled := time.Now().Add(patience), false; !settled && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		settled, most = true, 0
		for _, k := range witnesses {
			_, alerts := k.seen()
			most = max(most, alerts)
		}
		for _, k := range witnesses {
			readings, alerts := k.seen()
			settled = settled && readings >= all && alerts == most && most > 0
		}
	}
	for i, k := range witnesses {
		k.live.Close()
		n := k.sub.Stats()
		resumes, merged = resumes+n.Resumes, merged+n.Merged
		k.mu.Lock()
		if k.readings != all || len(k.faults) > 0 || n.Gaps > 0 || n.Replays > 0 || len(k.alerts) != most || most == 0 {
			t.Errorf("witness %d: %d of %d readings, %d of %d transitions, %+v, faults %q", i, k.readings, all, len(k.alerts), most, n, k.faults)
		}
		for a, times := range k.alerts {
			if times != 1 {
				t.Errorf("witness %d was told alert %s %d times", i, a, times)
			}
		}
		k.mu.Unlock()
	}
	readers.Wait()
	if resumes == 0 {
		t.Error("nothing was resumed")
	}
	t.Logf("%d readings, %d cuts, %d resumes, %d rows merged here, %d transitions", all, cuts, resumes, merged, most)
}

func TestRandomCutsUnderLoadLoseAndRepeatNothing(t *testing.T) {
	w := startWeir(t, config.Default())
	witnessed(t, w, func(int) { time.Sleep(20 * time.Millisecond) })
}

func TestARestartOfTheServerLosesAndRepeatsNothing(t *testing.T) {
	c := config.Default()
	c.Data = t.TempDir()
	w := startWeir(t, c)
	witnessed(t, w, func(done int) {
		time.Sleep(10 * time.Millisecond)
		if done == loadFrames/2 {
			w.stop()
			w.start()
		}
	})
}

func TestTheServersRefusalReachesTheProgram(t *testing.T) {
	w := startWeir(t, config.Default())
	live, err := device.NewLive(device.LiveOptions{URL: w.url("/v1/live")})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	sub, err := live.Subscribe(device.SubscribeOptions{Patterns: []string{"#"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal, err := live.Subscribe(device.SubscribeOptions{Patterns: []string{"#"}})
	if err != nil {
		t.Fatal(err)
	}
	var refused *device.Error
	if _, err := equal.Next(t.Context()); !errors.As(err, &refused) || refused.Code != wire.CodeSubscriptionExists {
		t.Errorf("%v", err)
	}
}
