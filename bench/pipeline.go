package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/wire"
)

// Pipeline measures Kafka → graph → Kafka without devices and dashboards: a backlog, what a series takes, a restore,
// and what checkpoints cost at a steady load.
type Pipeline struct {
	// Brokers of a cluster without Weir's topics, for a process of `weir serve --roles=pipeline`. None: a process with
	// the embedded broker and the pipeline, which is measured as one.
	Brokers []string
	// BrokerPid is the cluster's process, when it is on this machine and its CPU time is wanted; else 0.
	BrokerPid int
	// Program is this program.
	Program    string
	Partitions int
	// Devices, Metrics and Batch (readings a record) are those of the backlog of Readings readings.
	Devices, Metrics, Batch, Readings int
	// Series is for how many series state is restored and checkpointed, Rate the steady load (readings/s) on them,
	// Measure how long that is measured. 0 series: all that is left out.
	Series  int
	Rate    float64
	Measure time.Duration
	// Set are settings of the server by full path.
	Set map[string]string
	// Log receives the output of the processes, Progress one line per phase.
	Log, Progress io.Writer

	data string
}

// PipelineResult is what a run of Pipeline measured.
type PipelineResult struct {
	Broker     string `json:"broker"`
	Processes  string `json:"processes"`
	Partitions int    `json:"partitions"`
	Devices    int    `json:"devices"`
	Series     int    `json:"series"`
	Batch      int    `json:"readings_per_record"`
	Readings   int    `json:"readings"`
	// Backlog is how fast the pipeline reads, applies and emits what is there.
	Backlog *Watched `json:"backlog"`
	// PerCore is Backlog's rate over the cores used, of all processes; CPU is in seconds per million readings.
	PerCore float64 `json:"readings_per_s_per_core"`
	CPU     float64 `json:"cpu_s_per_million"`
	// Counted are the readings in weir.updates (n + late + invalid), Rows the rows that told them.
	Counted int64 `json:"counted"`
	Rows    int64 `json:"rows"`

	State      *StateResult      `json:"state,omitempty"`
	Checkpoint *CheckpointResult `json:"checkpoint,omitempty"`
	Machine    string            `json:"machine"`
}

const (
	// windowSteps fills the moving average's window, at a reading a second.
	windowSteps = 70
	stateMetric = 10
	stalled     = 30 * time.Second
)

// Run starts processes of its own and measures them.
func (p Pipeline) Run(ctx context.Context) (_ *PipelineResult, err error) {
	f := Fleet{Name: "backlog", Devices: p.Devices, Metrics: p.Metrics, Batch: p.Batch, Step: time.Second, Session: "backlog"}
	if err := f.Check(); err != nil {
		return nil, err
	}
	if p.data, err = os.MkdirTemp("", "weir-bench-"); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.data)) }()
	if err := p.withClient(ctx, p.makeTopics); err != nil {
		return nil, err
	}
	r := &PipelineResult{
		Broker: "embedded", Processes: "broker and pipeline are one process: CPU and memory are of both", Partitions: p.Partitions,
		Devices: p.Devices, Series: p.Devices * p.Metrics, Batch: p.Batch, Readings: p.Readings / p.Batch * p.Batch, Machine: Machine(),
	}
	if len(p.Brokers) > 0 {
		r.Broker, r.Processes = "Kafka", "pipeline: weir serve --roles=pipeline; broker: a process of its own"
	}
	before, err := p.empty(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.backlog(ctx, &f, r); err != nil {
		return nil, err
	}
	if p.Series == 0 {
		return r, nil
	}
	if r.State, err = p.state(ctx, before); err != nil {
		return nil, err
	}
	r.Checkpoint, err = p.checkpoints(ctx)
	return r, err
}

func (p *Pipeline) say(format string, values ...any) { fmt.Fprintf(p.Progress, format+"\n", values...) }

// withClient gives a client while no process under test runs: the embedded broker can be open once only.
func (p *Pipeline) withClient(ctx context.Context, do func(context.Context, *kafka.Client) error) (err error) {
	options := kafka.Options{Brokers: p.Brokers}
	if len(p.Brokers) == 0 {
		broker, err := openBroker(p.data, embedded.DefaultConfig(), nil, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, broker.Close()) }()
		options = broker.Options()
	}
	client, err := kafka.New(options)
	if err != nil {
		return err
	}
	defer client.Close()
	return do(ctx, client)
}

func (p *Pipeline) makeTopics(ctx context.Context, client *kafka.Client) error {
	if n, err := client.Partitions(ctx, wire.TopicReadings); err == nil {
		return fmt.Errorf("the cluster has %s with %d partitions already: the benchmark takes a cluster without Weir's topics", wire.TopicReadings, n)
	} else if kafka.Classify(err) != kafka.ReasonUnknownTopic {
		return err
	}
	return MakeTopics(ctx, client, p.Partitions)
}

// MakeTopics makes Weir's topics, kept as by default.
func MakeTopics(ctx context.Context, client *kafka.Client, partitions int) error {
	var specs []kafka.TopicSpec
	for _, t := range wire.TopicSpecs() {
		specs = append(specs, kafka.TopicSpec{
			Name: t.Name, Partitions: partitions, Compact: t.Compact, Retention: t.Retention, RetentionBytes: t.RetentionBytes,
		})
	}
	return client.EnsureTopics(ctx, specs)
}

