//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
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

	"weir/kafka/kafkatest"
	device "weir/sdk/go"
	"weir/wire"
)

const (
	soakViewers  = 500
	soakCounters = 12
	// roundTime is how long things break before all is compared.
	roundTime = time.Minute
)

const pushSoakPlan = `pipelines:
  - name: levels
    match: "plant/+/+/level"
    rules: [{name: high, kind: threshold, above: 0.5}]
  - name: counts
    match: "plant/+/+/count"
    rules: []
`

// pushSoak lets devices count and viewers watch, while connections are cut, readers stall, and servers are killed or leave.
//
//	device: 1, 2, 3, … ──▶ weir serve (ingest, pipeline) ──▶ Kafka ──▶ weir serve (push) × 1 or 3 ──▶ viewer: n = last − known
type pushSoak struct {
	*rig
	rng      *rand.Rand
	push     []*server
	counters []*counter
	viewers  []*viewer

	mu     sync.Mutex
	faults map[string]int
	round  int
}

type pushSums struct {
	Rows     int64 `json:"rows"`
	Readings int64 `json:"readings"`
	Sent     int64 `json:"sent"`
	Resumes  int64 `json:"resumes"`
	Resets   int64 `json:"resets"` // after the first
	Cuts     int64 `json:"cuts"`
	Alerts   int64 `json:"alerts"`
	Anew     int64 `json:"viewers_that_began_anew"`
}

func TestViewersOfTheEmbeddedBrokerMissNothing(t *testing.T) {
	p := newPushSoak(t)
	addr := freeAddress(t)
	s := serve(t, "weir", addr, p.env(), "--set", "auth.signing_key_file="+p.key, "--set", "pipelines_file="+p.plan())
	eventually(t, time.Minute, "the server is ready", s.ready)
	p.servers, p.push = []*server{s}, []*server{s}
	p.soak("soak-push-embedded")
}

func TestViewersOfThreeInstancesOnARealKafkaMissNothing(t *testing.T) {
	p := newPushSoak(t)
	cluster := kafkatest.StartReal(t)
	for i, roles := range []string{"ingest,pipeline", "push", "push", "push"} {
		s := serve(t, fmt.Sprintf("%s-%d", strings.ReplaceAll(roles, ",", "-"), i), freeAddress(t), p.env(), "--roles", roles,
			"--kafka-brokers", strings.Join(cluster.Options().Brokers, ","), "--set", "auth.signing_key_file="+p.key, "--set", "pipelines_file="+p.plan())
		p.servers = append(p.servers, s)
		if roles == "push" {
			p.push = append(p.push, s)
		}
		eventually(t, time.Minute, s.name+" is ready", s.ready)
	}
	p.soak("soak-push-real-kafka")
}

func newPushSoak(t *testing.T) *pushSoak {
	return &pushSoak{rig: newRig(t), rng: rand.New(rand.NewPCG(*soakSeed, 6)), faults: map[string]int{}}
}

func (p *pushSoak) env() []string {
	return []string{
		"WEIR_PIPELINE__SESSION_TIMEOUT=6s", "WEIR_PIPELINE__CHECKPOINT_PERIOD=1s", "WEIR_PUSH__HEARTBEAT=2s",
		"WEIR_PUSH__MAX_CONNECTIONS_PER_PRINCIPAL=10000", "WEIR_PUSH__DRAIN_TIMEOUT=2s",
	}
}

func (p *pushSoak) plan() string {
	p.Helper()
	file := filepath.Join(p.dir, "pipelines.yaml")
	if err := os.WriteFile(file, []byte(pushSoakPlan), 0o600); err != nil {
		p.Fatal(err)
	}
	return file
}

// inSomeOrder are the addresses of the push servers, so that viewers change between them.
func (p *pushSoak) inSomeOrder() []string {
	var out []string
	for _, i := range rand.Perm(len(p.push)) {
		out = append(out, p.push[i].addr)
	}
	return out
}

