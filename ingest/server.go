package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/auth"
	"weir/ingest/mqtt"
	"weir/internal/remote"
	"weir/kafka"
	"weir/wire"
)

// Options are a Server's dependencies.
type Options struct {
	Config Config
	// Producer is shared by all connections.
	Producer Producer
	// Partitions is P, of weir.readings and weir.dead-letters alike.
	Partitions int
	// Origins says which web pages may send readings.
	Origins auth.OriginPolicy
	// Gate tells who sends; nil: an open server.
	Gate auth.Gate
	// BufferBytes is what the producer may hold unacknowledged; default 64 MiB.
	BufferBytes int
	// Lags tells how far the pipeline is behind; nil: frames are taken whatever it does. Retention is that of
	// weir.readings, which nothing accepted may outlive unread.
	Lags      Lags
	Retention Retention
	// Tracker is told what became of each device's frames; nil: nobody is.
	Tracker Tracker
	// Proxies are those whose word on a client's address is taken.
	Proxies remote.Proxies
	// Hello and CommandResults take the messages of those types; nil: nobody does, and they are refused. Commands brings
	// commands to devices, and takes their results if CommandResults is nil; nil: there are none.
	Hello Hello
	// Presence is told which devices are connected, Labels tells which numbers the values of a metric are named by;
	// nil: none.
	Presence       Presence
	Labels         func(device, metric string) map[string]float64
	CommandResults CommandResults
	Commands       mqtt.Commands

	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Server is the ingest stage.
type Server struct {
	cfg        Config
	producer   Producer
	partitions int
	origins    auth.OriginPolicy
	gate       auth.Gate
	logger     *slog.Logger
	metrics    *instruments
	sessions   *sessions
	upgraders  upgraders
	inflaters  *inflaters
	encoders   []sync.Pool // by format; for requests that declare nothing else
	templates  *wire.Templates
	*gates

	proxies    remote.Proxies
	addresses  *places[netip.Prefix]
	principals *places[string]
	hello      Hello
	presence   Presence
	labels     func(device, metric string) map[string]float64
	results    CommandResults
	mqtt       *mqtt.Options
	commands   mqtt.Commands

	connections, requests, inflight atomic.Int64
	strangers                       atomic.Int64 // connections that have yet to say who they are
	strangersAt                     *places[netip.Prefix]

	pending *budget
	// stopped ends when a stop begins: nobody is to wait for room any more.
	stopped context.Context
	stop    context.CancelFunc

	mu      sync.Mutex
	phase   phase
	conns   map[*conn]struct{}
	work    sync.WaitGroup // connections and requests
	aborted chan struct{}  // closed when a stop waits no longer
}

type phase uint8

const (
	starting phase = iota
	serving
	stopping
)

// New checks the options; nothing is accepted before Run.
func New(o Options) (*Server, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Producer == nil || o.Partitions <= 0 {
		return nil, errors.New("ingest: a producer and the number of partitions are required")
	}
	s := &Server{
		cfg:        o.Config,
		producer:   o.Producer,
		partitions: o.Partitions,
		origins:    o.Origins,
		gate:       o.Gate,
		logger:     o.Logger,
		sessions:   newSessions(o.Config.DedupeSessions),
		gates:      newGates(&o),
		proxies:    o.Proxies,
		addresses:  newPlaces[netip.Prefix](o.Config.MaxConnectionsPerAddress),
		principals: newPlaces[string](o.Config.MaxConnectionsPerPrincipal),
		hello:      o.Hello,
		presence:   o.Presence,
		labels:     o.Labels,
		results:    o.CommandResults,
		encoders:   make([]sync.Pool, len(deviceFormats)+1),
		conns:      make(map[*conn]struct{}),
		pending:    newBudget(o.Config.MaxPendingBytes),
		aborted:    make(chan struct{}),
	}
	s.strangersAt = newPlaces[netip.Prefix](max(1, o.Config.MaxUnauthenticated/strangersShare))
	var err error
	if s.inflaters, err = newInflaters(o.Config.MaxFrameBytes); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	if s.templates, err = wire.ParseTemplates(o.Config.Templates); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	s.stopped, s.stop = context.WithCancel(context.Background())
	if s.gate == nil {
		s.gate = auth.Open{}
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	s.metrics = newInstruments(o.Metrics, s)
	s.upgraders = s.newUpgraders()
	s.mqtt = s.mqttOptions(o.Commands)
	if s.commands = o.Commands; s.results == nil && o.Commands != nil {
		s.results = commandResults{o.Commands}
	}
	return s, nil
}

// Routes registers the stage's endpoints.
func (s *Server) Routes(r *auth.Router) {
	r.HandleFunc("GET /v1/ingest", auth.Deferred, s.handleSocket)
	r.HandleFunc("GET /mqtt", auth.Deferred, s.handleMQTT)
	r.HandleFunc("POST /v1/readings", auth.SignedIn, s.handlePost)
}

// Run accepts devices until ctx ends; then it takes no more frames, waits (DrainTimeout at most) until
// those taken have their receipts, closes the connections as draining, and returns.
func (s *Server) Run(ctx context.Context) error {
	s.enterPhase(serving)
	sweep := time.NewTicker(max(min(s.cfg.IdleTimeout/8, s.cfg.MessageTimeout/8, s.cfg.AuthTimeout/8, holdGrace/4), time.Millisecond))
	defer sweep.Stop()
	refresh := time.NewTicker(refreshAdmission)
	defer refresh.Stop()
	s.admission.refresh(s.written.recordBytes())
	for {
		select {
		case <-sweep.C:
			s.sweep()
		case <-refresh.C:
			s.admission.refresh(s.written.recordBytes())
		case <-ctx.Done():
			s.drain()
			return nil
		}
	}
}

// Ready is nil while devices are being served.
func (s *Server) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case serving:
		return nil
	case stopping:
		return errors.New("draining")
	default:
		return errors.New("not started")
	}
}

