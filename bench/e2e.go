package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"weir/auth"
)

// E2E is one run of the whole path: devices → server (embedded broker, pipeline, push) → dashboards.
type E2E struct {
	// Profile names the case in the results.
	Profile string
	Devices int
	// Metrics per device, at most 10.
	Metrics int
	// FrameReadings is how many readings a device sends in one frame.
	FrameReadings int
	// Rate is in readings/s over all devices.
	Rate       float64
	Dashboards int
	// Sees is how many of the devices each dashboard subscribes to; 0 is all.
	Sees int
	// MaxHz limits each dashboard's frames; 0 is unlimited.
	MaxHz float64
	// Warm and Measure are the lengths of the two parts of a run.
	Warm, Measure time.Duration
	// Server is the command line that serves: it gets --listen and --data added.
	Server []string
	// Log receives the server's output.
	Log io.Writer
	// Progress receives one line per phase.
	Progress io.Writer
}

// Result is what one run measured.
type Result struct {
	Profile    string  `json:"profile"`
	Devices    int     `json:"devices"`
	Frame      int     `json:"readings_per_frame"`
	Dashboards int     `json:"dashboards"`
	Sees       int     `json:"devices_per_dashboard"`
	MaxHz      float64 `json:"max_hz"`
	Offered    float64 `json:"offered_per_s"`
	// Sent, Accepted and Seen are readings/s: that left the devices, that receipts confirmed, and that
	// reached each dashboard on average (the sum of n), scaled to all devices.
	Sent     float64 `json:"sent_per_s"`
	Accepted float64 `json:"accepted_per_s"`
	Seen     float64 `json:"seen_per_s"`
	// Deliveries are rows/s over all dashboards.
	Deliveries float64 `json:"deliveries_per_s"`
	// Cores of the server and of the load.
	ServerCores float64 `json:"server_cores"`
	LoadCores   float64 `json:"load_cores"`
	ServerMiB   float64 `json:"server_rss_mib"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	P999        float64 `json:"p999_ms"`
	Seconds     float64 `json:"seconds"`
	Machine     string  `json:"machine"`
}

// Run starts a server of its own and measures.
func (cfg E2E) Run(ctx context.Context) (*Result, error) {
	server, err := startServer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer server.stop()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	audience, err := dialAudience(server.endpoint("live"), cfg)
	if err != nil {
		return nil, err
	}
	defer audience.close()
	fleet, err := dialFleet(server.endpoint("ingest"), cfg)
	if err != nil {
		return nil, err
	}
	defer fleet.close()
	paced := make(chan error, 1)
	go func() { paced <- fleet.run(ctx) }()

	fmt.Fprintf(cfg.Progress, "%s: warming up for %v at %.0f readings/s\n", cfg.Profile, cfg.Warm, cfg.Rate)
	if err := pause(ctx, cfg.Warm, paced); err != nil {
		return nil, err
	}
	if got := audience.subscribed.Load(); got < int64(cfg.Dashboards) {
		return nil, fmt.Errorf("only %d of %d dashboards are subscribed after the warm-up", got, cfg.Dashboards)
	}
	fmt.Fprintf(cfg.Progress, "%s: measuring for %v\n", cfg.Profile, cfg.Measure)
	result, err := cfg.measure(ctx, server, fleet, audience, paced)
	if err != nil {
		return nil, err
	}
	cancel()
	return result, <-paced
}

func (cfg E2E) measure(ctx context.Context, server *server, fleet *fleet, audience *audience, paced <-chan error) (*Result, error) {
	before, err := sample(server.pid(), fleet)
	if err != nil {
		return nil, err
	}
	audience.recording.Store(true)
	if err := pause(ctx, cfg.Measure, paced); err != nil {
		return nil, err
	}
	audience.recording.Store(false)
	after, err := sample(server.pid(), fleet)
	if err != nil {
		return nil, err
	}
	rss, err := residentMiB(server.pid())
	if err != nil {
		return nil, err
	}
	got, err := audience.collect()
	if err != nil {
		return nil, err
	}
	seconds := after.at.Sub(before.at).Seconds()
	share := 1.0
	if cfg.Sees > 0 {
		share = float64(cfg.Sees) / float64(cfg.Devices)
	}
	const ms = 1000
	return &Result{
		Profile: cfg.Profile, Devices: cfg.Devices, Frame: cfg.FrameReadings, Dashboards: cfg.Dashboards,
		Sees: cfg.Sees, MaxHz: cfg.MaxHz, Offered: cfg.Rate,
		Sent:        float64(after.sent-before.sent) / seconds,
		Accepted:    float64(after.accepted-before.accepted) / seconds,
		Seen:        float64(got.readings) / seconds / float64(cfg.Dashboards) / share,
		Deliveries:  float64(got.rows) / seconds,
		ServerCores: (after.serverCPU - before.serverCPU) / seconds,
		LoadCores:   (after.loadCPU - before.loadCPU) / seconds,
		ServerMiB:   rss,
		P50:         float64(got.latency.ValueAtQuantile(50)) / ms,
		P99:         float64(got.latency.ValueAtQuantile(99)) / ms,
		P999:        float64(got.latency.ValueAtQuantile(99.9)) / ms,
		Seconds:     seconds,
		Machine:     Machine(),
	}, nil
}

type usage struct {
	at                 time.Time
	serverCPU, loadCPU float64
	sent, accepted     int64
}

func sample(pid int, fleet *fleet) (usage, error) {
	serverCPU, err := cpuSeconds(pid)
	if err != nil {
		return usage{}, err
	}
	loadCPU, err := cpuSeconds(os.Getpid())
	if err != nil {
		return usage{}, err
	}
	return usage{at: time.Now(), serverCPU: serverCPU, loadCPU: loadCPU, sent: fleet.sent.Load(), accepted: fleet.accepted.Load()}, nil
}

func pause(ctx context.Context, d time.Duration, failed <-chan error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case err := <-failed:
		if err == nil {
			err = errors.New("the fleet stopped early")
		}
		return err
	}
}

// server is the process under test.
type server struct {
	cmd  *exec.Cmd
	addr string
	data string
	key  string
	// done is closed when the process has ended, with exit as the reason.
	done chan struct{}
	exit error
}

func startServer(ctx context.Context, cfg E2E) (*server, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	s, err := launch(ctx, cfg, addr, data)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(data))
	}
	return s, nil
}

// launch starts a server at an address and with data that may have been another's.
func launch(ctx context.Context, cfg E2E, addr, data string) (*server, error) {
	args := append(append([]string{}, cfg.Server[1:]...), "--listen", addr, "--data", data)
	// Limits are checked as ever, and out of reach.
	for _, limit := range []string{"device", "key"} {
		args = append(args, "--set", "ingest.limits."+limit+".rate=1000000000", "--set", "ingest.limits."+limit+".burst=1000000000")
	}
	cmd := exec.CommandContext(ctx, cfg.Server[0], args...)
	cmd.Stdout, cmd.Stderr = cfg.Log, cfg.Log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err)
	}
	s := &server{cmd: cmd, addr: addr, data: data, done: make(chan struct{})}
	go func() {
		s.exit = cmd.Wait()
		close(s.done)
	}()
	err := s.waitReady(ctx)
	if err == nil {
		err = s.readKey()
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// readKey learns with what one signs in.
func (s *server) readKey() error {
	text, err := os.ReadFile(auth.LocalKeyFile(s.data))
	if err != nil {
		return fmt.Errorf("local key: %w", err)
	}
	s.key = strings.TrimSpace(string(text))
	return nil
}

// endpoint is the address of a WebSocket, with credentials.
func (s *server) endpoint(name string) string {
	return "ws://" + s.addr + "/v1/" + name + "?access_token=" + s.key
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return fmt.Errorf("the server ended before it was ready: %w", s.exit)
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready in time: %w", ctx.Err())
		case <-tick.C:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/readyz", nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(os.Interrupt)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	_ = os.RemoveAll(s.data)
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
