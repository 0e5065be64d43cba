package app

import (
	"context"
	"net/http"

	"weir/auth"
	"weir/backtest"
	"weir/nodes"
	"weir/pipeline"
	"weir/pipeline/plan"
	"weir/wire"
)

// plansAnswer is the answer of GET /v1/pipelines.
type plansAnswer struct {
	// File is what is followed, Wanted what its newest good content is known by; null: no file is followed here, and
	// whatever is in force stays.
	File   *string `json:"file"`
	Wanted *string `json:"wanted"`
	// OK: the newest attempt to read the file was good. Faults are what was wrong else.
	OK     bool     `json:"ok"`
	Faults []string `json:"faults"`
	// Loaded is when the file was good last (µs).
	Loaded     *int64            `json:"loaded_us"`
	Partitions []partitionOfPlan `json:"partitions"`
}

// partitionOfPlan tells what a partition follows. It is known of those that this process owns; of others, who does.
type partitionOfPlan struct {
	Partition int     `json:"partition"`
	InForce   *string `json:"in_force"`
	Owner     string  `json:"owner,omitempty"`
}

// startPlans has the pipeline's plan follow the file, and tells about it.
func (a *App) startPlans(b *build, p *pipeline.Pipeline, registry *nodes.Registry, self string) {
	view := &plansView{plans: a.plans, pipeline: p, nodes: registry.Nodes, self: self, partitions: b.id.Partitions}
	b.routes.HandleFunc("GET /v1/pipelines", auth.Hosts, view.handle)
	if a.plans == nil {
		return
	}
	a.plans.unmatched = func(ctx context.Context, current *plan.Plan) { a.warnUnmatched(ctx, p, b.id.Partitions, current) }
	a.background("pipelines", a.plans.run)
}

// startBacktests lets operators try pipelines on what is stored.
func (a *App) startBacktests(b *build) {
	api := backtest.NewAPI(backtest.APIOptions{Client: b.client, Config: a.opts.Config.Pipeline, Logger: a.log.With("component", "backtest")})
	api.Routes(b.routes)
	a.steps.push("backtests", func() error { api.Close(); return nil })
}

// warnUnmatched tells the patterns that select no series there is. Without all partitions, nobody here could know.
func (a *App) warnUnmatched(ctx context.Context, p *pipeline.Pipeline, partitions int, current *plan.Plan) {
	var names []string
	for partition := range partitions {
		list, err := p.Names(ctx, partition)
		if err != nil {
			a.log.Debug("patterns of the pipelines not checked: other processes own a part of the series", "error", err)
			return
		}
		names = append(names, list...)
	}
	each := func(yield func(string) bool) {
		for _, name := range names {
			if !yield(name) {
				return
			}
		}
	}
	for _, pattern := range current.Unmatched(each) {
		a.log.Warn("a pattern of the pipelines selects nothing yet", "file", a.plans.path, "pattern", pattern, "series", len(names))
	}
}

type plansView struct {
	plans      *plans
	pipeline   *pipeline.Pipeline
	nodes      func() []*nodes.Node
	self       string
	partitions int
}

func (v *plansView) handle(w http.ResponseWriter, r *http.Request) {
	out := plansAnswer{OK: true, Faults: []string{}, Partitions: []partitionOfPlan{}}
	if v.plans != nil {
		wanted := v.plans.Current().Hash()
		good, faults := v.plans.state()
		loaded := good.UnixMicro()
		out.File, out.Wanted, out.Loaded, out.OK = &v.plans.path, &wanted, &loaded, len(faults) == 0
		for _, f := range faults {
			out.Faults = append(out.Faults, f.Error())
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookTimeout)
	defer cancel()
	owners := v.owners()
	for partition := range v.partitions {
		one := partitionOfPlan{Partition: partition, Owner: owners[partition]}
		if in, err := v.pipeline.InForce(ctx, partition); err == nil {
			hash := in.Hash()
			one.InForce, one.Owner = &hash, v.self
		}
		out.Partitions = append(out.Partitions, one)
	}
	wire.WriteJSON(w, http.StatusOK, out)
}

func (v *plansView) owners() map[int]string {
	owners, newest := make(map[int]string), make(map[int]int64)
	for _, n := range v.nodes() {
		for i := range n.Partitions {
			if p := n.Partitions[i].Partition; n.Time > newest[p] {
				owners[p], newest[p] = n.ID, n.Time
			}
		}
	}
	return owners
}
