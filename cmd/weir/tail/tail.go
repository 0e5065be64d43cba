// Package tail prints the live updates of series that match patterns, and what is said in rooms.
package tail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	sdk "weir/sdk/go"
	"weir/telemetry"
	"weir/wire"
)

// Options set up a Tail. Patterns or Rooms are needed.
type Options struct {
	// URL is the live endpoint, such as ws://127.0.0.1:7420/v1/live.
	URL string
	// Token is what the server is shown, an API key or a token; empty: nothing.
	Token    string
	Patterns []string
	// MaxHz limits the updates per second of a series; 0 is unlimited, nil leaves it to the server.
	MaxHz *float64
	// Filter, Order, Limit and Fields are as in a subscribe message.
	Filter, Order string
	Limit         int
	Fields        []string
	// Rooms are joined, and their messages printed.
	Rooms []string
	// JSON prints objects, one a line, instead of a table.
	JSON bool
	// Stats prints figures every so often, 0: never.
	Stats time.Duration
	// Out gets updates, alerts and messages; Notes what happens to the connection.
	Out, Notes io.Writer
}

// Tail follows series and rooms.
type Tail struct {
	o         Options
	subscribe sdk.SubscribeOptions
	live      *sdk.Live
	cancel    context.CancelCauseFunc
	sub       *sdk.Subscription // nil without patterns

	mu     sync.Mutex // guards what follows, and the two writers
	print  printer
	opened bool   // there was a connection
	noted  string // what was said of the connection last
	counts Counts
}

// Counts sums up what was printed, without snapshots. Merged readings became part of others here as nobody read those.
type Counts struct{ Updates, Readings, Alerts, Messages, Merged, Resyncs, Reconnects uint64 }

// New checks the options.
func New(o Options) (*Tail, error) {
	if len(o.Patterns)+len(o.Rooms) == 0 {
		return nil, errors.New("no pattern: pass one such as plant1/# or '#' for all series, or --room")
	}
	t := &Tail{o: o}
	for _, text := range o.Patterns {
		if _, err := telemetry.ParsePattern(text); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", text, err)
		}
	}
	switch _, known := wire.ParseOrder(o.Order); {
	case o.Limit < 0 || o.Limit > wire.MaxLimit:
		return nil, fmt.Errorf("--limit: must be between 1 and %d", wire.MaxLimit)
	case o.Order != "" && !known:
		return nil, fmt.Errorf("--order: there is no %q; there are worst, %s, and these with - before them", o.Order, strings.Join(wire.Columns()[1:], ", "))
	case o.Order != "" && o.Limit == 0:
		return nil, errors.New("--order: says which series --limit keeps, and needs it")
	}
	t.subscribe = sdk.SubscribeOptions{Patterns: o.Patterns, Filter: o.Filter, Order: o.Order, Limit: o.Limit, Fields: o.Fields}
	if o.MaxHz != nil {
		if !(*o.MaxHz >= 0 && *o.MaxHz <= wire.MaxRate) {
			return nil, fmt.Errorf("--max-hz: must be between 0 (unlimited) and %d", wire.MaxRate)
		}
		if t.subscribe.MaxHz = *o.MaxHz; *o.MaxHz == 0 {
			t.subscribe.MaxHz = sdk.Unlimited
		}
	}
	columns, err := choose(o.Fields)
	if err != nil {
		return nil, err
	}
	if o.JSON {
		t.print = newLines(o.Out, columns)
	} else {
		t.print = newTable(o.Out, columns, len(o.Fields) > 0)
	}
	return t, nil
}

// Run prints until ctx ends. A server that cannot be reached at first, or that refuses, is an error; a connection that is
// lost later is opened again.
func (t *Tail) Run(ctx context.Context) error {
	ctx, t.cancel = context.WithCancelCause(ctx)
	defer t.cancel(nil)
	live, err := sdk.NewLive(sdk.LiveOptions{
		URL: t.o.URL, Token: t.o.Token, Protobuf: true, Retry: sdk.Retry{First: 250 * time.Millisecond, Max: 5 * time.Second},
		OnConnection: t.connection,
		OnExpiring:   func(at time.Time) { t.note("the credentials end at %s", at.Local().Format(time.DateTime)) },
	})
	if err != nil {
		return explain(err, t.o.URL)
	}
	defer live.Close()
	t.live = live
	var work sync.WaitGroup
	if len(t.o.Patterns) > 0 {
		if t.sub, err = live.Subscribe(t.subscribe); err != nil {
			return err
		}
		work.Go(func() { t.fail(t.series(ctx)) })
	}
	for _, room := range t.o.Rooms {
		work.Go(func() { t.fail(t.room(ctx, room)) })
	}
	if t.o.Stats > 0 {
		work.Go(func() { t.figures(ctx) })
	}
	work.Wait()
	return t.end(context.Cause(ctx))
}

