package push

import (
	"context"
	"errors"
	"log/slog"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/flate"
	"github.com/lxzan/gws"

	"weir/auth"
	"weir/internal/remote"
	"weir/internal/wsframe"
	"weir/kafka"
	"weir/wire"
)

// Options of a Server.
type Options struct {
	Logger  *slog.Logger // nil discards
	Metrics *metrics.Set // nil: a private set
	Config  Config
	// Kafka is where updates, alerts and latest are read from. The caller closes it after Run.
	Kafka *kafka.Client
	// Epoch names the topics' incarnation.
	Epoch string
	// Origin says from which pages a live connection may come.
	Origin auth.OriginPolicy
	// Gate tells who asks; nil: an open server.
	Gate auth.Gate
	// Catalog knows what dictionaries tell of series beside their names; nil: nothing. Describe says what is new in it.
	Catalog Catalog
	// Proxies are believed when they say where a request comes from.
	Proxies remote.Proxies
	// Presence is told when a session falls silent (push.away_after) and when it is heard of again, by one goroutine, and
	// must not wait. nil: nobody is. The end of a session is not told.
	Presence func(session string, away bool)
	// Rooms takes what is about rooms and messages; nil: those types are not known.
	Rooms Rooms
	// Insecure is told to clients: the server is open to the network without credentials.
	Insecure bool
}

// Server pushes updates and alerts to live clients.
type Server struct {
	log      *slog.Logger
	cfg      Config
	epoch    string
	origin   auth.OriginPolicy
	gate     auth.Gate
	proxies  remote.Proxies
	insecure bool
	presence func(session string, away bool)
	rooms    Rooms
	hub      *hub
	source   func(context.Context) error // feeds the hub until its context ends
	conns    registry
	pressure pressure
	polls    chan struct{} // turns of requests that have waited for news

	descriptions *descriptions

	upgraders map[agreed]*gws.Upgrader // by what handshakes usually come to
	inflater  wsframe.Inflater         // of what clients compress
}

// New checks the options. Nothing runs before Run.
func New(opts Options) (*Server, error) {
	if opts.Kafka == nil {
		return nil, errors.New("push: Options.Kafka is missing")
	}
	s, err := build(opts)
	if err != nil {
		return nil, err
	}
	src := newSource(s, opts.Kafka)
	s.source, s.hub.window.readBack = src.run, src.readBack
	return s, nil
}

func build(opts Options) (*Server, error) {
	if err := opts.Config.Validate(); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Gate == nil {
		opts.Gate = auth.Open{}
	}
	if opts.Metrics == nil {
		opts.Metrics = metrics.NewSet()
	}
	if opts.Catalog == nil {
		opts.Catalog = nothingKnown{}
	}
	s := &Server{
		log: opts.Logger, cfg: opts.Config, epoch: opts.Epoch,
		origin: opts.Origin, gate: opts.Gate, proxies: opts.Proxies, insecure: opts.Insecure, presence: opts.Presence, rooms: opts.Rooms,
		hub: newHub(opts.Logger, newMeters(opts.Metrics), opts.Epoch, bounds{
			subscriptions: opts.Config.MaxSubscriptions, series: opts.Config.MaxSeries,
			views: opts.Config.MaxViews, viewRows: opts.Config.MaxViewRows,
			accountViews: opts.Config.MaxViewsPerPrincipal, accountRows: opts.Config.MaxViewRowsPerPrincipal, window: opts.Config.ResumeWindowBytes,
			accountReadBack: opts.Config.MaxReadBackPerPrincipal,
		}),
		conns:        newRegistry(opts.Config),
		pressure:     newPressure(),
		polls:        make(chan struct{}, maxPollsAtOnce),
		descriptions: newDescriptions(),
	}
	s.shareGauges(opts.Metrics)
	s.hub.catalog = opts.Catalog
	s.hub.deflater.least = opts.Config.CompressMinBytes
	s.upgraders = make(map[agreed]*gws.Upgrader)
	for _, protocol := range []string{"", wire.LiveProtocol, wire.LiveProtocolProto} {
		for _, deflate := range []bool{false, true} {
			a := agreed{protocol, deflate}
			s.upgraders[a] = s.newUpgrader(a)
		}
	}
	return s, nil
}

func (s *Server) newUpgrader(a agreed) *gws.Upgrader {
	var protocols []string
	if a.protocol != "" {
		protocols = []string{a.protocol}
	}
	return gws.NewUpgrader(gws.BuiltinEventHandler{}, &gws.ServerOption{
		HandshakeTimeout: s.cfg.HandshakeTimeout,
		SubProtocols:     protocols,
		// gws completes handshakes and no more, so the one compressor that it makes is of the smallest kind. What clients
		// compress stands by itself, message by message.
		PermessageDeflate: gws.PermessageDeflate{Enabled: a.deflate, PoolSize: 1, Level: flate.HuffmanOnly},
		NewSession:        func() gws.SessionStorage { return nil },
	})
}

// Routes adds push's endpoints.
func (s *Server) Routes(r *auth.Router) {
	r.HandleFunc("GET /v1/live", auth.Deferred, s.live)
	r.HandleFunc("GET /v1/events", auth.SignedIn, s.serveEvents)
	r.HandleFunc("GET /v1/snapshot", auth.SignedIn, s.snapshot)
	r.HandleFunc("GET /v1/series", auth.SignedIn, s.listSeries)
	r.HandleFunc("GET /v1/connections", auth.Operators, s.listConnections)
}

// Ready reports whether the state is complete: weir.latest is read, and the tails have passed what was
// there when they began. Connections are taken before; their subscriptions wait for it. Once Run's context
// has ended it is false.
func (s *Server) Ready() bool { return s.hub.isReady() && !s.conns.isDraining() }

// Run reads the topics and serves connections until ctx ends. Then it sends what is left, says goodbye,
// and returns when all connections have ended, at the latest after Config.DrainTimeout. An error means
// that the topics cannot be read.
func (s *Server) Run(ctx context.Context) error {
	s.hub.wg.Add(1) // so that the count is not zero while connections come and go
	s.conns.begin()
	sweeping, endSweep := context.WithCancel(context.WithoutCancel(ctx))
	s.hub.wg.Go(func() { s.sweep(sweeping) })
	s.hub.wg.Go(func() { s.describe(sweeping) })

	unhook := context.AfterFunc(ctx, func() { s.conns.end() })
	err := s.source(ctx)
	unhook()

	s.drain(s.conns.end())
	endSweep()
	s.hub.wg.Done()
	s.hub.wg.Wait()
	return err
}
