package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/config"
	"weir/pipeline/plan"
)

const windowedPlan = `
pipelines:
  - match: "plant1/+/temperature"
    windows: [{name: 1s, size: 1s, grace: 0s, functions: [count]}]
`

// replaceFile writes as editors do: another file, renamed.
func replaceFile(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path+".new", []byte(text), 0o600))
	must(t, os.Rename(path+".new", path))
}

// declared is the answer of GET /v1/pipelines.
func (r *running) declared() (out plansAnswer) {
	r.t.Helper()
	status, body := r.get("/v1/pipelines", "")
	if status != http.StatusOK {
		r.t.Fatalf("pipelines: %d %s", status, body)
	}
	must(r.t, json.Unmarshal(body, &out))
	return out
}

// follows reports whether all partitions follow a plan.
func (a *plansAnswer) follows(hash string) bool {
	for _, p := range a.Partitions {
		if p.InForce == nil || *p.InForce != hash {
			return false
		}
	}
	return len(a.Partitions) > 0
}

func hashOf(t testing.TB, text string) string {
	t.Helper()
	p, err := plan.Parse([]byte(text))
	must(t, err)
	return p.Hash()
}

func (r *running) metric(name string) string {
	r.t.Helper()
	_, body := r.get("/metrics", "")
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestAFileIsEditedWhileReadingsFlowAndNothingIsLost(t *testing.T) {
	c := onDisk(t)
	c.PipelinesFile = filepath.Join(t.TempDir(), "plans.yaml")
	replaceFile(t, c.PipelinesFile, "")
	r := start(t, c)
	r.eventually("the first plan is in force", func() bool { out := r.declared(); return out.follows(hashOf(t, "")) })
	d, dev := r.dashboard("plant1/#"), r.dial("v1/ingest")
	const series, counts = "plant1/press7/temperature", "plant1/press7/temperature.1s.count"
	sent, at := uint64(0), time.Now().Add(-time.Hour).UnixMilli()
	send := func() { // a second of readings
		e := envelope{Device: "plant1/press7", Session: "boot", Seq: sent}
		for range 10 {
			e.Readings = append(e.Readings, reading{"temperature", at, 20})
			at += 100
			sent++
		}
		dev.deliver(t, e)
		for d.count(series) < sent {
			d.step()
		}
	}
	send()
	if d.count(counts) != 0 {
		t.Fatal("there are windows before they are declared")
	}
	replaceFile(t, c.PipelinesFile, windowedPlan)
	for deadline := time.Now().Add(patience); d.count(counts) == 0; {
		if send(); time.Now().After(deadline) {
			t.Fatal("no window comes")
		}
	}
	good := hashOf(t, windowedPlan)
	// Each partition changes over by itself: that of the series may be the first.
	r.eventually("the file is in force", func() bool {
		out := r.declared()
		return out.follows(good) && out.OK && *out.Wanted == good && *out.File == c.PipelinesFile
	})
	replaceFile(t, c.PipelinesFile, "pipelines:\n  - match: a/b\n    filter: foo(1)\n    colour: red\n")
	r.eventually("the faults are told", func() bool { return len(r.declared().Faults) == 2 })
	send()
	out := r.declared()
	if !out.follows(good) || out.OK || *out.Wanted != good || !strings.Contains(out.Faults[0], "(line 3)") {
		t.Errorf("with a bad file: %+v", out)
	}
	if ok := r.metric("weir_pipelines_reload_ok"); ok != "0" {
		t.Errorf("weir_pipelines_reload_ok is %s with a bad file", ok)
	}
	windows := d.count(counts)
	for range 3 {
		send()
	}
	for d.count(counts) < windows+2 {
		d.step()
	}
	replaceFile(t, c.PipelinesFile, windowedPlan+"# again\n")
	r.eventually("it is good again", func() bool { return r.declared().OK && r.metric("weir_pipelines_reload_ok") == "1" })
	if n := d.count(series); n != sent {
		t.Errorf("%d readings sent, %d shown", sent, n)
	}
}

func TestAFileWithFaultsKeepsTheServerFromStarting(t *testing.T) {
	c := memory()
	c.PipelinesFile = filepath.Join(t.TempDir(), "plans.yaml")
	replaceFile(t, c.PipelinesFile, "pipelines:\n  - match: a/b\n    filter: foo(1)\n    colour: red\n")
	_, err := New(Options{Config: c})
	if err == nil {
		t.Fatal("it starts")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], c.PipelinesFile+": pipelines[0].filter (line 3): ") || !strings.Contains(lines[2], "(line 4)") {
		t.Errorf("the faults are told as\n%s", err)
	}
	c.PipelinesFile += ".none"
	if _, err := New(Options{Config: c}); err == nil || !strings.Contains(err.Error(), "pipelines_file") {
		t.Errorf("a file that is not there: %v", err)
	}
	replaceFile(t, c.PipelinesFile, "# "+strings.Repeat("x", maxPlanBytes))
	if _, err := New(Options{Config: c}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file that is too large: %v", err)
	}
}

