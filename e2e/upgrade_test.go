//go:build realkafka

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/telemetry"
	"weir/wire"
)

// TestTheNextReleaseGoesOnWhereTheOneBeforeStopped starts the server on data of the release before: series go on, nothing
// counts twice, and what cannot be taken over begins anew, visibly.
func TestTheNextReleaseGoesOnWhereTheOneBeforeStopped(t *testing.T) {
	for _, how := range []string{"stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			u := &upgrade{t: t, dir: t.TempDir(), addr: freeAddress(t)}
			unpack(t, "testdata/upgrade/"+how+".tar.gz", u.dir)
			before := u.read()
			if before.readings == 0 || before.open() == 0 {
				t.Fatalf("the archive holds %d readings and %d open alerts", before.readings, before.open())
			}
			u.start()
			u.post(upgradeFrame(2, time.Now().Add(-time.Hour), 40)) // the device does not know that it was stored
			u.post(upgradeFrame(3, time.Now().Add(-5*time.Minute), 5))
			u.post(upgradeFrame(4, time.Now().Add(-4*time.Minute), 120))
			begunAnew := u.settle()
			u.stop()
			after := u.read()
			after.check(t)
			u.compare(before, after, begunAnew)
			t.Logf("before: %d readings in %d series, %d alerts open; after: %d readings, %d alerts open, %d parts of states begun anew",
				before.readings, len(before.series), before.open(), after.readings, after.open(), begunAnew)
		})
	}
}

// upgradeSeries is the one with the alert.
const upgradeSeries = "upgrade/press/temperature"

// upgrade is a data directory and the server on it.
type upgrade struct {
	t     *testing.T
	dir   string
	addr  string
	token string
	cmd   *exec.Cmd
	log   lockedBuffer
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			err = os.MkdirAll(name, 0o700)
		} else {
			var body []byte
			if body, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(name, body, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (u *upgrade) start() {
	u.t.Helper()
	binary := os.Getenv("WEIR_BIN")
	if binary == "" {
		u.t.Fatal("WEIR_BIN is not set: run `make test-kafka`, or build with `make build` and set it to bin/weir")
	}
	out, err := exec.Command(binary, "token", "create", "-q", "--signing-key", filepath.Join(u.dir, "credentials", "signing.key"),
		"--role", "admin", "--role", "device", "--read", "#", "--write", "#", "upgrade").Output()
	if err != nil {
		u.t.Fatalf("make a token: %v", err)
	}
	u.token = strings.TrimSpace(string(out))
	u.cmd = exec.Command(binary, "serve", "--listen", u.addr, "--data", u.dir)
	// The archive may be older than what is kept by default.
	u.cmd.Env = append(os.Environ(), "WEIR_PIPELINE__CHECKPOINT_PERIOD=300ms")
	for _, topic := range []string{"READINGS", "UPDATES", "ALERTS", "DEAD_LETTERS", "BACKLOG", "MESSAGES"} {
		u.cmd.Env = append(u.cmd.Env, "WEIR_RETENTION__"+topic+"__AGE=876000h")
	}
	u.cmd.Stdout, u.cmd.Stderr = &u.log, &u.log
	if err := u.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() {
		_ = u.cmd.Process.Kill()
		if u.t.Failed() {
			u.t.Logf("log of the server:\n%s", u.log.tail(60))
		}
	})
	eventually(u.t, 60*time.Second, "the server is ready", func() error {
		_, err := u.request(http.MethodGet, "/readyz", nil)
		return err
	})
}

func (u *upgrade) request(method, path string, body []byte) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+u.addr+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+u.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %.300s", path, response.Status, text)
	}
	return string(text), err
}

// upgradeFrame has readings of the series with the alert, a second apart, as they were before it.
func upgradeFrame(seq int, from time.Time, n int) []byte {
	out := fmt.Appendf(nil, `{"device":"upgrade/press","session":"boot","seq":%d,"readings":[`, seq)
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `{"metric":"temperature","ts":%d,"value":%d}`, from.Add(time.Duration(i)*time.Second).UnixMicro(), 20+i%3)
	}
	return append(out, "]}"...)
}

func (u *upgrade) post(frame []byte) {
	u.t.Helper()
	if _, err := u.request(http.MethodPost, "/v1/readings", frame); err != nil {
		u.t.Fatal(err)
	}
}

// settle waits until all is applied and in checkpoints, and returns how many parts of states were not taken over.
func (u *upgrade) settle() (begunAnew int) {
	u.t.Helper()
	still := 0
	eventually(u.t, 60*time.Second, "the pipeline has caught up", func() error {
		exposition, err := u.request(http.MethodGet, "/metrics", nil)
		if err != nil {
			return err
		}
		if lag := metricSum(u.t, exposition, "weir_pipeline_lag_records"); lag > 4 {
			still = 0
			return fmt.Errorf("%v records to go", lag)
		}
		begunAnew = int(metricSum(u.t, exposition, "weir_pipeline_unknown_layouts_total"))
		if still++; still < 20 {
			return errors.New("it has only just")
		}
		return nil
	})
	return begunAnew
}

func metricSum(t *testing.T, exposition, name string) (sum float64) {
	t.Helper()
	found := false
	for line := range strings.Lines(exposition) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("no metric %s", name)
	}
	return sum
}

// stop ends the server in order and reads its log.
func (u *upgrade) stop() {
	u.t.Helper()
	_ = u.cmd.Process.Signal(syscall.SIGTERM)
	if err := u.cmd.Wait(); err != nil {
		u.t.Errorf("stop: %v", err)
	}
	for line := range strings.Lines(u.log.tail(100_000)) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			u.t.Error(line)
		}
	}
}

