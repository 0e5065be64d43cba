package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/fsnotify/fsnotify"

	"weir/config"
	"weir/pipeline/plan"
)

const (
	// plansFile is looked for in the data directory when no file is named.
	plansFile = "pipelines.yaml"
	// maxPlanBytes bounds the file: it goes into a record of every partition.
	maxPlanBytes = 256 << 10
	// planSettles is for how long a file must have been left alone before it is read: editors write in several steps.
	planSettles = 200 * time.Millisecond
	// planLook is how often it is looked at in case that no change was told, as on network file systems.
	planLook = 5 * time.Second
	// unmatchedAfter is how long after a plan patterns that select nothing are told. Devices need a while to connect.
	unmatchedAfter = 2 * time.Minute
)

// plans follows the file of declared pipelines. A file that cannot be used leaves the plan before in force.
type plans struct {
	path    string
	log     *slog.Logger
	current atomic.Pointer[plan.Plan]
	// hangup asks for another attempt whether the file has changed or not.
	hangup chan struct{}
	// unmatched tells the patterns that select nothing; nil until the pipeline runs.
	unmatched func(context.Context, *plan.Plan)
	patience  time.Duration // unmatchedAfter, but in tests

	mu    sync.Mutex
	text  []byte // of the last attempt
	tried attempt
	good  time.Time // when the newest good attempt was
}

// attempt is what came of reading the file.
type attempt struct {
	at     time.Time
	faults []error
}

// openPlans reads the file that the configuration names. It is nil when there is none to follow.
func openPlans(c *config.Config, log *slog.Logger, set *metrics.Set) (*plans, error) {
	if !c.Has(config.RolePipeline) {
		return nil, nil //nolint:nilnil // no plans is what there is
	}
	p := &plans{path: c.PipelinesFile, log: log, hangup: make(chan struct{}, 1), patience: unmatchedAfter}
	named := p.path != ""
	if !named {
		if c.Data == "" {
			return nil, nil //nolint:nilnil // as above
		}
		p.path = filepath.Join(c.Data, plansFile)
	}
	text, err := readPlan(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named && !c.UsesEmbedded():
		return nil, nil //nolint:nilnil // others may have a file, and their plan stays in force
	case errors.Is(err, fs.ErrNotExist) && !named:
		p.take(nil, plan.Default())
	case err != nil:
		return nil, fmt.Errorf("pipelines_file: %w", err)
	default:
		if err := p.start(text); err != nil {
			return nil, err
		}
	}
	set.NewGauge(`weir_pipelines_reload_ok`, func() float64 {
		if _, faults := p.state(); len(faults) > 0 {
			return 0
		}
		return 1
	})
	set.NewGauge(`weir_pipelines_reload_seconds`, func() float64 {
		good, _ := p.state()
		return float64(good.UnixMilli()) / 1e3
	})
	return p, nil
}

// start takes the first plan. All that is wrong with it is in the error, a fault a line.
func (p *plans) start(text []byte) error {
	parsed, err := parsePlan(text)
	if err != nil {
		list := faultsOf(err)
		errs := []error{fmt.Errorf("pipelines_file: %s has faults", p.path)}
		for _, f := range list {
			errs = append(errs, fmt.Errorf("%s: %w", p.path, f))
		}
		return hinted{errors.Join(errs...), "`weir pipeline validate` checks a file before it is used"}
	}
	p.take(text, parsed)
	return nil
}

// readPlan reads no more of a file than tells that it is too large.
func readPlan(path string) (text []byte, err error) {
	file, err := os.Open(path) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return io.ReadAll(io.LimitReader(file, maxPlanBytes+1))
}

func parsePlan(text []byte) (*plan.Plan, error) {
	if len(text) > maxPlanBytes {
		return nil, &plan.Fault{Reason: fmt.Sprintf("the file is larger than %d bytes", maxPlanBytes)}
	}
	return plan.Parse(text)
}

func faultsOf(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// Current implements pipeline.Plans.
func (p *plans) Current() *plan.Plan { return p.current.Load() }

// state tells when a file was good last, and what is wrong with the newest.
func (p *plans) state() (good time.Time, faults []error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.good, p.tried.faults
}

func (p *plans) take(text []byte, parsed *plan.Plan) {
	now := time.Now()
	p.mu.Lock()
	p.text, p.tried, p.good = text, attempt{at: now}, now
	p.mu.Unlock()
	p.current.Store(parsed)
}

// refuse keeps the plan that there is.
func (p *plans) refuse(text []byte, faults []error) {
	p.mu.Lock()
	p.text, p.tried = text, attempt{at: time.Now(), faults: faults}
	p.mu.Unlock()
	for _, f := range faults {
		p.log.Error("pipelines not reloaded; those before stay in force", "file", p.path, "fault", f, "in_force", p.Current().Hash())
	}
}

// reload makes an attempt, unless the file is as it was at the last one. It reports whether another plan is wanted now.
func (p *plans) reload(asked bool) (changed bool) {
	text, err := readPlan(p.path)
	p.mu.Lock()
	before, failed := p.text, len(p.tried.faults) > 0
	p.mu.Unlock()
	if err != nil {
		if !asked && before == nil {
			return false // there is still none, or that was told
		}
		p.refuse(nil, []error{err})
		return false
	}
	if !asked && before != nil && bytes.Equal(text, before) {
		return false
	}
	parsed, err := parsePlan(text)
	if err != nil {
		p.refuse(text, faultsOf(err))
		return false
	}
	was := p.Current().Hash()
	p.take(text, parsed)
	if changed = was != parsed.Hash(); changed || asked || failed {
		p.log.Info("pipelines reloaded", "file", p.path, "hash", parsed.Hash(), "before", was, "holds", parsed.Summary())
	}
	return changed
}

// run follows the file until ctx ends.
func (p *plans) run(ctx context.Context) error {
	events, failures, stop := p.watch()
	defer stop()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	defer settle.Stop()
	look := time.NewTicker(planLook)
	defer look.Stop()
	unmatched := time.NewTimer(p.patience)
	defer unmatched.Stop()
	for {
		changed := false
		select {
		case <-ctx.Done():
			return nil
		case <-events:
			// Any change in the directory may be one of the file: it may be a link to what was exchanged.
			settle.Reset(planSettles)
		case err := <-failures:
			p.log.Debug("watching the pipelines' file", "error", err)
		case <-look.C:
			changed = p.reload(false)
		case <-settle.C:
			changed = p.reload(false)
		case <-p.hangup:
			changed = p.reload(true)
		case <-unmatched.C:
			p.unmatched(ctx, p.Current())
		}
		if changed {
			unmatched.Reset(p.patience)
		}
	}
}

// watch tells of changes in the file's directory. Where that cannot be had, the file is only looked at now and then.
func (p *plans) watch() (events <-chan fsnotify.Event, failures <-chan error, stop func()) {
	w, err := fsnotify.NewWatcher()
	if err == nil {
		if err = w.Add(filepath.Dir(p.path)); err != nil {
			_ = w.Close()
		}
	}
	if err != nil {
		p.log.Warn("changes of the pipelines' file are noticed late", "file", p.path, "every", planLook, "error", err)
		return nil, nil, func() {}
	}
	return w.Events, w.Errors, func() { _ = w.Close() }
}

// Reload has the declared pipelines read again.
func (a *App) Reload() {
	if a.plans == nil {
		a.log.Info("there is no file of pipelines to reload")
		return
	}
	select {
	case a.plans.hangup <- struct{}{}:
	default: // one waits already
	}
}
