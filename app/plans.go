package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/config"
	"weir/pipeline/plan"
)

const (
	// plansFile is looked for in the data directory when no file is named.
	plansFile = "pipelines.yaml"
	// maxPlanBytes bounds the file: it goes into a record of every partition.
	maxPlanBytes = 256 << 10
	// unmatchedAfter is how long after a plan patterns that select nothing are told. Devices need a while to connect.
	unmatchedAfter = 2 * time.Minute
)

// plans follows the file of declared pipelines.
type plans struct {
	*follower[*plan.Plan]
	// unmatched tells the patterns that select nothing; nil until the pipeline runs.
	unmatched func(context.Context, *plan.Plan)
	patience  time.Duration // unmatchedAfter, but in tests
}

// openPlans reads the file that the configuration names. It is nil when there is none to follow.
func openPlans(c *config.Config, log *slog.Logger, set *metrics.Set) (*plans, error) {
	if !c.Has(config.RolePipeline) {
		return nil, nil //nolint:nilnil // no plans is what there is
	}
	named := c.PipelinesFile != ""
	path := c.PipelinesFile
	if !named {
		if c.Data == "" {
			return nil, nil //nolint:nilnil // as above
		}
		path = filepath.Join(c.Data, plansFile)
	}
	p := &plans{patience: unmatchedAfter, follower: newFollower(declared{
		noun: "pipelines", setting: "pipelines_file", command: "weir pipeline validate", path: path, most: maxPlanBytes,
	}, plan.Parse, log)}
	switch err := p.open(); {
	case errors.Is(err, fs.ErrNotExist) && !named && !c.UsesEmbedded():
		return nil, nil //nolint:nilnil // others may have a file, and their plan stays in force
	case errors.Is(err, fs.ErrNotExist) && !named:
		p.take(nil, plan.Default())
	case err != nil:
		return nil, err
	}
	p.measure(set)
	return p, nil
}

// run follows the file until ctx ends.
func (p *plans) run(ctx context.Context) error {
	unmatched := time.NewTimer(p.patience)
	defer unmatched.Stop()
	p.follow(ctx, reactions{
		changed: func() { unmatched.Reset(p.patience) },
		due:     unmatched.C, then: func() { p.unmatched(ctx, p.Current()) },
	})
	return nil
}
