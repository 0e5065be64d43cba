package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"

	"weir/app"
	"weir/auth"
	"weir/config"
)

type serveCmd struct {
	Config       string            `type:"path" env:"WEIR_CONFIG" placeholder:"FILE" help:"Configuration file (YAML)."`
	Listen       string            `placeholder:"HOST:PORT" help:"Address for devices, dashboards and operators (127.0.0.1:7420)."`
	AdminListen  string            `placeholder:"HOST:PORT" help:"Loopback address for the profiler (off)."`
	Data         string            `type:"path" placeholder:"DIR" help:"Directory of the embedded broker (./data)."`
	Roles        []string          `placeholder:"ROLE" help:"What this process does: ingest, pipeline, push, bridge (all). Without one of the first three it needs --kafka-brokers."`
	KafkaBrokers []string          `placeholder:"HOST:PORT" help:"Kafka cluster to use instead of the embedded broker."`
	Partitions   int               `placeholder:"N" help:"Partitions of each topic when they are made (4)."`
	Pipelines    string            `name:"pipelines-file" type:"path" placeholder:"FILE" help:"Declared pipelines (YAML); read again when it changes (pipelines.yaml in the data directory, if there is one)."`
	InsecureOpen bool              `help:"Ask for no credentials: anyone who reaches the server can read and write. Web pages of other origins stay refused (allowed_origins). Warns on every page."`
	Set          map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Any other setting by its full path, such as pipeline.flush_period=20ms."`
	PrintConfig  bool              `help:"Print the effective configuration and exit."`
}

// serveKeys are the settings behind the flags.
var serveKeys = map[string]string{
	"listen":         "listen",
	"admin-listen":   "admin_listen",
	"data":           "data",
	"roles":          "roles",
	"kafka-brokers":  "kafka.brokers",
	"partitions":     "partitions",
	"pipelines-file": "pipelines_file",
	"insecure-open":  "insecure_open",
	"log-level":      "log.level",
	"log-format":     "log.format",
}

func (c *serveCmd) Run(ctx context.Context, line *kong.Context, to streams) error {
	settings, err := config.Load(config.Sources{File: c.Config, Environ: os.Environ(), Flags: c.given(line)})
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if c.PrintConfig {
		text, err := settings.YAML()
		if err == nil {
			_, err = to.out.Write(text)
		}
		return err
	}
	b := currentBuild()
	a, err := app.New(app.Options{
		Config: settings,
		Logger: newLogger(to.err, settings.Log.Level, settings.Log.Format),
		Build:  app.Build{Version: b.version, Commit: b.commit, Modified: b.modified},
	})
	if err != nil {
		return err
	}
	defer reloadOnHangup(a)()
	ended := make(chan struct{})
	greeted := make(chan struct{})
	go func() {
		defer close(greeted)
		select {
		case <-a.Started():
			err := greet(to, a, &settings)
			if err != nil {
				fmt.Fprintf(to.err, "weir: %v\n", err)
			}
		case <-ended:
		}
	}()
	err = a.Run(ctx)
	close(ended)
	<-greeted
	return err
}

// reloadOnHangup has the pipelines read again on SIGHUP, until stop.
func reloadOnHangup(a *app.App) (stop func()) {
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-hangups:
				a.Reload()
			case <-done:
				return
			}
		}
	})
	return func() { signal.Stop(hangups); close(done); wait.Wait() }
}

// given are the settings that stand on the command line.
func (c *serveCmd) given(line *kong.Context) map[string]any {
	settings := make(map[string]any)
	for key, value := range c.Set {
		settings[key] = value
	}
	for _, element := range line.Path {
		if element.Flag == nil {
			continue
		}
		if key, ok := serveKeys[element.Flag.Name]; ok {
			settings[key] = element.Flag.Target.Interface()
		}
	}
	return settings
}

// greet tells where everything is.
func greet(to streams, a *app.App, c *config.Config) error {
	broker := "Kafka at " + strings.Join(c.Kafka.Brokers, ", ")
	if c.UsesEmbedded() {
		dir, err := filepath.Abs(c.Data)
		if err != nil {
			dir = c.Data
		}
		broker = "embedded, data in " + dir
	}
	address := a.URL()
	link, err := a.OperatorLink()
	if err != nil {
		return err
	}
	lines := [][2]string{}
	if c.Has(config.RolePush) {
		lines = append(lines, [2]string{"dashboard", address})
		if link != "" {
			lines = append(lines, [2]string{"sign in", link + "  (once, within 15 minutes)"})
		}
	}
	if c.Has(config.RoleIngest) {
		lines = append(lines, [2]string{"devices", strings.Replace(address, "http", "ws", 1) + "v1/ingest, POST " + address + "v1/readings"})
	}
	lines = append(lines, [2]string{"broker", broker}, [2]string{"roles", strings.Join(c.Roles, ", ")})
	if c.Data != "" && !c.InsecureOpen {
		lines = append(lines, [2]string{"key", "for tools on this machine: " + auth.LocalKeyFile(c.Data)})
	}
	if c.InsecureOpen {
		lines = append(lines, [2]string{"WARNING", "open without credentials: anyone who reaches " + a.Addr().String() + " can read and write everything"})
	}
	text := "Weir is up\n"
	for _, l := range lines {
		text += fmt.Sprintf("  %-10s %s\n", l[0], l[1])
	}
	fmt.Fprint(to.out, text)
	return nil
}
