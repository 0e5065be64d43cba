package ingest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/lxzan/gws"

	"weir/auth"
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
	Gate    auth.Gate
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
	statuses   map[string]int // of wire's codes
	upgrader   *gws.Upgrader
	encoders   sync.Pool // for requests without a default device

	connections, requests, inflight atomic.Int64

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
		statuses:   make(map[string]int),
		conns:      make(map[*conn]struct{}),
		pending:    newBudget(o.Config.MaxPendingBytes),
		aborted:    make(chan struct{}),
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
	for _, c := range wire.Codes() {
		s.statuses[c.Code] = c.Status
	}
	s.encoders.New = func() any { return newEncoder(s, "") }
	s.upgrader = s.newUpgrader()
	return s, nil
}

// Routes registers the stage's endpoints.
func (s *Server) Routes(r *auth.Router) {
	r.HandleFunc("GET /v1/ingest", auth.Deferred, s.handleSocket)
	r.HandleFunc("POST /v1/readings", auth.SignedIn, s.handlePost)
}

// Run accepts devices until ctx ends; then it takes no more frames, waits (DrainTimeout at most) until
// those taken have their receipts, closes the connections as draining, and returns.
func (s *Server) Run(ctx context.Context) error {
	s.enterPhase(serving)
	sweep := time.NewTicker(max(min(s.cfg.IdleTimeout/8, s.cfg.MessageTimeout/8, holdGrace/4), time.Millisecond))
	defer sweep.Stop()
	for {
		select {
		case <-sweep.C:
			s.sweep()
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
		if c.busy.Load() {
			return
		}
		silent, began := now-c.lastHeard.Load(), c.began.Load()
		switch {
		case began != 0 && now-began > upload, pressed && c.dawdles(now):
			c.verdict.Store(tooSlow)
		case silent > idle:
			c.verdict.Store(idleOut)
		case silent >= idle/2:
			c.pingDue.Store(true)
		default:
			return
		}
		c.signal()
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

// settle counts a receipt that has been given.
func (s *Server) settle(r *receipt, now int64) {
	m := s.metrics
	m.receiptLatency.Update(float64(now-r.started) / 1e6)
	if err := r.cause(); err != nil {
		byCode(m.unstored, kafka.Classify(err)).Inc()
		return
	}
	m.accepted.Add(r.Accepted)
	m.duplicates.Add(r.Duplicate)
}

func (s *Server) decoderOptions(device string) wire.DecoderOptions {
	return wire.DecoderOptions{
		MaxReadings:   s.cfg.MaxReadings,
		DefaultDevice: device,
		MaxFuture:     s.cfg.MaxFuture,
		Now:           nowMicros,
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
