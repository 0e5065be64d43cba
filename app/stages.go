package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"weir/auth"
	"weir/config"
	"weir/ingest"
	"weir/internal/remote"
	"weir/kafka"
	"weir/nodes"
	"weir/pipeline"
	"weir/push"
	"weir/rooms"
	"weir/wire"
)

// startStages connects and starts the stages of the process's roles, from the end of the flow to its
// beginning: whoever reads is there before somebody writes.
func (a *App) startStages(ctx context.Context) error {
	c := &a.opts.Config
	client, err := kafka.New(a.kafkaOptions())
	if err != nil {
		return err
	}
	a.steps.push("kafka client", func() error { client.Close(); return nil })
	id, producer, err := a.connect(ctx, client)
	if err != nil {
		return err
	}
	a.log.Info("connected", "epoch", id.Epoch, "partitions", id.Partitions)
	if a.broker != nil {
		f := newFloors(client, a.log)
		a.background("floors", func(ctx context.Context) error { f.run(ctx, id.Partitions); return nil })
		a.broker.SetFloor(f.floor)
	}
	a.steps.push("producer", producer.Close)

	proxies, err := remote.ParseProxies(c.TrustedProxies)
	if err != nil {
		return fmt.Errorf("trusted_proxies: %w", err)
	}
	if err := a.startAuth(ctx, client, producer, id.Partitions, proxies); err != nil {
		return err
	}
	b := build{
		client: client, producer: producer, id: id, proxies: proxies,
		routes: a.baseRoutes(), checks: []check{a.kafkaCheck(client)},
	}
	if err := a.startRoles(ctx, &b); err != nil {
		return err
	}
	if a.keeper != nil {
		a.keeper.Routes(b.routes)
	}
	a.checks.Store(&b.checks)
	a.routes.Store(b.routes)
	return nil
}

// build is what the stages are made from, and what they add while the process starts.
type build struct {
	client   *kafka.Client
	producer *kafka.Producer
	id       identity
	proxies  remote.Proxies

	routes  *auth.Router
	checks  []check
	catalog catalog
	nodes   atomic.Pointer[nodes.Registry]
}

// startRoles starts the stages of the process's roles, and what serves them all: nodes and devices.
func (a *App) startRoles(ctx context.Context, b *build) error {
	c := &a.opts.Config
	t := a.newTable(b.client, b.producer, wire.TopicDevices, b.id.Partitions)
	self := a.self()
	if c.Has(config.RolePush) {
		messages, err := a.startRooms(ctx, b, self.ID)
		if err != nil {
			return err
		}
		s, err := a.startPush(b, messages)
		if err != nil {
			return fmt.Errorf("push: %w", err)
		}
		if err := a.startAlerts(b, s, t); err != nil {
			return err
		}
	}
	var p *pipeline.Pipeline
	var enrich *enricher
	if c.Has(config.RolePipeline) {
		var err error
		enrich = a.startEnricher(b)
		if p, err = a.startPipeline(b, enrich); err != nil {
			return fmt.Errorf("pipeline: %w", err)
		}
	}
	registry, err := a.startNodes(b.client, b.producer, b.id.Partitions, p, self)
	if err != nil {
		return err
	}
	b.nodes.Store(registry)
	registry.Routes(b.routes)
	a.startSeries(b, p, registry, self.ID)
	if p != nil {
		a.startPlans(b, p, registry, self.ID)
		a.startBacktests(b)
	}
	known, err := a.startDevices(ctx, b, t, registry, self.ID)
	if err != nil {
		return err
	}
	if enrich != nil {
		enrich.meta.Store(known.Registry)
	}
	b.catalog.open(known.Registry)
	if err := a.startBridges(b, registry, known); err != nil {
		return err
	}
	if c.Has(config.RoleIngest) {
		return a.startIngest(b, registry, known)
	}
	return nil
}

func (a *App) startPush(b *build, messages *rooms.Hub) (*push.Server, error) {
	c := &a.opts.Config
	s, err := push.New(push.Options{
		Logger: a.log.With("component", "push"), Metrics: a.set, Config: c.Push, Kafka: b.client,
		Epoch: b.id.Epoch, Origin: a.origins(), Gate: a.gate, Proxies: b.proxies, Insecure: c.InsecureOpen,
		Catalog: &b.catalog, Rooms: messages, Presence: messages.Presence,
	})
	if err != nil {
		return nil, err
	}
	b.catalog.push.Store(s)
	s.Routes(b.routes)
	a.dashboard(b.routes)
	b.checks = append(b.checks, check{config.RolePush, wait(s.Ready, "loading the newest updates")})
	a.background("push", s.Run)
	return s, nil
}