// soak breaks things for rounds, each compared at its end.
func (p *pushSoak) soak(name string) {
	began := time.Now()
	defer func() { p.report(name, began) }()
	for i := range soakCounters {
		p.counters = append(p.counters, p.count(i))
	}
	for i := range soakViewers {
		p.viewers = append(p.viewers, p.view(i, p.rng))
	}
	ctx, stop := context.WithCancel(p.Context())
	defer stop()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	for _, v := range p.viewers {
		watching.Go(func() { v.watch(ctx) })
	}
	eventually(p.T, time.Minute, "every viewer watches", func(context.Context) error {
		for _, v := range p.viewers {
			if v.resets.Load() == 0 {
				return fmt.Errorf("%s has no snapshot: %+v", v.name, v.live.Stats())
			}
		}
		return nil
	})
	for end := time.Now().Add(*soakTime); time.Now().Before(end) && !p.Failed(); p.round++ {
		p.storm(min(roundTime, time.Until(end)))
		p.settle()
	}
	stop()
	watching.Wait()
	for _, v := range p.viewers {
		v.live.Close()
	}
}

// storm lets devices count and breaks things for so long.
func (p *pushSoak) storm(d time.Duration) {
	ctx, stop := context.WithTimeout(p.Context(), d)
	defer stop()
	var work sync.WaitGroup
	for _, c := range p.counters {
		work.Go(func() { c.run(ctx) })
	}
	for ctx.Err() == nil {
		n, away := p.rng.IntN(20), time.Duration(50+p.rng.IntN(1500))*time.Millisecond
		switch s := p.servers[p.rng.IntN(len(p.servers))]; {
		case n == 0 && s.busy.CompareAndSwap(false, true):
			p.fault("servers killed")
			work.Go(func() { p.restart(s, away, syscall.SIGKILL) })
		case n == 1 && s.busy.CompareAndSwap(false, true):
			p.fault("servers that left and came back")
			work.Go(func() { p.restart(s, away, syscall.SIGTERM) })
		case n < 6:
			p.fault("stalls")
			p.viewers[p.rng.IntN(len(p.viewers))].line.stall(3 * away)
		default:
			p.fault("cuts")
			p.viewers[p.rng.IntN(len(p.viewers))].line.cut()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(p.rng.IntN(200)) * time.Millisecond):
		}
	}
	work.Wait()
}

func (p *pushSoak) restart(s *server, away time.Duration, sig syscall.Signal) {
	defer s.busy.Store(false)
	select {
	case s.away <- away:
		s.signal(sig)
	default:
	}
	if err := s.revived(); err != nil {
		p.Error(err)
	}
	time.Sleep(2 * time.Second) // some time to work
}

func (p *pushSoak) fault(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[name]++
}

// settle waits until every viewer has what every device has sent, and compares.
func (p *pushSoak) settle() {
	p.Helper()
	for _, c := range p.counters {
		c.flush(p.rig)
	}
	want := map[string]uint64{}
	for _, c := range p.counters {
		want[c.path+"/count"] = c.n
	}
	eventually(p.T, 90*time.Second, "every viewer has all", func(ctx context.Context) error {
		for _, v := range p.viewers {
			if err := v.has(want); err != nil {
				stats, refused := v.live.ServerStats(ctx)
				return errors.Join(fmt.Errorf("%s: %w; the server says %+v; here %v, %+v, %+v", v.name, err, stats, v.live.State(), v.live.Stats(), v.sub.Stats()), refused)
			}
		}
		return nil
	})
	versions := p.snapshot()
	union := map[transition]bool{}
	for _, v := range p.viewers {
		v.mu.Lock()
		for t := range v.heard {
			union[t] = true
		}
		v.mu.Unlock()
	}
	for _, v := range p.viewers {
		if err := v.compare(versions, union); err != nil {
			p.Errorf("%s: %v", v.name, err)
		}
	}
}

