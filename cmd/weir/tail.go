package main

import (
	"context"
	"fmt"

	"weir/cmd/weir/tail"
)

type tailCmd struct {
	Patterns []string `arg:"" name:"pattern" help:"Series to follow, such as plant1/line3/#: + is one segment, a last # any number (quote it for the shell)."`

	URL   string   `default:"http://127.0.0.1:7420" env:"WEIR_URL" help:"Address of the server, or of its live endpoint."`
	MaxHz *float64 `name:"max-hz" help:"At most this many updates per second of each series, 0 for all there are (default: the server's, 20)."`
	JSON  bool     `help:"Print one JSON object per line instead of a table."`
	credentialFlags
}

// Help is shown below the summary of the command.
func (tailCmd) Help() string {
	return `Examples:
  weir tail '#'                          everything
  weir tail plant1/line3/press7/#        one device
  weir tail 'plant1/+/+/temperature' --max-hz 1
  weir tail '#' --json | jq 'select(.type == "alert")'

N is how many readings a line stands for; AGE the time from the newest of them to its arrival here.`
}

func (c *tailCmd) Run(ctx context.Context, to streams) error {
	endpoint := webSocket(c.URL, "/v1/live")
	token, err := c.Credential(endpoint)
	if err != nil {
		return err
	}
	t, err := tail.New(tail.Options{
		URL: endpoint, Token: token, Patterns: c.Patterns, MaxHz: c.MaxHz, JSON: c.JSON, Out: to.out, Notes: to.err,
	})
	if err != nil {
		return err
	}
	if err := t.Run(ctx); err != nil {
		return err
	}
	n := t.Counts
	fmt.Fprintf(to.err, "%s updates of %s readings, %s alerts, %s gaps, %s reconnects\n", grouped(int64(n.Updates)),
		grouped(int64(n.Readings)), grouped(int64(n.Alerts)), grouped(int64(n.Gaps)), grouped(int64(n.Reconnects)))
	return nil
}
