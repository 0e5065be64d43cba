//go:build soak

package soak

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/kafka/kafkatest"
)

// rig is everything that takes part.
type rig struct {
	*testing.T
	dir     string
	key     string // signing key file
	admin   string // a token
	servers []*server
	ingest  []string // addresses of ingest, behind links
	uplinks []*link
	broker  *link
	devices []*program
	configs []deviceConfig
	records func() kafka.Options // to read with, when all is over
}

func TestWhatIsReceiptedOnARealKafkaIsThereOnce(t *testing.T) {
	r := newRig(t)
	proxy := freeAddress(t)
	cluster := kafkatest.StartRealBehind(t, proxy, func(broker string) { r.broker = connect(t, "broker", proxy, broker) })
	r.records = cluster.Options
	// Short enough that the time of a run is not spent waiting.
	env := []string{"WEIR_PIPELINE__SESSION_TIMEOUT=6s", "WEIR_KAFKA__DELIVERY_TIMEOUT=3s"}
	for i, roles := range []string{"ingest", "ingest", "pipeline,push"} {
		addr := freeAddress(t)
		s := serve(t, fmt.Sprintf("%s-%d", strings.ReplaceAll(roles, ",", "-"), i), addr, env,
			"--roles", roles, "--kafka-brokers", proxy, "--set", "auth.signing_key_file="+r.key)
		r.servers = append(r.servers, s)
		if roles == "ingest" {
			r.uplink(addr)
		}
		eventually(t, time.Minute, s.name+" is ready", s.ready)
	}
	r.soak("soak-real-kafka")
}

func TestWhatIsReceiptedOnTheEmbeddedBrokerIsThereOnce(t *testing.T) {
	r := newRig(t)
	addr := freeAddress(t)
	s := serve(t, "weir", addr, nil, "--set", "auth.signing_key_file="+r.key)
	eventually(t, time.Minute, "the server is ready", s.ready)
	r.servers = []*server{s}
	r.uplink(addr)
	r.uplink(addr)
	r.records = func() kafka.Options {
		if err := s.finish(30 * time.Second); err != nil {
			t.Fatalf("stop the server: %v", err)
		}
		broker, err := embedded.Open(embedded.Options{Dir: filepath.Join(s.data, "kafka")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = broker.Close() })
		return broker.Options()
	}
	r.soak("soak-embedded")
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, dir: t.TempDir()}
	r.key = filepath.Join(r.dir, "signing.key")
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	if err := os.WriteFile(r.key, []byte(hex.EncodeToString(secret)), 0o600); err != nil {
		t.Fatal(err)
	}
	r.admin = r.token("--role", "admin", "--role", "device", "--read", "#", "--write", "#", "soak")
	return r
}

