package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/fsnotify/fsnotify"

	"weir/internal/joined"
)

const (
	// settles is for how long a file must have been left alone before it is read: editors write in several steps.
	settles = 200 * time.Millisecond
	// look is how often it is looked at in case that no change was told, as on network file systems.
	look = 5 * time.Second
)

// declaration is what a file that is followed says.
type declaration interface {
	// Hash identifies its text, Summary counts what is in it.
	Hash() string
	Summary() string
}

// declared names a file: what it declares, by which setting it is named, which command checks it, and how many bytes it may
// have.
type declared struct {
	noun, setting, command, path string
	most                         int
}

// follower follows a file. One that cannot be used leaves what was declared before in force.
type follower[D declaration] struct {
	declared
	parse   func([]byte) (D, error)
	log     *slog.Logger
	current atomic.Pointer[D]
	// hangup asks for another attempt whether the file has changed or not.
	hangup chan struct{}

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

func newFollower[D declaration](of declared, parse func([]byte) (D, error), log *slog.Logger) *follower[D] {
	return &follower[D]{declared: of, parse: parse, log: log, hangup: make(chan struct{}, 1)}
}

// open takes what the file says. All that is wrong with it is in the error, a fault a line.
func (f *follower[D]) open() error {
	text, err := f.read()
	if err != nil {
		return fmt.Errorf("%s: %w", f.setting, err)
	}
	parsed, err := f.parseBounded(text)
	if err == nil {
		f.take(text, parsed)
		return nil
	}
	errs := []error{fmt.Errorf("%s: %s has faults", f.setting, f.path)}
	for _, fault := range joined.All(err) {
		errs = append(errs, fmt.Errorf("%s: %w", f.path, fault))
	}
	return hinted{errors.Join(errs...), fmt.Sprintf("`%s` checks a file before it is used", f.command)}
}

// measure tells whether the newest file is in force.
func (f *follower[D]) measure(set *metrics.Set) {
	set.NewGauge("weir_"+f.noun+"_reload_ok", func() float64 {
		if _, faults := f.state(); len(faults) > 0 {
			return 0
		}
		return 1
	})
	set.NewGauge("weir_"+f.noun+"_reload_seconds", func() float64 {
		good, _ := f.state()
		return float64(good.UnixMilli()) / 1e3
	})
}

// read reads no more of the file than tells that it is too large.
func (f *follower[D]) read() (text []byte, err error) {
	file, err := os.Open(f.path) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return io.ReadAll(io.LimitReader(file, int64(f.most)+1))
}

func (f *follower[D]) parseBounded(text []byte) (parsed D, err error) {
	if len(text) > f.most {
		return parsed, fmt.Errorf("the file is larger than %d bytes", f.most)
	}
	return f.parse(text)
}

// Current is what is declared. There must have been a good file, or take.
func (f *follower[D]) Current() D { return *f.current.Load() }

// state tells when a file was good last, and what is wrong with the newest.
func (f *follower[D]) state() (good time.Time, faults []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.good, f.tried.faults
}

func (f *follower[D]) take(text []byte, parsed D) {
	now := time.Now()
	f.mu.Lock()
	f.text, f.tried, f.good = text, attempt{at: now}, now
	f.mu.Unlock()
	f.current.Store(&parsed)
}

// refuse keeps what there is.
func (f *follower[D]) refuse(text []byte, faults []error) {
	f.mu.Lock()
	f.text, f.tried = text, attempt{at: time.Now(), faults: faults}
	f.mu.Unlock()
	for _, fault := range faults {
		f.log.Error("not reloaded; what was declared before stays in force", "file", f.path, "fault", fault, "in_force", f.Current().Hash())
	}
}

// reload makes an attempt, unless the file is as it was at the last one. It reports whether something else is wanted now.
func (f *follower[D]) reload(asked bool) (changed bool) {
	text, err := f.read()
	f.mu.Lock()
	before, failed := f.text, len(f.tried.faults) > 0
	f.mu.Unlock()
	if err != nil {
		if !asked && before == nil {
			return false // there is still none, or that was told
		}
		f.refuse(nil, []error{err})
		return false
	}
	if !asked && before != nil && bytes.Equal(text, before) {
		return false
	}
	parsed, err := f.parseBounded(text)
	if err != nil {
		f.refuse(text, joined.All(err))
		return false
	}
	was := f.Current().Hash()
	f.take(text, parsed)
	if changed = was != parsed.Hash(); changed || asked || failed {
		f.log.Info("reloaded", "file", f.path, "hash", parsed.Hash(), "before", was, "holds", parsed.Summary())
	}
	return changed
}

// reactions are what a follower does beside reading the file: changed when something else is declared, then when it is due.
type reactions struct {
	changed, then func()
	due           <-chan time.Time // may be nil
}

// follow follows the file until ctx ends.
func (f *follower[D]) follow(ctx context.Context, do reactions) {
	events, failures, stop := f.watch()
	defer stop()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	defer settle.Stop()
	look := time.NewTicker(look)
	defer look.Stop()
	for {
		changed := false
		select {
		case <-ctx.Done():
			return
		case <-events:
			// Any change in the directory may be one of the file: it may be a link to what was exchanged.
			settle.Reset(settles)
		case err := <-failures:
			f.log.Debug("watching the file", "file", f.path, "error", err)
		case <-look.C:
			changed = f.reload(false)
		case <-settle.C:
			changed = f.reload(false)
		case <-f.hangup:
			changed = f.reload(true)
		case <-do.due:
			do.then()
		}
		if changed {
			do.changed()
		}
	}
}

// watch tells of changes in the file's directory. Where that cannot be had, the file is only looked at now and then.
func (f *follower[D]) watch() (events <-chan fsnotify.Event, failures <-chan error, stop func()) {
	w, err := fsnotify.NewWatcher()
	if err == nil {
		if err = w.Add(filepath.Dir(f.path)); err != nil {
			_ = w.Close()
		}
	}
	if err != nil {
		f.log.Warn("changes of the file are noticed late", "file", f.path, "every", look, "error", err)
		return nil, nil, func() {}
	}
	return w.Events, w.Errors, func() { _ = w.Close() }
}

// ask has the file read again.
func (f *follower[D]) ask() {
	select {
	case f.hangup <- struct{}{}:
	default: // one waits already
	}
}

// Reload has the declared pipelines and bridges read again.
func (a *App) Reload() {
	if a.plans == nil && a.bridges == nil {
		a.log.Info("there is no file of pipelines or bridges to reload")
	}
	if a.plans != nil {
		a.plans.ask()
	}
	if a.bridges != nil {
		a.bridges.ask()
	}
}
