package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/wire"
)

// Scenarios.
const (
	// Basic takes all that comes, and pings.
	Basic = "basic"
	// Faults does one wrong thing after the other on purpose.
	Faults = "faults"
	// All is both: Faults contains all that Basic checks.
	All = "all"
)

// Options set up a Kit.
type Options struct {
	// Scenario is All if empty.
	Scenario string
	// Pace is the time within which a device has to react: to a ping, or by staying away. 5 s if zero.
	Pace time.Duration
	// Logger tells what the kit does; nil discards.
	Logger *slog.Logger
}

// credit is what receipts grant as a rule.
const credit = 64

// Kit plays the server for one device under test. Its methods are safe for concurrent use.
type Kit struct {
	pace    time.Duration
	times   timing
	log     *slog.Logger
	readers sync.WaitGroup

	mu       sync.Mutex
	tally    tally
	frames   *notebook
	total    Report
	conns    map[*conn]struct{}
	accepted int // connections and requests
	timers   []*time.Timer
	closed   bool
	finished chan struct{} // closed when all acts are over
	stage    stage

	quietFrom, quietUntil time.Time // the pause that was asked for over HTTP
}

// New makes a Kit.
func New(o Options) (*Kit, error) {
	k := &Kit{
		pace: o.Pace, log: o.Logger, tally: tally{}, frames: newNotebook(),
		conns: make(map[*conn]struct{}), finished: make(chan struct{}),
	}
	if k.pace <= 0 {
		k.pace = 5 * time.Second
	}
	k.times = timingOf(k.pace)
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	switch o.Scenario {
	case Basic:
	case Faults, All, "":
		k.stage.acts = allActs()
	default:
		return nil, fmt.Errorf("conformance: scenario %q: must be %s, %s or %s", o.Scenario, All, Basic, Faults)
	}
	return k, nil
}

// ServeHTTP implements http.Handler.
func (k *Kit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		k.post(w, r)
	case r.Header.Get("Upgrade") != "":
		k.socket(w, r)
	default:
		wire.WriteError(w, http.StatusUpgradeRequired, wire.NewError(wire.CodeUpgradeRequired, ""))
	}
}

// Run waits until all acts are over or ctx ends, closes all connections and returns the report. In the scenario Basic
// it waits for ctx.
func (k *Kit) Run(ctx context.Context) *Report {
	select {
	case <-ctx.Done():
	case <-k.finished:
	}
	k.mu.Lock()
	report := k.reportLocked()
	k.closed = true
	for _, t := range k.timers {
		t.Stop()
	}
	for c := range k.conns {
		c.net.cut()
	}
	k.mu.Unlock()
	k.readers.Wait()
	return report
}

func (k *Kit) reportLocked() *Report {
	k.conclude()
	report := k.total
	report.Connections = k.accepted
	for _, c := range checks {
		r := *k.tally.of(c)
		r.Evidence = slices.Clone(r.Evidence)
		report.Results = append(report.Results, r)
	}
	return &report
}

// conclude judges what only the end shows.
func (k *Kit) conclude() {
	if k.total.Frames > 0 {
		k.tally.pass(checkConnect)
		k.tally.pass(checkFraming)
		k.tally.pass(checkSize)
	} else {
		k.tally.fail(checkConnect, Evidence{What: fmt.Sprintf("%d connections, and not one frame", k.accepted)})
	}
	k.stage.conclude(k)
	k.frames.conclude(k.tally, time.Now().Add(-k.times.pause-k.pace))
}

// after calls f under the lock, unless the kit has ended by then.
func (k *Kit) after(d time.Duration, f func()) {
	k.timers = append(k.timers, time.AfterFunc(d, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if !k.closed {
			f()
		}
	}))
	if len(k.timers) > 256 {
		k.timers = slices.Delete(k.timers, 0, 128) // they have fired long ago
	}
}

// arrive judges an attempt to connect, and numbers it or says how it is refused; 0: it is not.
func (k *Kit) arrive(r *http.Request) (number, status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if status := k.stage.arrive(k, r, time.Now()); status != 0 {
		return 0, status
	}
	k.accepted++
	return k.accepted, 0
}

// credentialOf is what a device shows of itself, "" for nothing. It is compared and never shown.
func credentialOf(r *http.Request) string {
	for _, text := range []string{r.Header.Get("Authorization"), r.Header.Get("X-API-Key"), r.URL.Query().Get("access_token")} {
		if text != "" {
			return strings.TrimPrefix(text, "Bearer ")
		}
	}
	return ""
}
