//go:build soak

package soak

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

var (
	streamRate   = flag.Int("soak.rate", 400, "records that are written in a second")
	verdictEvery = flag.Duration("soak.verdict", 5*time.Minute, "how often to stop and compare on the way")
)

// soakPartitions is more than processes there are.
const soakPartitions = 6

// pipelineSoak writes a stream into weir.readings while whatever reads it is killed, and compares now and then.
//
//	stream ──▶ [weir.readings] ──▶ weir serve (pipeline)  ──▶ [weir.updates] [weir.alerts] [weir.latest]
//	                 │               SIGKILL, SIGSTOP, comes and goes          │
//	                 └────────────▶ sequential model ─────── trial ◀───────────┘
type pipelineSoak struct {
	*rig
	name   string
	work   string // survives this process, unless no results are kept
	rng    *rand.Rand
	stream *stream
	trial  *trial
	state  soakState
	file   *os.File

	mu     sync.Mutex // guards the following
	faults map[string]int
	failed int64 // records whose storing failed
	heard  []int64
}

// soakState is a line of the journal: where a soak that was killed goes on.
type soakState struct {
	Seed    uint64         `json:"seed"`
	Begun   int            `json:"begun"` // processes of this soak
	Seconds float64        `json:"seconds"`
	Stream  *stream        `json:"stream"`
	Faults  map[string]int `json:"faults"`
	Done    bool           `json:"done,omitempty"`
}

// beginPipelineSoak goes on with what a killed soak of the same seed has left in the results, or begins anew.
func beginPipelineSoak(t *testing.T, name string) *pipelineSoak {
	s := &pipelineSoak{rig: newRig(t), name: name, work: filepath.Join(t.TempDir(), "work"), heard: make([]int64, soakPartitions)}
	if *resultDir != "" {
		s.work = filepath.Join(*resultDir, name+".work")
	}
	journal := filepath.Join(s.work, "journal")
	if s.state = lastState[soakState](journal); s.state.Seed != *soakSeed || s.state.Done || s.state.Stream == nil {
		s.state = soakState{Seed: *soakSeed, Stream: newStream(*soakSeed, time.Now()), Faults: map[string]int{}}
		if err := os.RemoveAll(s.work); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Logf("going on after %.0f s", s.state.Seconds)
	}
	s.state.Begun++
	s.faults, s.stream = s.state.Faults, s.state.Stream
	s.stream.ready(soakPartitions)
	s.rng = rand.New(rand.NewPCG(*soakSeed, uint64(s.state.Begun)))
	if err := os.MkdirAll(s.work, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.file, err = os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.file.Close() })
	if s.trial, err = newTrial(soakPartitions); err != nil {
		t.Fatal(err)
	}
	return s
}

// lastState is the last whole line of a journal.
func lastState[S any](file string) (last S) {
	text, err := os.ReadFile(file)
	if err != nil {
		return last
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s S
		if json.Unmarshal(lines.Bytes(), &s) == nil {
			last = s
		}
	}
	return last
}

// note writes the journal on, after so long.
func (s *pipelineSoak) note(seconds float64, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.state
	at.Seconds, at.Done, at.Faults = seconds, done, s.faults
	line, err := json.Marshal(at)
	if err == nil {
		_, err = s.file.Write(append(line, '\n'))
	}
	if err != nil {
		s.Errorf("journal: %v", err)
	}
}

func (s *pipelineSoak) fault(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[name]++
}

// pipelineEnv makes what takes minutes by default take seconds.
func pipelineEnv() []string {
	return []string{
		"WEIR_PIPELINE__CHECKPOINT_PERIOD=300ms", "WEIR_PIPELINE__SESSION_TIMEOUT=6s", "WEIR_PIPELINE__COMPACT_ABOVE=262144",
		"WEIR_PIPELINE__LATENESS=" + streamLateness.String(), fmt.Sprint("WEIR_PARTITIONS=", soakPartitions),
	}
}

// serve starts a server whose data and log stay in the work directory.
func (s *pipelineSoak) serve(name, addr string, args ...string) *server {
	s.Helper()
	return serveIn(s.T, s.work, name, addr, pipelineEnv(), append([]string{"--set", "auth.signing_key_file=" + s.key}, args...)...)
}

// end ends a server for good by SIGKILL.
func (s *pipelineSoak) end(v *server) {
	v.finishing.Store(true)
	v.signal(syscall.SIGKILL)
	<-v.done
}

// writer puts the stream into weir.readings.
type writer struct {
	*pipelineSoak
	client   *kafka.Client
	producer *kafka.Producer
}

func (s *pipelineSoak) writer(ctx context.Context, o kafka.Options) *writer {
	s.Helper()
	client, err := kafka.New(o)
	if err != nil {
		s.Fatal(err)
	}
	producer, err := client.NewProducer(ctx, kafka.ProducerOptions{DeliveryTimeout: 2 * time.Minute})
	if err != nil {
		s.Fatalf("open a producer: %v", err)
	}
	return &writer{pipelineSoak: s, client: client, producer: producer}
}

func (w *writer) close() {
	if err := w.producer.Close(); err != nil {
		w.Errorf("close the writer: %v", err)
	}
	w.client.Close()
}