// written is what a data directory holds.
type written struct {
	readings uint64
	stored   map[string]uint64 // by series, each frame once
	series   map[string]*upgradeChain
	alerts   map[string]telemetry.Alert // the last transition by id
	latest   map[string]bool            // alerts that weir.latest holds
	faults   []string
}

type upgradeChain struct {
	n      uint64
	last   telemetry.Version
	states []telemetry.State // the worst of each row
}

func (w *written) open() (n int) {
	for _, a := range w.alerts {
		if a.Phase != telemetry.Resolved {
			n++
		}
	}
	return n
}

// read reads a copy: opening a broker writes.
func (u *upgrade) read() *written {
	u.t.Helper()
	dir := u.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(u.dir, "kafka"))); err != nil {
		u.t.Fatal(err)
	}
	broker, err := embedded.Open(embedded.Options{Dir: dir})
	if err != nil {
		u.t.Fatal(err)
	}
	defer broker.Close()
	client, err := kafka.New(broker.Options())
	if err != nil {
		u.t.Fatal(err)
	}
	defer client.Close()
	w := &written{stored: map[string]uint64{}, series: map[string]*upgradeChain{}, alerts: map[string]telemetry.Alert{}, latest: map[string]bool{}}
	frames := map[string]bool{}
	for topic, take := range map[string]func(*kafka.Record) error{
		wire.TopicReadings: func(r *kafka.Record) error { return w.reading(r, frames) },
		wire.TopicUpdates:  w.update,
		wire.TopicAlerts: func(r *kafka.Record) error {
			a, err := wire.DecodeAlert(slices.Clone(r.Value))
			w.alerts[a.ID] = a
			return err
		},
		wire.TopicLatest: func(r *kafka.Record) error {
			if kind, name := wire.ParseLatestKey(r.Key); kind == wire.LatestAlert {
				w.latest[strings.Clone(name)] = r.Value != nil
			}
			return nil
		},
	} {
		if err := eachAccepted(u.t.Context(), client, topic, take); err != nil {
			u.t.Fatalf("%s: %v", topic, err)
		}
	}
	return w
}

func eachAccepted(ctx context.Context, client *kafka.Client, topic string, take func(*kafka.Record) error) error {
	ranges, err := client.Offsets(ctx, topic)
	if err != nil {
		return err
	}
	for partition, r := range ranges {
		var fences kafka.FenceFilter
		err := client.ReadRange(ctx, topic, partition, r.First, r.End, func(r *kafka.Record) error {
			if !fences.Accept(r) {
				return nil
			}
			return take(r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *written) reading(r *kafka.Record, frames map[string]bool) error {
	if wire.IsControl(r.Value) {
		return nil
	}
	var c wire.ReadingColumns
	if err := c.Unmarshal(slices.Clone(r.Value)); err != nil {
		return err
	}
	name := fmt.Sprintf("%s %s %d", c.Device, c.Session, c.Seq)
	if c.Session != "" && frames[name] {
		return nil
	}
	frames[name] = true
	for i := range c.Value {
		metric := c.Metrics[0]
		if len(c.Metric) > 0 {
			metric = c.Metrics[c.Metric[i]]
		}
		w.stored[telemetry.Series(c.Device, metric)]++
		w.readings++
	}
	return nil
}

func (w *written) update(r *kafka.Record) error {
	if wire.IsControl(r.Value) {
		return nil
	}
	rows, err := wire.DecodeUpdateBatch(slices.Clone(r.Value), nil, nil)
	for i := range rows {
		u := &rows[i]
		c := w.series[u.Series]
		if c == nil {
			c = &upgradeChain{last: telemetry.NoVersion}
			w.series[u.Series] = c
		}
		if u.Since != c.last {
			w.faults = append(w.faults, fmt.Sprintf("%s: (%d, %d] follows version %d", u.Series, u.Since, u.Version, c.last))
		}
		c.last = u.Version
		c.n += u.N + u.Late + u.Invalid
		c.states = append(c.states, u.Worst)
	}
	return err
}

// check finds what must not be, whoever wrote it.
func (w *written) check(t *testing.T) {
	t.Helper()
	for _, f := range w.faults {
		t.Error(f)
	}
	for series, n := range w.stored {
		if c := w.series[series]; c == nil || c.n != n {
			t.Errorf("%s: %d readings are stored, its updates hold %+v", series, n, c)
		}
	}
	for id, a := range w.alerts {
		if open := a.Phase != telemetry.Resolved; open != w.latest[id] {
			t.Errorf("alert %s of %s is %s, and in %s: %v", id, a.Series, a.Phase, wire.TopicLatest, w.latest[id])
		}
	}
}

// compare checks that the next release goes on with what was there.
func (u *upgrade) compare(before, after *written, begunAnew int) {
	u.t.Helper()
	const posted = 5 + 120
	if after.readings != before.readings+posted {
		u.t.Errorf("%d new readings were posted to %d, and %d are stored", posted, before.readings, after.readings)
	}
	for id, a := range before.alerts {
		if now, ok := after.alerts[id]; !ok || now.Version < a.Version {
			u.t.Errorf("alert %s of %s was %s at %d, and is %+v", id, a.Series, a.Phase, a.Version, now)
		}
	}
	c := after.series[upgradeSeries]
	fresh := c.states[len(before.series[upgradeSeries].states):]
	if len(fresh) == 0 {
		u.t.Fatalf("%s has no update of the new release", upgradeSeries)
	}
	if warming := fresh[0] == telemetry.Warming; warming != (begunAnew > 0) {
		u.t.Errorf("%s goes on as %v, and %d parts of states begin anew", upgradeSeries, fresh, begunAnew)
	}
}
