package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const (
	metaFile     = "meta.json"
	topicsFile   = "topics.json"
	snapshotFile = "snapshot.json"
	sessionFile  = "session_state.json"
	cleanFile    = "clean" // present: the last owner ended in order
)

type partitionKey struct {
	topic     string
	partition int32
}

// topicsDocument is the part of kfake's list of topics that recovery reads.
type topicsDocument struct {
	Topics []struct {
		Name       string `json:"name"`
		ID         []byte `json:"id"`
		Partitions int32  `json:"partitions"`
	} `json:"topics"`
}

// prepare brings the directory into a state from which kfake restores everything that was acknowledged.
// After an orderly end there is nothing to do; otherwise each log is read once, one segment at a time, and
// what kfake writes only at an orderly end is rebuilt from it.
func prepare(dir string, log *slog.Logger) error {
	if !exists(filepath.Join(dir, metaFile)) || !exists(filepath.Join(dir, topicsFile)) {
		if exists(filepath.Join(dir, journalFile)) || exists(partitionsDir(dir)) {
			return fmt.Errorf("data directory %s holds partitions but no %s or %s: restore or remove it as a whole", dir, metaFile, topicsFile)
		}
		return nil
	}
	// Members of consumer groups ended with the process; kfake would wait for them to come back.
	if err := removeIfExists(filepath.Join(dir, sessionFile)); err != nil {
		return err
	}
	switch err := os.Remove(filepath.Join(dir, cleanFile)); {
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	return recoverDir(dir, log)
}

func recoverDir(dir string, log *slog.Logger) error {
	began := time.Now()
	for _, name := range []string{"groups.log", "pids.log"} {
		cut, err := repairLog(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("repair %s: %w", name, err)
		}
		if cut > 0 {
			log.Warn("cut a torn entry", "file", name, "bytes", cut)
		}
	}
	var topics topicsDocument
	if err := readJSON(filepath.Join(dir, topicsFile), &topics); err != nil {
		return err
	}
	r := recovery{dir: dir, log: log, windows: make(windows), ends: make(map[partitionKey]int64)}
	if err := r.run(&topics); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if err := writeWindows(dir, r.windows, r.ends); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	log.Info("recovered after a crash", "partitions", len(r.ends), "bytes", r.bytes, "duration", time.Since(began))
	return nil
}

// recovery reads the partitions' logs, a few at a time.
type recovery struct {
	dir string
	log *slog.Logger

	mu      sync.Mutex
	windows windows
	ends    map[partitionKey]int64
	bytes   int64
}

func (r *recovery) run(topics *topicsDocument) error {
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, runtime.GOMAXPROCS(0))
		errs  []error
	)
	for _, t := range topics.Topics {
		for p := range t.Partitions {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				if err := r.partition(partitionKey{t.Name, p}); err != nil {
					r.mu.Lock()
					defer r.mu.Unlock()
					errs = append(errs, fmt.Errorf("topic %s partition %d: %w", t.Name, p, err))
				}
			})
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// snapshot is kfake's description of a partition. With one that matches the files it loads them one by
// one; without, it holds all their content in memory at once.
type snapshot struct {
	Version          int               `json:"version"`
	HighWatermark    int64             `json:"high_watermark"`
	LastStableOffset int64             `json:"last_stable_offset"`
	LogStartOffset   int64             `json:"log_start_offset"`
	Epoch            int32             `json:"epoch"`
	MaxTimestamp     int64             `json:"max_timestamp"`
	CreatedAt        time.Time         `json:"created_at"`
	AbortedTxns      json.RawMessage   `json:"aborted_txns,omitempty"`
	Segments         []snapshotSegment `json:"segments"`
}

type snapshotSegment struct {
	BaseOffset int64 `json:"base_offset"`
	Size       int64 `json:"size"`
	MinEpoch   int32 `json:"min_epoch,omitempty"`
	MaxEpoch   int32 `json:"max_epoch,omitempty"`
}

func (r *recovery) partition(k partitionKey) error {
	dir := partitionDir(r.dir, k.topic, int(k.partition))
	segs, err := listSegments(dir)
	if err != nil || len(segs) == 0 {
		return err
	}
	path := filepath.Join(dir, snapshotFile)
	snap := snapshot{Version: 1, CreatedAt: segs[0].modified}
	if err := readJSON(path, &snap); err != nil {
		r.log.Warn("snapshot is damaged and will be rebuilt", "topic", k.topic, "partition", k.partition, "error", err)
		snap = snapshot{Version: 1, CreatedAt: segs[0].modified}
	}
	snap.LogStartOffset = max(snap.LogStartOffset, segs[0].base)
	snap.HighWatermark, snap.Segments = 0, nil
	var (
		found         = make(windows)
		transactional bool
		total         int64
	)
	for i, s := range segs {
		valid, err := r.scan(k, dir, s, i == len(segs)-1, func(h *batchHeader) {
			found.push(k.topic, k.partition, h)
			transactional = transactional || h.transactional
			snap.HighWatermark = h.end()
			snap.MaxTimestamp = max(snap.MaxTimestamp, h.maxTime)
		})
		if err != nil {
			return err
		}
		snap.HighWatermark = max(snap.HighWatermark, s.base) // a file is named by the end before it
		snap.Segments = append(snap.Segments, snapshotSegment{BaseOffset: s.base, Size: valid, MinEpoch: snap.Epoch, MaxEpoch: snap.Epoch})
		total += valid
	}
	if total == 0 {
		snap.LogStartOffset = snap.HighWatermark
	}
	snap.LogStartOffset = min(snap.LogStartOffset, snap.HighWatermark)
	snap.LastStableOffset = snap.HighWatermark
	r.add(k, found, snap.HighWatermark, total)
	if transactional {
		// Only kfake's own full reading can tell which transactions were open. Weir opens none.
		return removeIfExists(path)
	}
	return writeJSON(path, snap)
}

// scan reads one segment and cuts what is not whole off its end.
func (r *recovery) scan(k partitionKey, dir string, s segment, last bool, fn func(*batchHeader)) (int64, error) {
	name := filepath.Join(dir, strconv.FormatInt(s.base, 10)+dataSuffix)
	valid, size, err := scanSegment(name, fn)
	if err != nil || valid == size {
		return valid, err
	}
	level := slog.LevelWarn
	if !last {
		level = slog.LevelError // a torn end is what a crash leaves; damage before it is not
	}
	r.log.Log(context.Background(), level, "cut a damaged segment", "topic", k.topic, "partition", k.partition,
		"segment", s.base, "bytes", size-valid)
	return valid, os.Truncate(name, valid)
}

func (r *recovery) add(k partitionKey, found windows, end, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, w := range found {
		r.windows[k] = w
	}
	r.ends[k] = end
	r.bytes += bytes
}
