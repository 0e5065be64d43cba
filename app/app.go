package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"weir/auth"
	"weir/kafka"
	"weir/kafka/embedded"
)

// App is one process of Weir.
type App struct {
	opts     Options
	log      *slog.Logger
	set      *metrics.Set
	steps    *stack
	listener net.Listener
	admin    net.Listener // nil: off

	remembered identity // what the data directory knows
	plans      *plans   // nil: no file of pipelines is followed
	bridges    *bridges // nil: no file of bridges is followed
	broker     *embedded.Broker

	gate    auth.Gate
	keeper  *auth.Keeper // nil: an open server
	routes  atomic.Pointer[auth.Router]
	checks  atomic.Pointer[[]check]
	failed  chan error // of a part that must not end
	started chan struct{}

	stopping atomic.Bool
}

// New validates the options, binds the listeners, and opens the embedded broker when no cluster is named. On
// an error everything is undone again. Close undoes it when Run is not called.
func New(o Options) (*App, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &App{
		opts:    o,
		log:     o.Logger,
		set:     metrics.NewSet(),
		gate:    closedGate{},
		steps:   &stack{log: o.Logger, timeout: o.Config.StopTimeout},
		failed:  make(chan error, 16),
		started: make(chan struct{}),
	}
	if o.Config.InsecureOpen {
		a.gate = auth.Open{}
	}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open() error {
	c := &a.opts.Config
	if err := c.Validate(); err != nil {
		return err
	}
	var err error
	if a.plans, err = openPlans(c, a.log.With("component", "pipelines"), a.set); err != nil {
		return err
	}
	if a.bridges, err = openBridges(c, a.log.With("component", "bridges"), a.set); err != nil {
		return err
	}
	if err := a.bind(); err != nil {
		return err
	}
	if a.remembered, err = readIdentity(c.Data); err != nil {
		return err
	}
	if c.UsesEmbedded() {
		return a.openBroker()
	}
	return nil
}

func (a *App) bind() error {
	c := &a.opts.Config
	l, err := listen(c)
	if err != nil {
		return err
	}
	limited := a.limitSockets(l)
	a.steps.push("listener", closing(limited))
	if a.listener, err = a.secure(limited); err != nil {
		return err
	}
	if !c.HasAdmin() {
		return nil
	}
	address, err := net.ResolveTCPAddr("tcp", c.AdminListen)
	if err != nil {
		return fmt.Errorf("admin_listen: %w", err)
	}
	if a.admin, err = bind("admin_listen", address); err != nil {
		return err
	}
	a.steps.push("admin listener", closing(a.admin))
	if !loopback(a.admin.Addr()) {
		return fmt.Errorf("admin_listen: %s is not on loopback", a.admin.Addr())
	}
	return nil
}

// closing closes a listener that its server may have closed before.
func closing(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func (a *App) openBroker() error {
	c := &a.opts.Config
	dir := c.Data
	if dir != "" {
		dir = filepath.Join(dir, "kafka")
	}
	broker, err := embedded.Open(embedded.Options{
		Dir: dir, Logger: a.log.With("component", "broker"), Metrics: a.set, Config: c.Embedded,
		Retention: embeddedRetention(c, foreseenPartitions(c, a.remembered)),
	})
	if errors.Is(err, embedded.ErrLocked) {
		return hinted{fmt.Errorf("data: %w", err), "stop the other weir, or choose another directory with --data"}
	}
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	a.broker = broker
	a.steps.push("broker", broker.Close)
	return nil
}

// Addr is the address that is listened on.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// URL is where a browser on this machine finds the dashboard.
func (a *App) URL() string {
	tcp := a.listener.Addr().(*net.TCPAddr)
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if a.opts.Config.TLS.CertFile != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, fmt.Sprint(tcp.Port)) + "/"
}

// Started is closed when all stages run. They may not all be ready yet; GET /readyz tells.
func (a *App) Started() <-chan struct{} { return a.started }

// Run serves until ctx ends or a part fails, then stops and returns the failure, if any, with what went
// wrong while stopping. It can be called once.
func (a *App) Run(ctx context.Context) error {
	err := a.run(ctx)
	if err != nil {
		a.log.Error("stopping", "cause", err)
	} else {
		a.log.Info("stopping")
	}
	return errors.Join(err, a.Close())
}

func (a *App) run(ctx context.Context) error {
	a.serveHTTP()
	err := a.startStages(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // asked to end meanwhile, which also is why it may have failed
	}
	if err != nil {
		return err
	}
	close(a.started)
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.failed:
		return err
	case <-a.brokerFailed():
		return hinted{a.broker.Err(), "make room on the disk and start again: nothing acknowledged is lost"}
	}
}

func (a *App) brokerFailed() <-chan struct{} {
	if a.broker == nil {
		return nil
	}
	return a.broker.Failed()
}

// Close stops what runs and gives back what New took. Calling it again returns the same.
func (a *App) Close() error {
	a.stopping.Store(true)
	return a.steps.unwind()
}

// kafkaOptions are the client's, for the embedded broker or the cluster.
func (a *App) kafkaOptions() kafka.Options {
	o := kafka.Options{Brokers: a.opts.Config.Kafka.Brokers}
	if a.broker != nil {
		o = a.broker.Options()
	}
	o.Logger, o.Metrics = a.log.With("component", "kafka"), a.set
	return o
}
