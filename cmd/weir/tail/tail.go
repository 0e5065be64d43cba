// Package tail prints the live updates of series that match patterns, and checks that none is missing.
package tail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weir/telemetry"
	"weir/wire"
)

// Options set up a Tail.
type Options struct {
	// URL is the live endpoint, such as ws://127.0.0.1:7420/v1/live.
	URL string
	// Token is what the server is shown, an API key or a token; empty: nothing.
	Token    string
	Patterns []string
	// MaxHz limits the frames per second; 0 is unlimited, nil leaves it to the server.
	MaxHz *float64
	// JSON prints objects, one a line, instead of a table.
	JSON bool
	// Out gets updates, alerts and gaps; Notes what happens to the connection.
	Out, Notes io.Writer
}

// Tail follows series. Its fields are owned by Run.
type Tail struct {
	url       string
	token     string
	subscribe wire.Subscribe
	print     printer
	notes     io.Writer

	read   []string // patterns of what may be read
	chain  chain
	resume time.Duration // what the server asked to wait before the next connection
	Counts Counts
}

// Counts sums up what was printed. They are valid once Run has returned.
type Counts struct{ Updates, Readings, Alerts, Gaps, Reconnects uint64 }

// subscription is the id of the only one that a Tail has.
const subscription = "tail"

// New checks the options.
func New(o Options) (*Tail, error) {
	if len(o.Patterns) == 0 {
		return nil, errors.New("no pattern: pass one such as plant1/# or '#' for all series")
	}
	t := &Tail{url: o.URL, token: o.Token, notes: o.Notes, subscribe: wire.Subscribe{ID: subscription}}
	for _, text := range o.Patterns {
		p, err := telemetry.ParsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", text, err)
		}
		t.subscribe.Patterns = append(t.subscribe.Patterns, p)
	}
	if o.MaxHz != nil {
		if !(*o.MaxHz >= 0 && *o.MaxHz <= wire.MaxRate) {
			return nil, fmt.Errorf("--max-hz: must be between 0 (unlimited) and %d", wire.MaxRate)
		}
		t.subscribe.MaxHz, t.subscribe.HasMaxHz = *o.MaxHz, true
	}
	t.print = newTable(o.Out)
	if o.JSON {
		t.print = newLines(o.Out)
	}
	return t, nil
}

// Run prints until ctx ends. A server that cannot be reached at first, or that refuses, is an error; a
// connection that is lost later is opened again with back-off.
func (t *Tail) Run(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	// Full jitter: uniform between nothing and twice the interval.
	wait.InitialInterval, wait.MaxInterval, wait.RandomizationFactor = 250*time.Millisecond, 5*time.Second, 1
	wait.Reset()
	for connected := false; ; {
		l, err := open(ctx, t.url, t.token, t.subscribe)
		if err == nil {
			connected = true
			err = t.session(ctx, l)
			l.close()
			if len(t.chain) > 0 {
				wait.Reset()
			}
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // to be told to end is no failure
		}
		if !connected || final(err) {
			return explain(err)
		}
		delay := max(t.resume, wait.NextBackOff())
		t.resume = 0
		fmt.Fprintf(t.notes, "%v; connecting again in %v\n", err, delay.Round(time.Millisecond))
		select {
		case <-time.After(delay):
			t.Counts.Reconnects++
		case <-ctx.Done():
			return nil
		}
	}
}

// session prints what comes over one connection until it is lost.
func (t *Tail) session(ctx context.Context, l *link) error {
	t.chain = make(chain)
	for {
		select {
		case r := <-l.messages:
			if r.err != nil {
				return r.err
			}
			if err := t.take(r.message, r.at); err != nil {
				return err
			}
			if err := t.print.flush(); err != nil {
				return &outputError{err}
			}
		case <-l.closed:
			return l.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *Tail) take(message wire.ServerMessage, at time.Time) error {
	switch m := message.(type) {
	case *wire.Welcome:
		t.read = m.Read
	case *wire.TokenExpiring:
		fmt.Fprintf(t.notes, "the credentials end at %s\n", m.ExpiresAt.Local().Format(time.DateTime))
	case *wire.Subscribed:
		t.snapshot(m, at)
	case *wire.SeriesMsg:
		t.expect(m.Added)
	case *wire.Updates:
		for i := range m.Rows {
			t.row(m.View, m.Rows[i].Update, at)
		}
	case *wire.AlertMsg:
		t.alert(&m.Alert)
	case *wire.Resync:
		fmt.Fprintf(t.notes, "the server starts over (%s): a fresh snapshot follows\n", m.Reason)
	case *wire.ErrorMsg:
		return &refusedError{&m.Error, t.read}
	case *wire.Draining:
		t.resume = time.Duration(m.ReconnectAfterMS)*time.Millisecond +
			rand.N(time.Duration(m.JitterMS)*time.Millisecond+1)
	}
	return nil
}

func (t *Tail) expect(entries []wire.Entry) {
	for _, e := range entries {
		t.print.expect(e.Series)
	}
}

func (t *Tail) snapshot(m *wire.Subscribed, at time.Time) {
	t.chain.begin(m.View)
	t.expect(m.Dictionary)
	if len(m.Rows) == 0 {
		fmt.Fprintln(t.notes, "no series matches yet; waiting for one")
	}
	for i := range m.Rows {
		t.chain.set(m.View, m.Rows[i].Update)
		t.print.update(m.Rows[i].Update, at, true)
	}
	for i := range m.Alerts {
		t.alert(&m.Alerts[i])
	}
}

func (t *Tail) row(view int, u *telemetry.Update, at time.Time) {
	relation, seen := t.chain.follow(view, u)
	if relation == telemetry.Replay {
		return
	}
	if relation != telemetry.Contiguous {
		t.Counts.Gaps++
		t.print.gap(gap{series: u.Series, seen: seen, since: u.Since})
	}
	t.Counts.Updates++
	t.Counts.Readings += u.N
	t.print.update(u, at, false)
}

func (t *Tail) alert(a *telemetry.Alert) {
	t.Counts.Alerts++
	t.print.alert(a)
}
