// Command weir is the server and its tools. This package holds flags, signals and exit codes only.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands is the command line. Each command is a struct with a Run method in a file of its own.
type commands struct {
	LogLevel  string           `enum:"debug,info,warn,error" default:"info" help:"Least severe log messages to show: debug, info, warn or error."`
	LogFormat string           `enum:"text,json" default:"text" help:"Form of log messages: text or json."`
	Version   kong.VersionFlag `help:"Print the version and exit."`

	Serve       serveCmd       `cmd:"" help:"Run the server: all of it with an embedded broker, or some roles on a Kafka cluster."`
	Simulate    simulateCmd    `cmd:"" help:"Send readings of made-up devices, of this host, or of recorded series."`
	CheckDevice checkDeviceCmd `cmd:"" name:"check-device" help:"Play the server for a device, and tell what the device does wrong."`
	Tail        tailCmd        `cmd:"" help:"Print live updates of the series that match a pattern."`
	Bench       benchCmd       `cmd:"" help:"Measure this machine's throughput and latency."`
	Key         keyCmd         `cmd:"" help:"Make, list, rotate and revoke API keys."`
	Token       tokenCmd       `cmd:"" help:"Make, revoke and show tokens."`
	Dlq         dlqCmd         `cmd:"" help:"See what was refused from devices, mend it and send it again."`
	Score       scoreCmd       `cmd:"" help:"Score recorded series for anomalies, as the pipeline would."`
	Pipeline    pipelineCmd    `cmd:"" help:"Check a file of pipelines, see what it does with a series, try it on recorded readings."`
	Bridge      bridgeCmd      `cmd:"" help:"Check a file of bridges, and try one on records."`
	Backtest    backtestCmd    `cmd:"" help:"Tell what rules would have raised on the readings that are stored."`
	PrintInfo   versionCmd     `cmd:"" name:"version" help:"Print version, commit and platform."`
}

const description = "Weir takes sensor and metric streams from devices, runs them through reactive pipelines, and pushes live updates to dashboards."

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; a second one kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	var cli commands
	parser, err := newParser(&cli, stdout, stderr)
	if err != nil {
		panic(err) // a mistake in the struct tags
	}
	// kong ends help and --version by its Exit function, which must not return.
	defer func() {
		switch end := recover().(type) {
		case nil:
		case exited:
			code = int(end)
		default:
			panic(end)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return usageError(stderr, err)
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(newLogger(stderr, cli.LogLevel, cli.LogFormat), streams{out: stdout, err: stderr})
	if err := parsed.Run(); err != nil {
		return failure(stderr, err)
	}
	return exitOK
}

// streams are where a command writes: results to out, everything else to err.
type streams struct{ out, err io.Writer }

// exited carries an exit code through kong.
type exited int

func newParser(cli *commands, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(cli,
		kong.Name("weir"),
		kong.Description(description),
		kong.Vars{"version": currentBuild().String()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
}

func usageError(stderr io.Writer, err error) int {
	help := "weir --help"
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		if node := parse.Context.Selected(); node != nil {
			help = node.FullPath() + " --help"
		}
	}
	fmt.Fprintf(stderr, "weir: %v\n  run `%s` to see what is possible\n", err, help)
	return exitUsage
}

// failure tells what went wrong and, if the error knows, what to do next.
func failure(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "weir: %v\n", err)
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		fmt.Fprintf(stderr, "  %s\n", hinted.Hint())
	}
	return exitFailed
}

func newLogger(out io.Writer, level, format string) *slog.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		panic(err) // kong has checked the enum
	}
	options := &slog.HandlerOptions{Level: least}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}
