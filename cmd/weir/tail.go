package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/cmd/weir/tail"
)

type tailCmd struct {
	Patterns []string `arg:"" name:"pattern" optional:"" help:"Series to follow, such as plant1/line3/#: + is one segment, a last # any number (quote it for the shell)."`

	Filter string   `placeholder:"CONDITION" help:"Only series whose row meets it, such as \"max > 90 && tags.line == '3'\"."`
	Order  string   `placeholder:"COLUMN" help:"With --limit: which series are the first: worst (the default), or a column, with - before it for the greatest first."`
	Limit  int      `placeholder:"N" help:"Only the first N series, kept up to date."`
	Fields []string `placeholder:"COLUMN" help:"Columns to print, such as last,max,worst (default: the usual ones; with --json all)."`
	MaxHz  *float64 `name:"max-hz" placeholder:"HZ" help:"At most this many updates per second of each series, 0 for all there are (default: the server's, 20)."`
	Room   []string `sep:"none" placeholder:"ROOM" help:"Join a room and print what is said there; repeatable."`
	JSON   bool     `help:"Print one JSON object per line instead of a table."`
	Stats  bool     `help:"Print figures every 2 s: the way to the server, lag, rows merged here and at the server, resyncs."`
	URL    string   `default:"http://127.0.0.1:7420" env:"WEIR_URL" help:"Address of the server, or of its live endpoint."`
	credentialFlags
}

// statsEvery is how often --stats prints.
const statsEvery = 2 * time.Second

// Help is shown below the summary of the command.
func (tailCmd) Help() string {
	return `Examples:
  weir tail '#'                          everything
  weir tail plant1/line3/press7/#        one device
  weir tail 'plant1/+/+/temperature' --max-hz 1
  weir tail '#' --limit 10               the ten worst series, as they change
  weir tail '#' --filter 'max > 90' --fields max,n
  weir tail '#' --json | jq 'select(.type == "alert")'
  weir tail --room plant1/ops            what is said in a room
  weir tail --room plant1/ops --json | jq 'select(.type == "message").message'

N is how many readings a line stands for: of what cannot be printed in time the
rows are merged, and MIN and MAX still hold every spike. AGE is the time from the
newest of them to its arrival here. A connection that is lost is opened again, and
goes on where it was. Ctrl-C ends it and sums up.`
}

// Validate is called by the parser of the command line.
func (c *tailCmd) Validate() error {
	if len(c.Patterns)+len(c.Room) == 0 {
		return errors.New("name a pattern, such as plant1/# or '#' for all series, or a --room")
	}
	return nil
}

func (c *tailCmd) Run(ctx context.Context, to streams) error {
	endpoint := webSocket(c.URL, "/v1/live")
	token, err := c.Credential(endpoint)
	if err != nil {
		return err
	}
	o := tail.Options{
		URL: endpoint, Token: token, Patterns: c.Patterns, MaxHz: c.MaxHz, Filter: c.Filter, Order: c.Order, Limit: c.Limit,
		Fields: c.Fields, Rooms: c.Room, JSON: c.JSON, Out: to.out, Notes: to.err,
	}
	if c.Stats {
		o.Stats = statsEvery
	}
	t, err := tail.New(o)
	if err != nil {
		return err
	}
	if err := t.Run(ctx); err != nil {
		return err
	}
	n := t.Counts()
	fmt.Fprintln(to.err, c.sum(&n))
	return nil
}

// sum tells of series and rooms, as far as they were asked for.
func (c *tailCmd) sum(n *tail.Counts) string {
	var parts []string
	if len(c.Patterns) > 0 {
		parts = append(parts, fmt.Sprintf("%s updates of %s readings, %s alerts, %s merged here, %s resyncs", grouped(int64(n.Updates)),
			grouped(int64(n.Readings)), grouped(int64(n.Alerts)), grouped(int64(n.Merged)), grouped(int64(n.Resyncs))))
	}
	if len(c.Room) > 0 {
		parts = append(parts, grouped(int64(n.Messages))+" messages")
	}
	return strings.Join(append(parts, grouped(int64(n.Reconnects))+" reconnects"), ", ")
}
