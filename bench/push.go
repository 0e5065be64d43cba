package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"
)

// Push measures what telling dashboards costs a server: devices and dashboards in this process, the server with the
// embedded broker in its own.
type Push struct {
	// Cases are names of PushCases.
	Cases []string
	// Program is this program, Set settings of the server by full path.
	Program string
	Set     map[string]string
	// Devices × Metrics are the series (at most len(benchMetrics) of a device), Hz the readings a second of each.
	Devices, Metrics int
	Hz               float64
	// Conns and Views are the numbers of connections and of different subscriptions to be measured, MaxHz the rate that
	// dashboards ask for. 0 views: as many as connections.
	Conns, Views []int
	MaxHz        float64
	// Idle is how many idle connections there are to be, Laggards how many that do not read while 1,000 series go on.
	Idle, Laggards int
	// Readings is the load of the case glass, in readings/s.
	Readings float64
	// Warm and Measure are the lengths of the two parts of a run.
	Warm, Measure time.Duration
	// Profile is a file for the CPU profile of the server during the last measurement; empty: none.
	Profile string
	// Log receives the output of the server, Progress one line per phase.
	Log, Progress io.Writer
}

// PushCases are what can be measured.
var PushCases = []string{"fanout", "memory", "isolation", "glass"}

// PushResult is what a run of Push measured.
type PushResult struct {
	FanOut    []PushRun    `json:"fanout,omitempty"`
	Memory    []PushMemory `json:"memory,omitempty"`
	Isolation []PushRun    `json:"isolation,omitempty"`
	Glass     []PushRun    `json:"glass,omitempty"`
	// OpenFiles is how many files a process may have open here, Ports how many connections one address may make.
	OpenFiles int    `json:"open_files"`
	Ports     string `json:"ports"`
	Machine   string `json:"machine"`
}

// PushRun is one measurement of deliveries. Latencies are those of the probes.
type PushRun struct {
	Name   string  `json:"name"`
	Conns  int     `json:"conns"`
	Views  int     `json:"views"`
	Series int     `json:"series"`
	MaxHz  float64 `json:"max_hz"`
	// Stalled is how many other connections do not read.
	Stalled int `json:"stalled,omitempty"`
	// Deliveries are rows/s over all connections, Messages what they came in, Offered what was to be expected of the
	// readings and the rate asked for.
	Deliveries float64 `json:"deliveries_per_s"`
	Offered    float64 `json:"offered_per_s"`
	Messages   float64 `json:"messages_per_s"`
	MB         float64 `json:"mb_per_s"`
	// ServerCores are of the whole server, BaseCores what it takes without dashboards, LoadCores those of devices and
	// dashboards, OthersCores what else the machine did.
	ServerCores float64 `json:"server_cores"`
	BaseCores   float64 `json:"base_cores"`
	LoadCores   float64 `json:"load_cores"`
	OthersCores float64 `json:"others_cores"`
	// CPU is the server's in µs per delivery, PushCPU without BaseCores.
	CPU     float64 `json:"cpu_us_per_delivery"`
	PushCPU float64 `json:"push_cpu_us_per_delivery"`
	// RSS is the server's in MiB, RSSPerConn its growth since before the connections in KiB.
	RSS        float64 `json:"rss_mib"`
	RSSPerConn float64 `json:"rss_kib_per_conn"`
	// PushP50 and PushP99 are from the making of a message to its receipt, DeviceP50 and DeviceP99 from when the newest
	// reading of a row was due, in ms.
	PushP50   float64 `json:"push_p50_ms"`
	PushP99   float64 `json:"push_p99_ms"`
	DeviceP50 float64 `json:"device_p50_ms"`
	DeviceP99 float64 `json:"device_p99_ms"`
	// Probed rows were decoded: Faults says where they did not follow on each other. Endings are lost connections.
	Probed  int64          `json:"probed_rows"`
	Faults  Faults         `json:"faults"`
	Endings map[string]int `json:"endings,omitempty"`
	Seconds float64        `json:"seconds"`
}

// PushMemory is what connections add to the server's memory.
type PushMemory struct {
	Name  string `json:"name"`
	Conns int    `json:"conns"`
	// Sources is from how many addresses they come.
	Sources int `json:"sources"`
	// RSS is the server's in MiB after, PerConn the growth for each connection in KiB.
	RSS     float64 `json:"rss_mib"`
	PerConn float64 `json:"rss_kib_per_conn"`
	// HeapPerConn is the growth of the live heap, StackPerConn that of the stacks in use, in KiB.
	HeapPerConn  float64 `json:"heap_kib_per_conn"`
	StackPerConn float64 `json:"stack_kib_per_conn"`
	// Laggards and LaggingRows are the server's own figures afterwards.
	Laggards    float64 `json:"laggards"`
	LaggingRows float64 `json:"lagging_rows"`
	Lost        int     `json:"lost"`
}

