package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/nodes"
	"weir/pipeline"
	"weir/telemetry"
	"weir/wire"
)

const (
	// hopHeader marks a question that another process has passed on: it is not passed on again.
	hopHeader = "Weir-Forwarded-By"
	// lookTimeout bounds the answer of this process, passTimeout that of another one.
	lookTimeout = 5 * time.Second
	passTimeout = lookTimeout + time.Second
	// maxPassed bounds an answer that is passed on.
	maxPassed = 1 << 20
)

// seriesView answers what the pipeline knows of one series: from this process if it owns the partition, else by asking
// the one that does, with the credentials of whoever asks.
type seriesView struct {
	pipeline   *pipeline.Pipeline // nil: this process has none
	nodes      func() []*nodes.Node
	self       string
	partitions int
	client     *http.Client
	log        *slog.Logger
}

func (a *App) startSeries(b *build, p *pipeline.Pipeline, registry *nodes.Registry, self string) {
	v := a.newSeriesView(b.id.Partitions, p, registry.Nodes, self)
	b.routes.HandleFunc("GET /v1/series/{series...}", auth.SignedIn, v.handle)
}

func (a *App) newSeriesView(partitions int, p *pipeline.Pipeline, others func() []*nodes.Node, self string) *seriesView {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // the others are near
	a.steps.push("questions to other nodes", func() error { transport.CloseIdleConnections(); return nil })
	return &seriesView{
		pipeline: p, nodes: others, self: self, partitions: partitions, log: a.log.With("component", "series"),
		client: &http.Client{
			Transport: transport, Timeout: passTimeout,
			// Credentials go where the list of nodes says, and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (v *seriesView) handle(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("series")
	device, _, ok := telemetry.SplitSeries(name)
	switch {
	case !auth.PrincipalOf(r.Context()).MayReadPath(name):
		auth.Refuse(w, wire.NewError(wire.CodeForbidden, ""))
		return
	case !ok:
		wire.Refuse(w, wire.NewError(wire.CodeSeriesUnknown, ""))
		return
	}
	partition := kafka.PartitionFor(device, v.partitions)
	x, err := v.look(r.Context(), partition, name)
	switch {
	case err == nil:
		redact(x, auth.PrincipalOf(r.Context()))
		wire.WriteJSON(w, http.StatusOK, x)
	case errors.Is(err, pipeline.ErrNoSeries):
		wire.Refuse(w, wire.NewError(wire.CodeSeriesUnknown, ""))
	case !errors.Is(err, pipeline.ErrNotOwned):
		if r.Context().Err() == nil {
			v.log.Warn("series not looked into", "series", name, "error", err)
		}
		wire.Refuse(w, wire.NewError(wire.CodeOverloaded, ""))
	case r.Header.Get(hopHeader) != "":
		wire.Refuse(w, wire.NewError(wire.CodeNotOwned, ""))
	default:
		v.pass(w, r, partition)
	}
}

func (v *seriesView) look(ctx context.Context, partition int, name string) (*pipeline.Inspection, error) {
	if v.pipeline == nil {
		return nil, pipeline.ErrNotOwned
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return v.pipeline.Inspect(ctx, partition, name)
}

// owner is the address of the process that reports the partition, the newest report of several.
func (v *seriesView) owner(partition int) string {
	var owner *nodes.Node
	for _, n := range v.nodes() {
		if n.ID == v.self || n.Address == "" || owner != nil && owner.Time >= n.Time {
			continue
		}
		for i := range n.Partitions {
			if n.Partitions[i].Partition == partition {
				owner = n
			}
		}
	}
	if owner == nil {
		return ""
	}
	return owner.Address
}

// pass asks the owner.
func (v *seriesView) pass(w http.ResponseWriter, r *http.Request, partition int) {
	address := v.owner(partition)
	if address == "" {
		wire.Refuse(w, wire.NewError(wire.CodeNotOwned, ""))
		return
	}
	status, kind, body, err := v.ask(r, address)
	switch {
	case err != nil:
		if r.Context().Err() == nil {
			v.log.Warn("owner not asked", "address", address, "partition", partition, "error", err)
		}
		wire.Refuse(w, wire.NewError(wire.CodeNotOwned, ""))
	case kind == "application/json" && (status == http.StatusOK || status == http.StatusForbidden || status == http.StatusNotFound):
		wire.WriteEncoded(w, status, body)
	default: // such as credentials that only this process can see: a client certificate
		v.log.Warn("owner did not answer", "address", address, "partition", partition, "status", status)
		wire.Refuse(w, wire.NewError(wire.CodeNotOwned, ""))
	}
}

func (v *seriesView) ask(r *http.Request, address string) (status int, kind string, body []byte, err error) {
	base, err := url.Parse(address)
	if err != nil {
		return 0, "", nil, err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, base.JoinPath(r.URL.EscapedPath()).String(), nil)
	if err != nil {
		return 0, "", nil, err
	}
	req.Header.Set(hopHeader, v.self)
	for _, name := range []string{"Authorization", "Cookie"} {
		if value := r.Header.Get(name); value != "" {
			req.Header.Set(name, value)
		}
	}
	if token := r.URL.Query().Get("access_token"); token != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+token) // not in an address, which is logged
	}
	res, err := v.client.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxPassed))
	return res.StatusCode, res.Header.Get("Content-Type"), body, err
}