func (a *App) startPipeline(b *build, enrich *enricher) (*pipeline.Pipeline, error) {
	o := a.pipelineOptions(b.client)
	o.Enricher = enrich
	p, err := pipeline.New(o)
	if err != nil {
		return nil, err
	}
	b.checks = append(b.checks, check{config.RolePipeline, wait(p.Ready, "no partition is owned and restored yet")})
	a.background("pipeline", p.Run)
	return p, nil
}

func (a *App) startIngest(b *build, registry *nodes.Registry, known *knownDevices) error {
	c := &a.opts.Config
	hub, err := a.startCommands(b.client, b.producer, b.id.Partitions, b.routes)
	if err != nil {
		return err
	}
	s, err := ingest.New(ingest.Options{
		Commands: hub, Hello: known, Presence: known, Tracker: known, Labels: known.Labels,
		Config: c.Ingest, Producer: b.producer, Partitions: b.id.Partitions, Origins: a.origins(),
		Gate: a.gate, BufferBytes: c.Kafka.MaxBufferedBytes, Lags: admissionLags{registry},
		Retention: ingest.Retention(c.Retention.Readings), Proxies: b.proxies,
		Logger: a.log.With("component", "ingest"), Metrics: a.set,
	})
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	known.submit.Store(s)
	s.Routes(b.routes)
	b.checks = append(b.checks, check{config.RoleIngest, func(context.Context) error { return s.Ready() }})
	a.background("ingest", s.Run)
	a.startDeadLetters(b.client, b.producer, b.id.Partitions, s, b.routes)
	return nil
}

// connect waits for the cluster, makes the topics and learns their identity. The producer it opens is
// ingest's, too.
func (a *App) connect(ctx context.Context, client *kafka.Client) (identity, *kafka.Producer, error) {
	c := &a.opts.Config
	limit := fmt.Errorf("kafka: not reached within %s (kafka.start_timeout)", c.Kafka.StartTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, c.Kafka.StartTimeout, limit)
	defer cancel()
	fail := func(err error) (identity, *kafka.Producer, error) {
		if errors.Is(context.Cause(ctx), limit) {
			err = hinted{errors.Join(limit, err), "is it running, and is its address in --kafka-brokers right?"}
		}
		return identity{}, nil, err
	}
	partitions, err := ensureTopics(ctx, client, c)
	if err != nil {
		return fail(err)
	}
	producer, err := client.NewProducer(ctx, kafka.ProducerOptions{
		Linger: c.Kafka.Linger, DeliveryTimeout: c.Kafka.DeliveryTimeout, MaxBufferedBytes: c.Kafka.MaxBufferedBytes,
		CloseTimeout: max(c.StopTimeout/2, time.Millisecond),
	})
	if err != nil {
		return fail(err)
	}
	id, err := claimIdentity(ctx, client, producer, partitions)
	if err == nil {
		err = id.check(a.remembered, c.Data)
	}
	if err == nil {
		err = id.write(c.Data)
	}
	if err != nil {
		_ = producer.Close()
		return fail(err)
	}
	return id, producer, nil
}

// memberName is what Kafka's tools call this process.
func memberName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "weir"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}

func (a *App) pipelineOptions(client *kafka.Client) pipeline.Options {
	o := pipeline.Options{
		Client: client, Config: a.opts.Config.Pipeline, MemberName: memberName(),
		Logger: a.log.With("component", "pipeline"), Metrics: a.set,
	}
	if a.broker != nil {
		o.Trimmer = a.broker
	}
	if a.plans != nil {
		o.Plans = a.plans
	}
	return o
}

// origins is the rule for pages. It holds for an open server, too: who can reach that one is up to the network,
// but a page reaches it through the browser of whoever opens the page.
func (a *App) origins() auth.OriginPolicy {
	c := &a.opts.Config
	return auth.OriginPolicy{Allowed: c.AllowedOrigins, AllowAll: c.AllowsEveryOrigin()}
}

// await waits until a part that runs in the background is ready. One that fails meanwhile never will be.
func (a *App) await(ctx context.Context, name string, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case err := <-a.failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", name, ctx.Err())
	}
}

// background runs a part until its turn to stop comes. If it ends before, the process fails.
func (a *App) background(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			if err == nil {
				err = errors.New("ended unexpectedly")
			}
			select {
			case a.failed <- fmt.Errorf("%s: %w", name, err):
			default:
			}
			err = nil // told once
		}
		ended <- err
	}()
	a.steps.push(name, func() error { cancel(); return <-ended })
}
