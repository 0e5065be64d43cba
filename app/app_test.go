package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/config"
)

// refusal is the error of New, which must undo everything.
func refusal(t *testing.T, c config.Config) error {
	t.Helper()
	a, err := New(Options{Config: c})
	if err == nil {
		t.Fatal(errors.Join(errors.New("accepted"), a.Close()))
	}
	return err
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestAWrongConfigurationStopsTheStartWithTheFieldsFullPath(t *testing.T) {
	c := memory()
	c.Pipeline.FlushPeriod, c.Ingest.Credit = 0, 0
	err := refusal(t, c)
	for _, path := range []string{"pipeline.flush_period: ", "ingest.credit: "} {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("no %q in: %v", path, err)
		}
	}
}

func TestWhoAnOpenServerIsAskedByMakesNoDifference(t *testing.T) {
	c := memory()
	c.Listen = "0.0.0.0:0"
	r := start(t, c)
	if d := r.dashboard("#"); !d.welcome.Insecure {
		t.Error("pages are not told")
	}
	if status, _ := r.get("/healthz", "weir.example"); status != http.StatusOK {
		t.Errorf("an open server answers %d to its name", status)
	}
}

func TestAnOpenServerStillRefusesForeignPages(t *testing.T) {
	c := memory()
	c.Listen, c.InsecureOpen = "0.0.0.0:0", true
	c.AllowedOrigins = []string{"https://wall.example"}
	r := start(t, c)
	const evil = "https://evil.example"
	for origin, want := range map[string]bool{
		"": true, strings.TrimSuffix(r.URL(), "/"): true, "https://wall.example": true, evil: false, "null": false,
	} {
		if got := r.admits("v1/live?subscribe=%23", origin); got != want {
			t.Errorf("live from %q: %v", origin, got)
		}
		if got := r.admits("v1/ingest", origin); got != want {
			t.Errorf("ingest from %q: %v", origin, got)
		}
		if got := r.posts(origin) == http.StatusOK; got != want {
			t.Errorf("post from %q: %v", origin, got)
		}
	}
}

func TestEveryPageConnectsOnlyWhenTheConfigurationSaysSoAndTheLogWarns(t *testing.T) {
	var log syncBuffer
	c := memory()
	c.AllowedOrigins = []string{config.EveryOrigin}
	r := startLogging(t, c, slog.New(slog.NewTextHandler(&log, nil)))
	if !r.admits("v1/live", "https://elsewhere.example") || r.posts("https://elsewhere.example") != http.StatusOK {
		t.Error("a foreign page is refused")
	}
	if !strings.Contains(log.String(), "INSECURE: every web page") {
		t.Errorf("no warning in the log:\n%s", log.String())
	}
}

func TestALoopbackServerAnswersForItselfOnly(t *testing.T) {
	c := memory()
	c.AllowedHosts = []string{"weir.example"}
	r := start(t, c)
	for host, want := range map[string]int{
		"": 200, "localhost": 200, "localhost:7420": 200, "127.0.0.1": 200, "[::1]:80": 200, "weir.example": 200, "a.localhost": 200,
		"evil.example": 421, "evil.example:7420": 421, "127.0.0.1.evil.example": 421,
	} {
		for _, path := range []string{"/healthz", "/", "/v1/snapshot?series=a"} {
			if status, body := r.get(path, host); status != want {
				t.Errorf("%q as host of %s: %d %s", host, path, status, body)
			}
		}
	}
}

func TestReadinessTellsOfEachPart(t *testing.T) {
	r := start(t, memory())
	var answer struct {
		Ready bool
		Parts map[string]condition
	}
	_, body := r.get("/readyz", "")
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"kafka", "ingest", "pipeline", "push"} {
		if !answer.Parts[part].Ready {
			t.Errorf("%s: %+v", part, answer.Parts[part])
		}
	}
	status, body := r.get("/metrics", "")
	for _, name := range []string{"weir_build_info{", "weir_ingest_frames_total", "weir_pipeline_", "weir_push_", "process_cpu_seconds_total"} {
		if status != http.StatusOK || !strings.Contains(string(body), name) {
			t.Errorf("no %s in the metrics", name)
		}
	}
	if status, body := r.get("/version", ""); status != http.StatusOK || !strings.Contains(string(body), `"version":"test"`) {
		t.Errorf("version: %d %s", status, body)
	}
	if status, body := r.get("/v1/nothing", ""); status != http.StatusNotFound || !strings.Contains(string(body), `"not_found"`) {
		t.Errorf("unknown path: %d %s", status, body)
	}
}