// Preload writes n readings of f to weir.readings.
func Preload(ctx context.Context, client *kafka.Client, f *Fleet, n int) error {
	partitions, err := client.Partitions(ctx, wire.TopicReadings)
	if err != nil {
		return err
	}
	return (&loader{client: client, partitions: partitions}).preload(ctx, f, n/f.Batch)
}

// paced is a load that goes on while a process runs.
type paced struct {
	Fleet Fleet   `json:"fleet"`
	Rate  float64 `json:"rate"`
}

// start starts a process under test. The embedded broker takes a load from inside its process only.
func (p *Pipeline) start(ctx context.Context, load *paced, set map[string]string) (*Process, error) {
	listen, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	if len(p.Brokers) > 0 {
		return StartServer(ctx, ServerOptions{Program: p.Program, Brokers: p.Brokers, Set: merged(p.Set, set), Log: p.Log})
	}
	command := []string{p.Program, "bench", "pipeline-process", "--log-level", "warn", "--data", p.data, "--listen", listen}
	for key, value := range merged(p.Set, set) {
		command = append(command, "--set", key+"="+value)
	}
	if load != nil {
		text, err := json.Marshal(load)
		if err != nil {
			return nil, err
		}
		command = append(command, "--load", string(text))
	}
	return start(ctx, p.Log, listen, listen, command)
}

// ServerOptions of a server process that has the role of the pipeline only.
type ServerOptions struct {
	Program string
	Brokers []string
	Set     map[string]string
	Log     io.Writer
}

// StartServer starts `weir serve --roles=pipeline` on a cluster and waits until it owns and has restored all partitions.
func StartServer(ctx context.Context, o ServerOptions) (*Process, error) {
	var addresses [2]string
	for i := range addresses {
		var err error
		if addresses[i], err = freeAddress(ctx); err != nil {
			return nil, err
		}
	}
	command := []string{o.Program, "serve", "--log-level", "warn", "--roles", "pipeline", "--insecure-open",
		"--listen", addresses[0], "--admin-listen", addresses[1]}
	for _, broker := range o.Brokers {
		command = append(command, "--kafka-brokers", broker)
	}
	for key, value := range o.Set {
		command = append(command, "--set", key+"="+value)
	}
	return start(ctx, o.Log, addresses[0], addresses[1], command)
}

func merged(a, b map[string]string) map[string]string {
	out := make(map[string]string)
	for _, m := range []map[string]string{a, b} {
		for key, value := range m {
			out[key] = value
		}
	}
	return out
}

// watch follows a process until it has applied n readings.
func (p *Pipeline) watch(ctx context.Context, s *Process, n int) (*Watched, error) {
	w := Watch{
		Until: int64(n), Stalled: stalled, Progress: s.Applied,
		Pids: map[string]int{"pipeline": s.pid()},
	}
	if p.BrokerPid > 0 {
		w.Pids["broker"] = p.BrokerPid
	}
	return w.Run(ctx)
}

// Applied is how many readings the process has applied since it started.
func (p *Process) Applied(ctx context.Context) (int64, error) {
	m, err := p.metrics(ctx)
	return int64(m["weir_pipeline_readings_total"]), err
}

// empty is the live heap of a process without state.
func (p *Pipeline) empty(ctx context.Context) (heap float64, err error) {
	s, err := p.start(ctx, nil, nil)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	return s.liveHeap(ctx)
}

// backlog preloads readings, then has a process catch up, and counts what it told.
func (p *Pipeline) backlog(ctx context.Context, f *Fleet, r *PipelineResult) error {
	p.say("preloading %d readings of %d series, %d a record", r.Readings, r.Series, p.Batch)
	err := p.withClient(ctx, func(ctx context.Context, c *kafka.Client) error { return Preload(ctx, c, f, r.Readings) })
	if err != nil {
		return fmt.Errorf("preload: %w", err)
	}
	p.say("reading the backlog")
	s, err := p.start(ctx, nil, nil)
	if err != nil {
		return err
	}
	r.Backlog, err = p.watch(ctx, s, r.Readings)
	s.stop()
	if err != nil {
		return fmt.Errorf("backlog: %w", err)
	}
	r.CPU = total(r.Backlog.Whole.CPU)
	r.PerCore = r.Backlog.Whole.PerSecond / total(r.Backlog.Whole.Cores)
	err = p.withClient(ctx, func(ctx context.Context, c *kafka.Client) (err error) {
		r.Counted, r.Rows, err = CountUpdates(ctx, c)
		return err
	})
	if err == nil && r.Counted != int64(r.Readings) {
		err = fmt.Errorf("weir.updates tells of %d readings, of %d", r.Counted, r.Readings)
	}
	return err
}

// ParseLoad reads the load that a PipelineProcess is given on its command line, if there is one.
func ParseLoad(text string) (f Fleet, rate float64, err error) {
	if text == "" {
		return f, 0, nil
	}
	var load paced
	if err := json.Unmarshal([]byte(text), &load); err != nil {
		return f, 0, fmt.Errorf("load %s: %w", strconv.Quote(text), err)
	}
	return load.Fleet, load.Rate, load.Fleet.Check()
}
