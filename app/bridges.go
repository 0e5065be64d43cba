package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"

	"github.com/VictoriaMetrics/metrics"

	"weir/auth"
	"weir/bridge"
	"weir/config"
	"weir/ingest"
	"weir/nodes"
	"weir/wire"
)

// bridgesFile is looked for in the data directory when no file is named.
const bridgesFile = "bridges.yaml"

// bridges follows the file of bridges.
type bridges struct {
	*follower[*bridge.Plan]
}

// openBridges reads the file that the configuration names. It is nil when there is none to follow.
func openBridges(c *config.Config, log *slog.Logger, set *metrics.Set) (*bridges, error) {
	named := c.Bridges.File != ""
	if !c.Has(config.RoleBridge) || !named && c.Data == "" {
		return nil, nil //nolint:nilnil // no bridges is what there is
	}
	path := c.Bridges.File
	if !named {
		path = filepath.Join(c.Data, bridgesFile)
	}
	b := &bridges{newFollower(declared{
		noun: "bridges", setting: "bridges.file", command: "weir bridge validate", path: path, most: bridge.MaxBytes,
	}, bridge.Parse, log)}
	switch err := b.open(); {
	case errors.Is(err, fs.ErrNotExist) && !named:
		b.take(nil, new(bridge.Plan))
	case err != nil:
		return nil, err
	}
	b.measure(set)
	return b, nil
}

// startBridges carries records of other topics into Weir, as the file says.
func (a *App) startBridges(b *build, registry *nodes.Registry, known *knownDevices) error {
	c := &a.opts.Config
	if !c.Has(config.RoleBridge) {
		return nil
	}
	s, err := bridge.New(bridge.Options{
		Config: c.Bridges, Client: b.client, Producer: b.producer, Partitions: b.id.Partitions, Held: held(c, registry),
		Labels: known.Labels, Lateness: c.Ingest.Lateness, MaxFuture: c.Ingest.MaxFuture, MemberName: memberName(),
		Logger: a.log.With("component", "bridges"), Metrics: a.set,
	})
	if err != nil {
		return err
	}
	b.routes.HandleFunc("GET /v1/bridges", auth.Hosts, a.bridges.handle(s))
	if a.bridges == nil {
		return nil
	}
	s.Apply(a.bridges.Current())
	a.background("bridges", s.Run)
	a.background("file of bridges", func(ctx context.Context) error {
		a.bridges.follow(ctx, reactions{changed: func() { s.Apply(a.bridges.Current()) }})
		return nil
	})
	return nil
}

// held tells which partitions take no readings for the moment: those that ingest refuses, too.
func held(c *config.Config, registry *nodes.Registry) func(partition int) bool {
	lags := admissionLags{registry}
	return func(partition int) bool {
		lag, known := lags.Lag(partition)
		return known && c.Ingest.Admission.Refuses(lag, ingest.Retention(c.Retention.Readings))
	}
}

// bridgesAnswer is the answer of GET /v1/bridges.
type bridgesAnswer struct {
	// File is what is followed, Wanted what its newest good content is known by; null: no file is followed here.
	File   *string `json:"file"`
	Wanted *string `json:"wanted"`
	// OK: the newest attempt to read the file was good. Faults are what was wrong else.
	OK     bool     `json:"ok"`
	Faults []string `json:"faults"`
	// Loaded is when the file was good last (µs).
	Loaded  *int64         `json:"loaded_us"`
	Bridges []bridge.State `json:"bridges"`
}

func (b *bridges) handle(s *bridge.Server) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		out := bridgesAnswer{OK: true, Faults: []string{}, Bridges: s.State()}
		if b != nil {
			wanted := b.Current().Hash()
			good, faults := b.state()
			loaded := good.UnixMicro()
			out.File, out.Wanted, out.Loaded, out.OK = &b.path, &wanted, &loaded, len(faults) == 0
			for _, f := range faults {
				out.Faults = append(out.Faults, f.Error())
			}
		}
		wire.WriteJSON(w, http.StatusOK, out)
	}
}