func TestNoPartIsReadyFromTheMomentAStopIsAskedFor(t *testing.T) {
	r := start(t, memory())
	answered := make(chan struct{})
	r.steps.push("drain", func() error { // the first to stop, while every part still runs
		defer close(answered)
		var answer struct {
			Ready bool
			Parts map[string]condition
		}
		status, body := r.get("/readyz", "")
		if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusServiceUnavailable || answer.Ready {
			t.Errorf("%d %s, %v", status, body, err)
		}
		for _, part := range []string{"kafka", "ingest", "pipeline", "push"} {
			if want := (condition{Reason: "draining"}); answer.Parts[part] != want {
				t.Errorf("%s: %+v", part, answer.Parts[part])
			}
		}
		return nil
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	<-answered
}

func TestWithoutItsClusterAProcessLivesUnreadyAndThenGivesUp(t *testing.T) {
	c := memory()
	c.Kafka.Brokers = []string{"127.0.0.1:1"}
	c.Kafka.StartTimeout = time.Second
	c.Roles = []string{config.RoleIngest}
	a, err := New(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- a.Run(context.Background()) }()
	url := strings.TrimSuffix(a.URL(), "/")
	eventually(t, "alive", func() bool { status, _ := get(t, url+"/healthz", ""); return status == http.StatusOK })
	if status, body := get(t, url+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "connecting") {
		t.Errorf("readyz: %d %s", status, body)
	}
	if status, _ := get(t, url+"/v1/snapshot", ""); status != http.StatusServiceUnavailable {
		t.Errorf("snapshot: %d", status)
	}
	if err := <-result; err == nil || !strings.Contains(err.Error(), "kafka.start_timeout") || hintOf(err) == "" {
		t.Errorf("ended with %v", err)
	}
}

func TestTwoProcessesCannotShareADataDirectory(t *testing.T) {
	c := onDisk(t)
	start(t, c)
	if err := refusal(t, c); !strings.HasPrefix(err.Error(), "data: ") || !strings.Contains(hintOf(err), "--data") {
		t.Errorf("%v (%s)", err, hintOf(err))
	}
}

func TestAnAddressInUseIsNamedWithWhatToDo(t *testing.T) {
	c := memory()
	r := start(t, c)
	c.Listen = r.Addr().String()
	if err := refusal(t, c); !strings.Contains(err.Error(), "in use") || !strings.Contains(hintOf(err), "--listen") {
		t.Errorf("%v (%s)", err, hintOf(err))
	}
}

// runError starts a process that must refuse to go on.
func runError(t *testing.T, c config.Config) error {
	t.Helper()
	a, err := New(Options{Config: c})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = a.Run(ctx)
	if err == nil {
		t.Fatal("the process ran")
	}
	return err
}

func TestAStartRefusesOtherPartitionsAndAnotherEpochNamingTheTopic(t *testing.T) {
	c := onDisk(t)
	c.Partitions = 2
	t.Run("made", func(t *testing.T) { start(t, c) })

	other := c
	other.Partitions = 6
	if err := runError(t, other); !strings.Contains(err.Error(), "partitions: ") || !strings.Contains(err.Error(), "weir.") {
		t.Errorf("other partitions: %v", err)
	}
	t.Run("partitions are remembered", func(t *testing.T) {
		unset := c
		unset.Partitions = 0
		start(t, unset)
	})
	file := filepath.Join(c.Data, identityFile)
	if err := os.WriteFile(file, []byte(`{"epoch":"of-another-cluster","partitions":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := runError(t, c); !strings.Contains(err.Error(), "weir.devices: its epoch is") || hintOf(err) == "" {
		t.Errorf("another epoch: %v", err)
	}
}

func TestTheFirstRunKeepsAsMuchAsTheNext(t *testing.T) {
	for _, partitions := range []int{0, 2} {
		c := onDisk(t)
		c.Partitions = partitions
		r := start(t, c)
		made, err := readIdentity(c.Data)
		if err != nil {
			t.Fatal(err)
		}
		first, next := foreseenPartitions(&c, r.remembered), foreseenPartitions(&c, made)
		if first != made.Partitions || next != made.Partitions {
			t.Errorf("partitions %d: %d were made, the first run's retention is for %d and the next's for %d",
				partitions, made.Partitions, first, next)
		}
	}
}

func TestTheProfilerIsOnItsOwnListener(t *testing.T) {
	c := memory()
	c.AdminListen = "127.0.0.1:0"
	r := start(t, c)
	if status, _ := get(t, "http://"+r.admin.Addr().String()+"/debug/pprof/cmdline", ""); status != http.StatusOK {
		t.Errorf("profiler: %d", status)
	}
	if status, _ := r.get("/debug/pprof/cmdline", ""); status != http.StatusNotFound {
		t.Errorf("profiler on the public address: %d", status)
	}
}

func TestTheStackUnwindsBackwardsOnceAndLeavesBehindWhatHangs(t *testing.T) {
	var order []string
	hung := make(chan struct{})
	defer close(hung)
	s := &stack{log: slog.New(slog.DiscardHandler), timeout: 20 * time.Millisecond}
	note := func(name string, err error) { s.push(name, func() error { order = append(order, name); return err }) }
	note("first", nil)
	note("second", errors.New("broke"))
	s.push("third", func() error { <-hung; return nil })
	note("fourth", nil)
	err := s.unwind()
	if want := []string{"fourth", "second", "first"}; !slices.Equal(order, want) {
		t.Errorf("order %v", order)
	}
	if err == nil || err.Error() != "stop third: not within 20ms\nstop second: broke" {
		t.Errorf("error %v", err)
	}
	if again := s.unwind(); again.Error() != err.Error() || len(order) != 3 {
		t.Errorf("unwound twice: %v %v", again, order)
	}
	note("late", nil)
	if order[len(order)-1] != "late" {
		t.Error("what was begun after the end is not undone")
	}
}

func TestAStartDoesNotWaitForWhatHasFailed(t *testing.T) {
	a := &App{failed: make(chan error, 1)}
	cause := errors.New("cannot be read")
	a.failed <- cause
	if err := a.await(t.Context(), "part", make(chan struct{})); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}
