package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/config"
	"weir/kafka"
	"weir/kafka/embedded"
	"weir/pipeline"
	"weir/wire"
)

// PipelineProcess is a process that holds the embedded broker and the pipeline, and nothing else of a server. It
// answers GET /readyz, /metrics and /debug/pprof/ on Listen.
type PipelineProcess struct {
	// Data is the directory of the broker, in which the topics are.
	Data   string
	Listen string
	Config config.Config
	// Load is written at Rate readings/s all the time, if there is a rate.
	Load   Fleet
	Rate   float64
	Logger *slog.Logger
}

// Run returns when ctx ends, with a last checkpoint written, or when a part has failed.
func (p PipelineProcess) Run(ctx context.Context) error {
	set := metrics.NewSet()
	broker, err := openBroker(p.Data, p.Config.Embedded, set, p.Logger)
	if err != nil {
		return err
	}
	defer func() { _ = broker.Close() }()
	options := broker.Options()
	options.Logger, options.Metrics = p.Logger, set
	client, err := kafka.New(options)
	if err != nil {
		return err
	}
	defer client.Close()
	graph, err := pipeline.New(pipeline.Options{
		Client: client, Config: p.Config.Pipeline, Trimmer: broker, MemberName: "bench", Logger: p.Logger, Metrics: set,
	})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", p.Listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: inspection(graph, set), ReadHeaderTimeout: time.Second}
	defer func() { _ = server.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []func() error{
		func() error { return graph.Run(ctx) },
		func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
		func() error { return p.load(ctx, client) },
	}
	ended := make(chan error, len(parts))
	for _, run := range parts {
		go func() { ended <- run() }()
	}
	var failed error
	for n := range parts {
		err := <-ended
		if n == 0 { // the first one ends all
			cancel()
			_ = server.Close()
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

func (p PipelineProcess) load(ctx context.Context, client *kafka.Client) error {
	if p.Rate <= 0 {
		<-ctx.Done()
		return nil
	}
	partitions, err := client.Partitions(ctx, wire.TopicReadings)
	if err != nil {
		return err
	}
	return (&loader{client: client, partitions: partitions}).pace(ctx, &p.Load, p.Rate)
}

func inspection(graph *pipeline.Pipeline, set *metrics.Set) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !graph.Ready() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		set.WritePrometheus(w)
		metrics.WriteProcessMetrics(w)
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	return mux
}

func openBroker(dir string, c embedded.Config, set *metrics.Set, log *slog.Logger) (*embedded.Broker, error) {
	return embedded.Open(embedded.Options{Dir: filepath.Join(dir, "kafka"), Config: c, Metrics: set, Logger: log})
}

// Process is a child under test.
type Process struct {
	*server
	// admin is where the profiler is.
	admin string
	// startup is the time from the start of the process until it was ready: all partitions owned and restored.
	startup time.Duration
}

// Pid is the process's id, Stop its orderly end.
func (p *Process) Pid() int { return p.pid() }
func (p *Process) Stop()    { p.stop() }

// start runs a command line that serves at listen, and waits until it is ready.
func start(ctx context.Context, log io.Writer, listen, admin string, command []string) (*Process, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	p := &Process{server: &server{cmd: cmd, addr: listen, done: make(chan struct{})}, admin: admin}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(command, " "), err)
	}
	go func() {
		p.exit = cmd.Wait()
		close(p.done)
	}()
	if err := p.waitReady(ctx); err != nil {
		p.stop()
		return nil, err
	}
	p.startup = time.Since(started)
	return p, nil
}

// metrics reads the process's counters and gauges; those with labels are summed up under their name.
func (p *Process) metrics(ctx context.Context) (map[string]float64, error) {
	body, err := get(ctx, "http://"+p.addr+"/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(string(body)), nil
}

func parseMetrics(text string) map[string]float64 {
	all := make(map[string]float64)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if brace := strings.LastIndexByte(line, '}'); brace >= 0 {
			name, value, ok = line[:strings.IndexByte(line, '{')], strings.TrimSpace(line[brace+1:]), true
		}
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] += v
		}
	}
	return all
}

// liveHeap collects garbage and tells what is left, in bytes.
func (p *Process) liveHeap(ctx context.Context) (float64, error) {
	if _, err := get(ctx, "http://"+p.admin+"/debug/pprof/heap?gc=1"); err != nil {
		return 0, err
	}
	m, err := p.metrics(ctx)
	return m["go_memstats_heap_alloc_bytes"], err
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return body, err
}
