// Command centrifugo measures Weir's push and Centrifugo one after the other, with the same readers, rates and sizes.
// scripts/bench-push-peers.sh builds what it needs and calls it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"weir/bench"
)

func main() {
	run := bench.PushPeers{Log: io.Discard, Progress: os.Stderr}
	var about head
	var out string
	flag.StringVar(&run.Weir, "weir", "bin/weir", "weir, built")
	flag.StringVar(&run.Centrifugo, "centrifugo", "", "Centrifugo v5, built")
	flag.IntVar(&run.Idle, "idle", 5000, "idle connections")
	flag.DurationVar(&run.Warm, "warm", 4*time.Second, "warm-up before each measurement")
	flag.DurationVar(&run.Measure, "duration", 10*time.Second, "length of each measurement")
	flag.StringVar(&about.Commit, "commit", "", "commit that is measured")
	flag.StringVar(&about.Command, "command", "", "command to tell in the results")
	flag.StringVar(&out, "out", "", "results go to this path with .json and .md; none: to stdout only")
	flag.Parse()
	about.Date = time.Now().UTC().Format(time.RFC3339)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	result, err := run.Run(ctx)
	stop()
	if err := errors.Join(err, write(out, about, result)); err != nil {
		fmt.Fprintln(os.Stderr, "centrifugo:", err)
		os.Exit(1)
	}
}

// head is what a result begins with.
type head struct {
	Commit  string `json:"commit"`
	Command string `json:"command"`
	Date    string `json:"date"`
}

// write prints the tables, and keeps them with the figures.
func write(out string, about head, r *bench.Outcomes) error {
	tables := markdown(about, r)
	fmt.Print(tables)
	text, err := json.MarshalIndent(struct {
		head
		*bench.Outcomes
	}{about, r}, "", "  ")
	if err != nil || out == "" {
		return err
	}
	return errors.Join(os.WriteFile(out+".json", append(text, '\n'), 0o600), os.WriteFile(out+".md", []byte(tables), 0o600))
}
