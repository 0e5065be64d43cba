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
	streams  []*streamViewer
	node     *nodeSeat
	nodeWays []way
	talk     *talk
	exchange *exchange
	absent   []*absentee
	busy     *letters // to the busy room
	late     []*latecomer
	// returners are in the busy room, and now and then away.
	returners  []*returner
	guest      string // the token of those in the busy room
	partitions int    // of weir.messages
	journal    *os.File

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
		fmt.Sprint("WEIR_ROOMS__INBOX=", soakInbox), fmt.Sprint("WEIR_ROOMS__HISTORY=", soakHistory),
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
	for i := range soakStreams {
		v := p.viewStream(i)
		p.streams = append(p.streams, v)
		watching.Go(func() { v.watch(ctx) })
	}
	for i := range soakNodeViewers {
		w := p.wayOf(i)
		w.Name = fmt.Sprint("node", i)
		p.nodeWays = append(p.nodeWays, w)
	}
	p.node = &nodeSeat{pushSoak: p}
	if err := p.node.fill(entering); err != nil {
		p.Error(err)
	}
	p.beginPost(ctx, entering, watching)
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
		for _, v := range p.streams {
			if err := v.look(func(*told) error { return v.beginsLocked() }); err != nil {
				return err
			}
		}
		return nil
	})
	p.talk, p.exchange = p.newTalk(), p.newExchange()
}