// following is a plans by itself.
func following(t *testing.T, c *config.Config) (*plans, *syncBuffer, *metrics.Set) {
	t.Helper()
	log, set := new(syncBuffer), metrics.NewSet()
	p, err := openPlans(c, slog.New(slog.NewTextHandler(log, nil)), set)
	must(t, err)
	p.patience = 10 * time.Millisecond
	p.unmatched = func(context.Context, *plan.Plan) {}
	return p, log, set
}

func (p *plans) begin(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { _ = p.run(ctx) })
	t.Cleanup(func() { cancel(); wait.Wait() })
}

func TestAFileThatComesLaterIsTakenAndOneThatGoesIsMissed(t *testing.T) {
	c := onDisk(t)
	p, log, set := following(t, &c)
	p.begin(t)
	if p.Current().Hash() != plan.Default().Hash() {
		t.Error("without a file the plan is not the default")
	}
	file := filepath.Join(c.Data, plansFile)
	replaceFile(t, file, windowedPlan)
	eventually(t, "the file is taken", func() bool { return p.Current().Hash() == hashOf(t, windowedPlan) })
	must(t, os.Remove(file))
	eventually(t, "the loss is told", func() bool { _, faults := p.state(); return len(faults) == 1 })
	if p.Current().Hash() != hashOf(t, windowedPlan) {
		t.Error("the plan went with the file")
	}
	p.reload(false)
	if n := strings.Count(log.String(), "not reloaded"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log)
	}
	var text bytes.Buffer
	set.WritePrometheus(&text)
	if !strings.Contains(text.String(), "weir_pipelines_reload_ok 0\n") {
		t.Errorf("metrics:\n%s", &text)
	}
}

// As volumes of a ConfigMap are: the file is a link into a directory that is a link, which is exchanged.
func TestALinkThatIsExchangedIsNoticed(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name, "pipelines.yaml"), []byte(text), 0o600))
		must(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", "")
	c := memory()
	c.PipelinesFile = filepath.Join(dir, "pipelines.yaml")
	must(t, os.Symlink("..data/pipelines.yaml", c.PipelinesFile))
	p, _, _ := following(t, &c)
	p.begin(t)
	version("..2", windowedPlan)
	eventually(t, "the other version is taken", func() bool { return p.Current().Hash() == hashOf(t, windowedPlan) })
}

func TestAReloadThatIsAskedForTellsTheFaultsAgain(t *testing.T) {
	c := memory()
	c.PipelinesFile = filepath.Join(t.TempDir(), "plans.yaml")
	replaceFile(t, c.PipelinesFile, "")
	p, log, _ := following(t, &c)
	replaceFile(t, c.PipelinesFile, "nonsense: true\n")
	for range 3 {
		p.reload(false)
	}
	told := func() int { return strings.Count(log.String(), "nonsense") }
	if told() != 1 {
		t.Errorf("told %d times by itself:\n%s", told(), log)
	}
	if p.reload(true); told() != 2 {
		t.Errorf("told %d times when asked:\n%s", told(), log)
	}
}

func TestPatternsThatSelectNothingAreWarnedOf(t *testing.T) {
	c := memory()
	c.PipelinesFile = filepath.Join(t.TempDir(), "plans.yaml")
	replaceFile(t, c.PipelinesFile, "pipelines:\n  - {match: \"plant1/#\", unit: K}\n  - {match: \"plant9/#\", unit: K}\n")
	log := new(syncBuffer)
	r := startLogging(t, c, slog.New(slog.NewTextHandler(log, nil)))
	if status := r.posts(""); status != http.StatusOK {
		t.Fatal(status)
	}
	dev := r.dial("v1/ingest")
	dev.deliver(t, envelope{Device: "plant1/press7", Session: "boot", Seq: 1, Readings: wave("temperature", 1)})
	r.eventually("the series is known", func() bool { return len(r.snapshot("plant1/%23").Rows) == 1 })
	eventually(t, "all partitions answer", func() bool {
		r.plans.unmatched(t.Context(), r.plans.Current())
		return strings.Contains(log.String(), "selects nothing")
	})
	if text := log.String(); !strings.Contains(text, "plant9/#") || strings.Contains(text, `pattern="pipelines[0]`) {
		t.Errorf("the log says\n%s", text)
	}
}

func TestWithoutAFileOnAClusterWhatIsInForceStays(t *testing.T) {
	c := onDisk(t)
	c.Kafka.Brokers = []string{"127.0.0.1:9092"}
	if p, err := openPlans(&c, slog.New(slog.DiscardHandler), metrics.NewSet()); err != nil || p != nil {
		t.Errorf("%v, %v", p, err)
	}
	replaceFile(t, filepath.Join(c.Data, plansFile), "")
	if p, err := openPlans(&c, slog.New(slog.DiscardHandler), metrics.NewSet()); err != nil || p == nil {
		t.Errorf("with a file: %v, %v", p, err)
	}
}