// Run measures the cases in turn, with a server for each run. With an error comes what was measured before.
func (p Push) Run(ctx context.Context) (*PushResult, error) {
	r := &PushResult{Machine: Machine(), Ports: "unknown"}
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		r.Ports = fmt.Sprintf("%q", text)
	}
	var err error
	if r.OpenFiles, err = openFiles(); err != nil {
		return r, err
	}
	for _, name := range p.Cases {
		switch name {
		case "fanout":
			err = p.fanOut(ctx, r)
		case "memory":
			err = p.memory(ctx, r)
		case "isolation":
			err = p.isolation(ctx, r)
		case "glass":
			err = p.glass(ctx, r)
		default:
			err = fmt.Errorf("there is no case %q, but %v", name, PushCases)
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

func (p *Push) say(format string, values ...any) { fmt.Fprintf(p.Progress, format+"\n", values...) }

// tested is a server under test and the devices that speak to it.
type tested struct {
	*Process
	fleet  *fleet
	paced  chan error
	cancel context.CancelFunc
	// base is what the server takes with the devices alone, in cores; resident its memory then, in MiB.
	base, resident float64
}

// outOfReach are limits that are checked as ever, and do not matter here.
var outOfReach = map[string]string{
	"push.max_connections": "1000000", "push.max_connections_per_address": "1000000", "push.max_connections_per_principal": "1000000",
	"push.max_views": "1000000", "push.max_view_rows": "100000000",
	"push.max_views_per_principal": "1000000", "push.max_view_rows_per_principal": "100000000",
	"push.write_timeout": "10m", // a laggard is to be measured, and not cut
	"public_metrics":     "true",
}

// serve starts a server and devices.
func (p *Push) serve(ctx context.Context, load E2E) (*tested, error) {
	admin, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	load.Log = p.Log
	load.Server = []string{p.Program, "serve", "--log-level", "warn", "--admin-listen", admin}
	set := maps.Clone(outOfReach)
	maps.Copy(set, p.Set)
	for _, key := range slices.Sorted(maps.Keys(set)) {
		load.Server = append(load.Server, "--set", key+"="+set[key])
	}
	s, err := startServer(ctx, load)
	if err != nil { // somebody may have taken a port meanwhile
		if s, err = startServer(ctx, load); err != nil {
			return nil, err
		}
	}
	t := &tested{Process: &Process{server: s, admin: admin}, paced: make(chan error, 1)}
	if t.fleet, err = dialFleet(s.endpoint("ingest"), load); err != nil {
		s.stop()
		return nil, err
	}
	ctx, t.cancel = context.WithCancel(ctx)
	go func() { t.paced <- t.fleet.run(ctx) }()
	return t, nil
}

func (t *tested) end() {
	t.cancel()
	t.fleet.close()
	t.stop()
}

// settle measures the server with the devices alone.
func (t *tested) settle(ctx context.Context, warm, measure time.Duration) error {
	if err := pause(ctx, warm, t.paced); err != nil {
		return err
	}
	before, err := use(t.pid())
	if err != nil {
		return err
	}
	if err := pause(ctx, measure, t.paced); err != nil {
		return err
	}
	after, err := use(t.pid())
	if err != nil {
		return err
	}
	t.base = (after.server - before.server) / after.at.Sub(before.at).Seconds()
	t.resident, err = residentMiB(t.pid())
	return err
}

// used is CPU time so far, in seconds: of the server, of this process, and of everything.
type used struct {
	at                    time.Time
	server, load, machine float64
}

func use(server int) (u used, err error) {
	u.at = time.Now()
	if u.server, err = cpuSeconds(server); err != nil {
		return u, err
	}
	if u.load, err = cpuSeconds(os.Getpid()); err != nil {
		return u, err
	}
	u.machine, err = busySeconds()
	return u, err
}

// measure counts what a swarm receives for a while.
func (p *Push) measure(ctx context.Context, t *tested, swarm *Swarm, run *PushRun) error {
	if err := pause(ctx, p.Warm, t.paced); err != nil {
		return err
	}
	profiled := t.profile(ctx, p.Profile, p.Measure)
	before, err := use(t.pid())
	if err != nil {
		return err
	}
	swarm.Record()
	if err := pause(ctx, p.Measure, t.paced); err != nil {
		return err
	}
	got := swarm.Recorded()
	after, err := use(t.pid())
	if err != nil {
		return err
	}
	if err := <-profiled; err != nil {
		return err
	}
	if run.RSS, err = residentMiB(t.pid()); err != nil {
		return err
	}
	run.fill(before, after, &got)
	run.BaseCores = t.base
	if got.Rows > 0 {
		run.PushCPU = (run.ServerCores - run.BaseCores) / run.Deliveries * 1e6
	}
	run.RSSPerConn = (run.RSS - t.resident) * 1024 / float64(run.Conns+run.Stalled)
	return nil
}

// fill takes what is the same for every server.
func (run *PushRun) fill(before, after used, got *Received) {
	run.Seconds = after.at.Sub(before.at).Seconds()
	run.Deliveries = float64(got.Rows) / run.Seconds
	run.Messages = float64(got.Messages) / run.Seconds
	run.MB = float64(got.Bytes) / run.Seconds / 1e6
	run.ServerCores = (after.server - before.server) / run.Seconds
	run.LoadCores = (after.load - before.load) / run.Seconds
	run.OthersCores = (after.machine-before.machine)/run.Seconds - run.ServerCores - run.LoadCores
	if got.Rows > 0 {
		run.CPU = run.ServerCores / run.Deliveries * 1e6
	}
	const ms = 1000
	run.PushP50, run.PushP99 = float64(got.Push.ValueAtQuantile(50))/ms, float64(got.Push.ValueAtQuantile(99))/ms
	run.DeviceP50, run.DeviceP99 = float64(got.Device.ValueAtQuantile(50))/ms, float64(got.Device.ValueAtQuantile(99))/ms
	run.Probed, run.Faults, run.Endings = got.Probed, got.Faults, got.Endings
}