// write takes some steps of the stream. Records whose storing fails may be there or not: the trial reads what is.
func (w *writer) write(ctx context.Context, steps int) error {
	for range steps {
		for _, out := range w.stream.next() {
			sum := crc32.ChecksumIEEE(out.record.Value)
			err := w.producer.Produce(ctx, wire.TopicReadings, out.partition, []kafka.Record{out.record}, func(base int64, err error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if err != nil {
					w.failed++
					return
				}
				w.trial.acked[out.partition][base] = sum
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// learn reads which alerts there are, for commands to be about.
func (w *writer) learn(ctx context.Context) error {
	ranges, err := w.client.Offsets(ctx, wire.TopicAlerts)
	if err != nil {
		return err
	}
	for partition, r := range ranges {
		from := max(w.heard[partition], r.First, r.End-20)
		err := w.client.ReadRange(ctx, wire.TopicAlerts, partition, from, r.End, func(r *kafka.Record) error {
			if a, err := wire.DecodeAlert(slices.Clone(r.Value)); err == nil && a.ID != "" {
				w.stream.alerts = append(w.stream.alerts, telemetry.Alert{ID: strings.Clone(a.ID), Series: strings.Clone(a.Series)})
			}
			return nil
		})
		if err != nil {
			return err
		}
		w.heard[partition] = r.End
	}
	w.stream.alerts = slices.Clone(w.stream.alerts[max(0, len(w.stream.alerts)-40):])
	return nil
}

// caughtUp reports whether all partitions are owned and what is written is applied. Owners write ticks of their own.
func (s *pipelineSoak) caughtUp(servers ...*server) func(ctx context.Context) error {
	still := 0
	return func(ctx context.Context) error {
		lag, owners := 0.0, map[string]int{}
		for _, v := range servers {
			exposition, err := v.get(ctx, "/metrics", s.admin)
			if err != nil {
				still = 0
				return err
			}
			n, err := sumOf(exposition, "weir_pipeline_lag_records")
			if err == nil {
				lag += n
			}
			for _, p := range ownedBy(exposition) {
				owners[p]++
			}
		}
		twice := slices.ContainsFunc(slices.Collect(maps.Values(owners)), func(n int) bool { return n > 1 }) // by one who does not know yet
		if still++; len(owners) != soakPartitions || twice || lag > soakPartitions {
			still = 0
			return fmt.Errorf("of %d partitions there are these owners: %v; %v records to go", soakPartitions, owners, lag)
		}
		if still < 5 {
			return errors.New("it has only just")
		}
		return nil
	}
}

// ownedBy lists the partitions that have gauges in an exposition.
func ownedBy(exposition string) (list []string) {
	for line := range strings.Lines(exposition) {
		if rest, ok := strings.CutPrefix(line, `weir_pipeline_devices{partition="`); ok {
			list = append(list, rest[:strings.IndexByte(rest, '"')])
		}
	}
	slices.Sort(list)
	return list
}

// judge compares, when all pipelines have stopped.
func (s *pipelineSoak) judge(o kafka.Options) {
	s.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.Context(), trialTime)
	defer cancel()
	if err := s.trial.judge(ctx, o); err != nil {
		s.Fatalf("compare: %v", err)
	}
	for _, line := range s.trial.found {
		s.Errorf("difference: %s", line)
	}
	s.trial.found = nil
	n := &s.trial.tally
	s.Logf("verdict %d in %v: %d records, %d readings, %d rows, %d series, %d deletions, alerts %v, %d partials, differences %d",
		n.Verdicts, time.Since(began).Round(time.Millisecond), n.Records, n.Readings, n.Rows, n.Series, n.Deletions, n.Transitions, n.Partials, n.Differences)
	if n.Differences > 0 {
		s.Fatalf("%d differences", n.Differences)
	}
	if n.Readings == 0 || n.Rows == 0 {
		s.Fatal("nothing was read: nothing is proved")
	}
}

// pipelineResult is what is kept of a run.
type pipelineResult struct {
	about
	Seed      uint64         `json:"seed"`
	Soaked    float64        `json:"soaked_seconds"`
	Processes int            `json:"processes_of_the_soak"`
	Faults    map[string]int `json:"faults"`
	Failed    int64          `json:"records_not_acknowledged"`
	Features  string         `json:"features"`
	Counts    tally          `json:"counts"`
}

// report leaves the figures, however a soak has ended, and removes what a killed one would go on with; that of a failed
// one stays to be looked into, until the next begins anew.
func (s *pipelineSoak) report(began time.Time, soaked float64) {
	checkServerLogs(s.T, s.work)
	s.note(soaked, true)
	r := pipelineResult{
		about: aboutNow(s.T, s.name, began), Seed: *soakSeed, Soaked: soaked, Processes: s.state.Begun,
		Faults: s.faults, Failed: s.failed, Features: *streamFeatures, Counts: s.trial.tally,
	}
	writeResult(s.T, s.name, r, r.table())
	if !s.Failed() {
		_ = os.RemoveAll(s.work)
	}
}

func (r *pipelineResult) table() string {
	n := &r.Counts
	row := func(name string, value any) [2]string { return [2]string{name, fmt.Sprint(value)} }
	rows := [][2]string{row("seed", r.Seed), row("seconds of faults", r.Soaked), row("seconds, with starts and verdicts", r.Seconds)}
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		rows = append(rows, row(name, r.Faults[name]))
	}
	rows = append(rows,
		row("records in weir.readings", n.Records), row("of these not acknowledged to the writer", r.Failed),
		row("readings after de-duplication", n.Readings), row("readings that devices sent again", n.Duplicates),
		row("late, invalid", fmt.Sprintf("%d, %d", n.Late, n.Invalid)),
		row("records that nobody can read, each with a dead letter", n.Refused),
		row("rows of weir.updates, each compared with the model", n.Rows), row("series in the end", n.Series),
		row("devices deleted", n.Deletions), row("transitions of alerts by phase", text(n.Transitions)),
		row("control records by kind", text(n.Controls)), row("partials of groups", n.Partials),
		row("records of former owners that readers drop", n.Fenced),
		row("besides readings", r.Features), row("verdicts", n.Verdicts), row("differences", n.Differences))
	return markdown(r.about, rows)
}