// end is what Run says of why it ended.
func (t *Tail) end(why error) error {
	if errors.Is(why, context.Canceled) || errors.Is(why, context.DeadlineExceeded) {
		return nil // to be told to end is no failure
	}
	var refused *sdk.Error
	var room *roomError
	switch {
	case errors.As(why, &room):
		return room
	case errors.As(why, &refused):
		var read []string
		if w := t.live.Welcome(); w != nil {
			read = w.Read
		}
		return &refusedError{refused, t.o.Patterns, read}
	}
	return explain(why, t.o.URL)
}

// fail ends Run.
func (t *Tail) fail(why error) {
	if why != nil {
		t.cancel(why)
	}
}

// Counts sums up what was printed.
func (t *Tail) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts
	if t.sub != nil {
		n := t.sub.Stats()
		c.Merged, c.Resyncs = uint64(n.Merged), uint64(n.Resyncs)
	}
	if n := t.live.Stats(); n.Connects > 1 {
		c.Reconnects = uint64(n.Connects - 1)
	}
	return c
}

func (t *Tail) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.o.Notes, format+"\n", args...)
}

// connection is told what happens to the connection. A server that is not there at first ends Run.
func (t *Tail) connection(c sdk.Connection) {
	t.mu.Lock()
	first := !t.opened
	t.opened = t.opened || c.Open
	if c.Open {
		t.noted = ""
	}
	t.mu.Unlock()
	var closed *sdk.ClosedError
	switch {
	case c.Open && !first:
		t.note("connected again")
	case c.Open, errors.Is(c.Err, context.Canceled): // told to end
	case first && !c.Dialled:
		t.cancel(c.Err)
	case errors.As(c.Err, &closed) && closed.Final(): // Run says so
	default:
		t.lost(c.Err.Error())
	}
}

// lost notes that there is no connection, once for each reason in a row.
func (t *Tail) lost(why string) {
	t.mu.Lock()
	again := t.noted == why
	t.noted = why
	t.mu.Unlock()
	if !again {
		t.note("%s; connecting again", why)
	}
}

// series prints what is new of the series.
func (t *Tail) series(ctx context.Context) error {
	for {
		c, err := t.sub.Next(ctx)
		if err != nil {
			return err
		}
		t.mu.Lock()
		t.changes(c)
		err = t.print.flush()
		t.mu.Unlock()
		if err != nil {
			return &outputError{err}
		}
	}
}

func (t *Tail) changes(c *sdk.Changes) {
	if c.Reset {
		t.begun(c)
	}
	for i := range c.Series {
		t.print.expect(c.Series[i].Series)
	}
	for i := range c.Rows {
		t.print.update(&c.Rows[i], c.Received, c.Reset)
		if !c.Reset {
			t.counts.Updates++
			t.counts.Readings += c.Rows[i].N
		}
	}
	for _, series := range c.Left {
		t.print.left(series)
	}
	for i := range c.Alerts {
		t.counts.Alerts++
		t.print.alert(&c.Alerts[i])
	}
}

func (t *Tail) begun(c *sdk.Changes) {
	switch {
	case c.Reason != "":
		fmt.Fprintf(t.o.Notes, "the rows begin anew (%s): a fresh snapshot follows\n", c.Reason)
		t.print.resync(c.Reason)
	case len(c.Rows) == 0:
		fmt.Fprintln(t.o.Notes, "no series matches yet; waiting for one")
	}
}

// room prints what is said in a room.
func (t *Tail) room(ctx context.Context, name string) error {
	room, err := t.live.Join(ctx, name, sdk.JoinOptions{Last: 10})
	if err != nil {
		return ofRoom(name, err)
	}
	t.note("in %s (members: %d)", name, len(room.Members()))
	for {
		e, err := room.Next(ctx)
		if err != nil {
			return ofRoom(name, err)
		}
		t.mu.Lock()
		if e.Message != nil {
			t.counts.Messages++
		}
		t.print.said(name, &e)
		err = t.print.flush()
		t.mu.Unlock()
		if err != nil {
			return &outputError{err}
		}
	}
}