// token makes one with the signing key.
func (r *rig) token(args ...string) string {
	r.Helper()
	out, err := exec.Command(weirBinary(r.T), append([]string{"token", "create", "-q", "--ttl", "24h", "--signing-key", r.key}, args...)...).Output()
	if err != nil {
		r.Fatalf("make a token: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func (r *rig) uplink(to string) {
	l := connect(r.T, "devices", freeAddress(r.T), to)
	r.uplinks, r.ingest = append(r.uplinks, l), append(r.ingest, l.addr())
}

// startDevices begins with devices that differ in how they send.
func (r *rig) startDevices(n int) {
	for i := range n {
		path := fmt.Sprintf("plant/line%d/press%d", i%3, i)
		c := deviceConfig{
			Device: path, Addresses: r.ingest, Token: r.token("--device", path, fmt.Sprintf("press%d", i)),
			Buffer: filepath.Join(r.dir, fmt.Sprintf("buffer%d", i)), Journal: filepath.Join(r.dir, fmt.Sprintf("journal%d", i)),
			Seed: *soakSeed*1000 + uint64(i), Frames: 20,
			Columns: i%3 == 1, Compress: i%3 == 2, TokenInMessage: i%2 == 1, NoSync: i%2 == 0,
		}
		d := &soakDevice{deviceConfig: c}
		r.configs = append(r.configs, c)
		r.devices = append(r.devices, launch(r.T, &program{
			name: fmt.Sprintf("device%d", i), log: filepath.Join(r.dir, fmt.Sprintf("device%d.log", i)),
			command: func() *exec.Cmd {
				cmd := exec.Command(os.Args[0])
				cmd.Env = d.environ()
				return cmd
			}}))
	}
}

// soak breaks everything for a while, brings it back, and counts.
func (r *rig) soak(name string) {
	began := time.Now()
	r.startDevices(6)
	c := &chaos{
		t: r.T, rng: mathrand.New(mathrand.NewPCG(*soakSeed, 0)),
		servers: r.servers, devices: r.devices, uplinks: r.uplinks, broker: r.broker,
	}
	ctx, cancel := context.WithTimeout(r.Context(), *soakTime)
	defer cancel()
	c.run(ctx)
	r.Logf("faults are over after %v: %v", time.Since(began).Round(time.Second), c.done)
	for _, s := range r.servers {
		eventually(r.T, 90*time.Second, s.name+" is ready again", s.ready)
	}
	time.Sleep(time.Second) // a device that was started last can be told to end by now
	for _, d := range r.devices {
		d.finishing.Store(true)
		d.signal(syscall.SIGTERM)
	}
	for _, d := range r.devices {
		if err := d.finish(4 * time.Minute); err != nil {
			r.Errorf("%s did not deliver all it had: %v", d.name, err)
		}
	}
	r.awaitPipeline()
	r.checkLogs()
	p := r.prove()
	result := ingestResult{about: aboutNow(r.T, name, began), Seed: *soakSeed, Faults: c.done, Counts: p.counts}
	for _, s := range r.servers {
		result.Restarts += int(s.kills.Load())
		result.EndedByThemselves += int(s.ends.Load())
	}
	for _, d := range r.devices {
		result.DeviceKills += int(d.kills.Load())
		if n := d.ends.Load(); n > 0 {
			r.Errorf("%s ended by itself %d times:\n%s", d.name, n, tail(d.log, 10))
		}
	}
	result.Passed = !r.Failed()
	writeResult(r.T, name, result, result.table())
}

// awaitPipeline waits until all that is in weir.readings has been applied.
func (r *rig) awaitPipeline() {
	owner := r.servers[len(r.servers)-1]
	still := 0
	eventually(r.T, 2*time.Minute, "the pipeline has caught up", func(ctx context.Context) error {
		lag, err := owner.metric(ctx, r.admin, "weir_pipeline_lag_records")
		if err == nil && lag > 0 {
			err = fmt.Errorf("%v records to go", lag)
		}
		if still++; err != nil {
			still = 0
		} else if still < 20 { // 2 s: a flush and its way to Kafka are over
			err = fmt.Errorf("it has only just")
		}
		return err
	})
}

// checkLogs finds what must not happen whatever breaks.
func (r *rig) checkLogs() {
	for _, s := range r.servers {
		text, err := os.ReadFile(s.log)
		if err != nil {
			r.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "panic") || strings.Contains(line, "fatal error") {
				r.Errorf("%s: %s", s.name, line)
			}
		}
	}
}

// ingestResult is what is kept of a run.
type ingestResult struct {
	about
	Seed              uint64         `json:"seed"`
	Faults            map[string]int `json:"faults"`
	Restarts          int            `json:"server_kills"`
	EndedByThemselves int            `json:"servers_ended_by_themselves"`
	DeviceKills       int            `json:"device_kills"`
	Counts            counts         `json:"counts"`
}

func (r *ingestResult) table() string {
	n := &r.Counts
	row := func(name string, value any) [2]string { return [2]string{name, fmt.Sprint(value)} }
	rows := [][2]string{
		row("seed", r.Seed), row("seconds, with the proof", r.Seconds),
		row("kills of servers (SIGKILL)", r.Restarts), row("servers that gave up without Kafka and were started again", r.EndedByThemselves),
		row("kills of devices (SIGKILL)", r.DeviceKills),
	}
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		rows = append(rows, row(name, r.Faults[name]))
	}
	rows = append(rows,
		row("frames written down before they were sent", n.Frames), row("readings in them", n.Readings),
		row("receipts", n.Receipts), row("frames that were taken and have none (at most one for each kill of a device)", n.Untold),
		row("readings receipted as accepted, duplicate, late, rejected",
			fmt.Sprintf("%d, %d, %d, %d", n.Accepted, n.Duplicate, n.Late, n.Rejected)),
		row("readings that are to be stored, and are, once", n.Stored), row("of these in weir.backlog", n.Backlog),
		row("records that repeat a frame (dropped by session and seq)", n.Repeated),
		row("readings refused, each with a dead letter", n.Refused), row("dead letters", n.Letters),
		row("readings of weir.readings after de-duplication", n.Live), row("readings in weir.updates", n.Updates),
		row("of these too late for their window", n.UpdatesLate), row("violations", n.Violations))
	return markdown(r.about, rows)
}
