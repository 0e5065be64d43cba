package embedded

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// syncer makes what the broker wrote durable, from outside of it: kfake's own way is one fsync in its only
// goroutine for every batch of any partition. Acknowledged records are in the page cache, which a killed
// process does not take with it; a power cut takes what was written since the last round.
type syncer struct {
	dir string

	mu     sync.Mutex
	synced map[string]fileState // what is durable, by path
	seen   map[string]fileState // the same, of the files this round met
}

type fileState struct {
	size     int64
	modified time.Time
}

func newSyncer(dir string) *syncer {
	return &syncer{dir: dir, synced: make(map[string]fileState), seen: make(map[string]fileState)}
}

// run does a round every interval until ctx ends.
func (s *syncer) run(ctx context.Context, interval time.Duration, failed func(error)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.all(); err != nil {
			failed(err)
		}
	}
}

// all syncs every file that grew.
func (s *syncer) all() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.seen)
	var errs []error
	dirs, err := os.ReadDir(partitionsDir(s.dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, d := range dirs {
		errs = append(errs, s.dataLocked(filepath.Join(partitionsDir(s.dir), d.Name())))
	}
	for _, name := range []string{"groups.log", "pids.log"} {
		errs = append(errs, s.fileLocked(filepath.Join(s.dir, name)))
	}
	s.synced, s.seen = s.seen, s.synced
	return errors.Join(errs...)
}

// partition syncs one partition's log.
func (s *syncer) partition(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dataLocked(dir)
}

func (s *syncer) dataLocked(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), dataSuffix) {
			errs = append(errs, s.fileLocked(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

func (s *syncer) fileLocked(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	state := fileState{info.Size(), info.ModTime()}
	if s.synced[path] != state {
		if err := syncFile(path); err != nil {
			return err
		}
		s.synced[path] = state
	}
	s.seen[path] = state
	return nil
}
