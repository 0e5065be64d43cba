//go:build soak

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/kafka/kafkatest"
)

const (
	soakViewers     = 500
	soakNodeViewers = 20
	soakCounters    = 12
	// roundTime is how long things break before all is compared.
	roundTime = time.Minute
)

const pushSoakPlan = `pipelines:
  - name: levels
    match: "+/+/+/level"
    rules: [{name: high, kind: threshold, above: 0.5}]
  - name: counts
    match: "+/+/+/count"
    rules: []
`

// pushSoak lets devices count, viewers watch, and people talk, while connections are cut, readers stall, and servers are killed
// or leave.
//
//	device: 1, 2, 3, … ──▶ weir serve (ingest, pipeline) ──▶ Kafka ──▶ weir serve (push) × 1 or 3 ──▶ viewer: n = last − known
//	                                                           ▲              ▲      │
//	program: POST /v1/publish ─────────────────────────────────┴──────────────┘      └──▶ viewers in the room: once, in order
type pushSoak struct {
	*rig
	name     string
	work     string // survives this process, unless no results are kept
	tenant   string // of this process: what others have left behind is not looked at
	rng      *rand.Rand
	push     []*server
	counters []*counter
	viewers  []*viewer
	node     *nodeViewers
	nodeWays []way
	talk     *talk
	journal  *os.File

	mu    sync.Mutex // guards the following
	state pushState
}

func TestViewersOfTheEmbeddedBrokerMissNothing(t *testing.T) {
	p := beginPushSoak(t, "soak-push-embedded")
	s := p.serve("weir")
	p.push = []*server{s}
	p.records = func() kafka.Options {
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
	p.soak()
}

func TestViewersOfThreeInstancesOnARealKafkaMissNothing(t *testing.T) {
	p := beginPushSoak(t, "soak-push-real-kafka")
	cluster := kafkatest.StartRealIn(t, filepath.Join(p.work, "broker"))
	p.records = cluster.Options
	for i, roles := range []string{"ingest,pipeline", "push", "push", "push"} {
		s := p.serve(fmt.Sprintf("%s-%d", strings.ReplaceAll(roles, ",", "-"), i),
			"--roles", roles, "--kafka-brokers", strings.Join(cluster.Options().Brokers, ","))
		if roles == "push" {
			p.push = append(p.push, s)
		}
	}
	p.soak()
}

func (p *pushSoak) serve(name string, args ...string) *server {
	p.Helper()
	plan := filepath.Join(p.dir, "pipelines.yaml")
	if err := os.WriteFile(plan, []byte(pushSoakPlan), 0o600); err != nil {
		p.Fatal(err)
	}
	env := []string{
		"WEIR_PIPELINE__SESSION_TIMEOUT=6s", "WEIR_PIPELINE__CHECKPOINT_PERIOD=1s", "WEIR_PUSH__HEARTBEAT=2s",
		"WEIR_PUSH__MAX_CONNECTIONS_PER_PRINCIPAL=10000", "WEIR_PUSH__DRAIN_TIMEOUT=2s",
	}
	s := serveIn(p.T, p.work, name, freeAddress(p.T), env,
		append([]string{"--set", "auth.signing_key_file=" + p.key, "--set", "pipelines_file=" + plan}, args...)...)
	p.servers = append(p.servers, s)
	eventually(p.T, time.Minute, name+" is ready", s.ready)
	return s
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
func (p *pushSoak) soak() {
	began := time.Now()
	defer func() { p.report(began) }()
	ctx, stop := context.WithCancel(p.Context())
	defer stop()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	p.begin(ctx, &watching)
	for p.state.Seconds < soakTime.Seconds() && !p.Failed() {
		left := time.Duration((soakTime.Seconds() - p.state.Seconds) * float64(time.Second))
		p.storm(min(roundTime, left))
		p.settle()
		p.mu.Lock()
		p.state.Rounds++
		p.noteLocked(false)
		p.mu.Unlock()
	}
	stop()
	watching.Wait()
	for _, v := range p.viewers {
		v.live.Close()
	}
	if !p.Failed() {
		p.judgeAlerts()
	}
}

// begin starts all who take part, and returns when they watch and are in their rooms.
func (p *pushSoak) begin(ctx context.Context, watching *sync.WaitGroup) {
	p.Helper()
	for i := range soakCounters {
		p.counters = append(p.counters, p.count(i))
	}
	entering, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var work sync.WaitGroup
	for i := range soakViewers {
		w := p.wayOf(i)
		v := p.view(w, i%7 == 0)
		p.viewers = append(p.viewers, v)
		watching.Go(func() { v.watch(ctx) })
		work.Go(func() {
			if err := v.enter(entering, w.Rooms); err != nil {
				p.Error(err)
				return
			}
			for _, room := range v.rooms {
				watching.Go(func() { v.listen(ctx, room) })
			}
		})
	}
	for i := range soakNodeViewers {
		w := p.wayOf(i)
		w.Name = fmt.Sprint("node", i)
		p.nodeWays = append(p.nodeWays, w)
	}
	var servers []string
	for _, s := range p.push {
		servers = append(servers, s.addr)
	}
	p.node = p.startNode()
	if err := p.node.begin(entering, servers, p.admin, p.nodeWays); err != nil {
		p.Error(err)
	}
	work.Wait()
	if p.Failed() {
		p.FailNow()
	}
	eventually(p.T, time.Minute, "every viewer watches", func(context.Context) error {
		for _, v := range p.viewers {
			v.mu.Lock()
			begun := v.begun
			v.mu.Unlock()
			if !begun {
				return fmt.Errorf("%s has no snapshot: %+v", v.name, v.live.Stats())
			}
		}
		return nil
	})
	p.talk = p.newTalk()
}

// storm lets devices count and people talk, and breaks things, for so long.
func (p *pushSoak) storm(d time.Duration) {
	began, before := time.Now(), p.state.Seconds
	ctx, stop := context.WithTimeout(p.Context(), d)
	defer stop()
	var work sync.WaitGroup
	for _, c := range p.counters {
		work.Go(func() { c.run(ctx) })
	}
	work.Go(func() { p.talk.run(ctx) })
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
			p.stall(p.rng.IntN(soakViewers+soakNodeViewers), 3*away)
		default:
			p.cut(p.rng.IntN(soakViewers + soakNodeViewers))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(p.rng.IntN(200)) * time.Millisecond):
		}
		p.note(before + time.Since(began).Seconds())
	}
	work.Wait()
}

func (p *pushSoak) stall(client int, d time.Duration) {
	p.fault("stalls")
	if client < soakViewers {
		p.viewers[client].line.stall(d)
	} else if err := p.node.tell(nodeOrder{Do: "stall", Client: client - soakViewers, MS: d.Milliseconds()}); err != nil {
		p.Error(err)
	}
}

func (p *pushSoak) cut(client int) {
	p.fault("cuts")
	if client < soakViewers {
		p.viewers[client].line.cut()
	} else if err := p.node.tell(nodeOrder{Do: "cut", Client: client - soakViewers}); err != nil {
		p.Error(err)
	}
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