func (s *Server) enterPhase(p phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = p
}

// enter counts a connection or request among the work a stop waits for. The error is for the client.
func (s *Server) enter() *wire.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case serving:
		s.work.Add(1)
		return nil
	case stopping:
		s.metrics.refusedDraining.Inc()
		return wire.NewError(wire.CodeDraining, "")
	default:
		return wire.NewError(wire.CodeNotReady, "")
	}
}

func (s *Server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.phase == stopping {
		c.draining.Store(true)
		c.signal()
	}
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) each(do func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		do(c)
	}
}

// sweep pings connections that have been silent for half the idle timeout and gives up those silent for all
// of it, and those that take too long over a message, or keep room from others that they hardly use. One ticker
// for all connections: no timer is touched per frame. A connection that is not being read cannot be blamed.
func (s *Server) sweep() {
	now := nowMicros()
	pressed := s.pending.pressed(now)
	idle, upload := s.cfg.IdleTimeout.Microseconds(), s.cfg.MessageTimeout.Microseconds()
	s.each(func(c *conn) {
		late := c.notices(now)
		if c.busy.Load() || c.verdict.Load() != 0 {
			return
		}
		silent, began := now-c.lastHeard.Load(), c.began.Load()
		c.lighten(silent)
		switch {
		case late:
			c.giveUp(authLate)
		case began != 0 && now-began > upload, pressed && c.dawdles(now):
			c.giveUp(tooSlow)
		case c.mqtt != nil && c.mqtt.overdue(now):
			c.giveUp(sessionOver)
		case silent > idle:
			c.giveUp(idleOut)
		case silent >= idle/2:
			c.pingDue.Store(true)
			c.signal()
		}
	})
}

// drain waits for the receipts of what was taken. Who is not done in time is cut off: the device has no
// receipt and sends again.
func (s *Server) drain() {
	s.enterPhase(stopping)
	s.stop()
	s.each(func(c *conn) {
		c.draining.Store(true)
		c.signal()
		c.nudge()
	})
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	deadline := time.NewTimer(s.cfg.DrainTimeout)
	defer deadline.Stop()
	select {
	case <-done:
		return
	case <-deadline.C:
	}
	s.logger.Warn("devices cut off without receipts", "after", s.cfg.DrainTimeout,
		"connections", s.connections.Load(), "frames", s.inflight.Load())
	close(s.aborted)
	s.each(func(c *conn) {
		c.cancel()
		c.net.abort()
	})
	<-done
}

// storeAlone stores a frame outside of any connection's ring: submit hands it to an encoder. It returns the receipt when
// all of the frame's records are acknowledged, or why nobody waits for that any longer.
func (s *Server) storeAlone(ctx context.Context, will bool, submit func(*receipt)) (*receipt, error) {
	complete := make(chan struct{})
	r := newReceipt(func() { close(complete) })
	r.begin(0, s.cfg.Credit, nowMicros())
	r.will = will
	s.inflight.Add(1)
	defer s.inflight.Add(-1)
	submit(r)
	r.release()
	select {
	case <-complete:
		s.settle(r, nowMicros())
		return r, nil
	case <-s.aborted:
		return nil, errNotStored
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// settle counts a receipt that has been given.
func (s *Server) settle(r *receipt, now int64) {
	m := s.metrics
	m.receiptLatency.Update(float64(now-r.started) / 1e6)
	if err := r.cause(); err != nil {
		byCode(m.unstored, kafka.Classify(err)).Inc()
		return
	}
	if r.DryRun {
		return
	}
	m.accepted.Add(r.Accepted)
	m.duplicates.Add(r.Duplicate)
	m.late.Add(r.Late)
}

func (s *Server) decoderOptions(device string) wire.DecoderOptions {
	return wire.DecoderOptions{
		MaxReadings:   s.cfg.MaxReadings,
		DefaultDevice: device,
		MaxFuture:     s.cfg.MaxFuture,
		Now:           nowMicros,
		Templates:     s.templates,
		Labels:        s.labels,
	}
}

// limit takes a place of count, of which there are limit; the caller gives it back.
func limit(count *atomic.Int64, most int) bool {
	if count.Add(1) > int64(most) {
		count.Add(-1)
		return false
	}
	return true
}