// snapshot asks for the newest versions.
func (p *pushSoak) snapshot() map[string]device.Version {
	p.Helper()
	var out map[string]device.Version
	eventually(p.T, time.Minute, "the snapshot is there", func(ctx context.Context) error {
		body, err := p.push[0].get(ctx, "/v1/snapshot?series=%23", p.admin)
		if err != nil {
			return err
		}
		snap, err := wire.DecodeSnapshot([]byte(body))
		if err != nil {
			return err
		}
		out = map[string]device.Version{}
		for _, r := range snap.Rows {
			out[r.Update.Series] = r.Update.Version
		}
		return nil
	})
	return out
}

// has reports whether the viewer is as far as the devices, as to the series it sees.
func (v *viewer) has(want map[string]uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fault != nil {
		return nil // told by compare
	}
	if len(v.known) == 0 {
		return fmt.Errorf("has nothing; %v, %+v", v.live.State(), v.live.Stats())
	}
	for series, known := range v.known {
		if known != want[series] {
			return fmt.Errorf("%s: has %d of %d", series, known, want[series])
		}
	}
	return nil
}

func (v *viewer) compare(versions map[string]device.Version, union map[transition]bool) error {
	stats := v.sub.Stats()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fault != nil {
		return v.fault
	}
	if stats.Gaps > 0 {
		return fmt.Errorf("%d gaps", stats.Gaps)
	}
	for series, version := range v.versions {
		if version != versions[series] {
			return fmt.Errorf("%s: at version %d, the snapshot has %d", series, version, versions[series])
		}
	}
	if v.resets.Load() > 1 {
		return nil // what it heard of alerts before is not known
	}
	for t := range union {
		if _, sees := v.versions[t.series]; sees && v.heard[t] != 1 {
			return fmt.Errorf("alert %s, version %d: heard %d times", t.id, t.version, v.heard[t])
		}
	}
	return nil
}

func (p *pushSoak) report(name string, began time.Time) {
	var total pushSums
	for _, c := range p.counters {
		total.Sent += int64(c.n)
	}
	for _, v := range p.viewers {
		total.Rows += v.rows.Load()
		total.Readings += v.readings.Load()
		total.Resumes += v.resumes.Load()
		total.Resets += max(0, v.resets.Load()-1)
		total.Cuts += v.line.cuts.Load()
		if v.resets.Load() > 1 {
			total.Anew++
		}
		v.mu.Lock()
		total.Alerts = max(total.Alerts, int64(len(v.heard)))
		v.mu.Unlock()
	}
	if total.Resets > total.Resumes/20 {
		p.Errorf("%d returns began anew, beside %d that went on", total.Resets, total.Resumes)
	}
	result := struct {
		about
		Viewers int            `json:"viewers"`
		Rounds  int            `json:"rounds"`
		Faults  map[string]int `json:"faults"`
		pushSums
	}{aboutNow(p.T, name, began), len(p.viewers), p.round, p.faults, total}
	rows := [][2]string{
		{"viewers, each checking every row", fmt.Sprint(len(p.viewers))},
		{"rounds, each compared with /v1/snapshot", fmt.Sprint(p.round)},
		{"readings sent", fmt.Sprint(total.Sent)},
		{"rows told; readings in them", fmt.Sprintf("%d; %d", total.Rows, total.Readings)},
		{"returns that went on exactly", fmt.Sprint(total.Resumes)},
		{"returns that began anew; viewers they were of", fmt.Sprintf("%d; %d", total.Resets, total.Anew)},
		{"transitions of alerts", fmt.Sprint(total.Alerts)},
	}
	for _, fault := range slices.Sorted(maps.Keys(p.faults)) {
		rows = append(rows, [2]string{fault, fmt.Sprint(p.faults[fault])})
	}
	writeResult(p.T, name, result, markdown(result.about, rows))
}
