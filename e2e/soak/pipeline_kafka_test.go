//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/kafka/kafkatest"
)

// soakProcesses is how many pipelines there are at most, soakBrokers how many nodes Kafka has.
const (
	soakProcesses = 3
	soakBrokers   = 3
)

// TestThePipelineOnThreeBrokersIsItsModel lets pipelines come and go, kills them and the nodes of their Kafka, one node at a
// time, and holds processes until others have taken over and they wake as former owners.
func TestThePipelineOnThreeBrokersIsItsModel(t *testing.T) {
	s := beginPipelineSoak(t, "soak-pipeline-real-kafka")
	began := time.Now()
	k := &kafkaSoak{pipelineSoak: s, brokers: kafkatest.StartRealBrokers(t, s.work, soakBrokers)}
	for i := range k.slots {
		k.slots[i] = &slot{name: fmt.Sprintf("pipeline%d", i), addr: freeAddress(t)}
	}
	soaked := s.state.Seconds
	defer func() { s.report(began, soaked) }()
	k.start(k.slots[0])
	k.awaitReady()
	k.beginWriting()
	time.Sleep(time.Second) // one process owns all
	k.start(k.slots[1])
	k.start(k.slots[2])
	k.awaitReady()
	k.roll()
	for soaked < soakTime.Seconds() {
		part := min(time.Duration((soakTime.Seconds()-soaked)*float64(time.Second)), *verdictEvery)
		soaked += k.storm(part, soaked)
		k.verdict()
		if soaked < soakTime.Seconds() {
			k.beginWriting()
			for _, of := range k.slots {
				k.start(of)
			}
			k.awaitReady()
		}
	}
}

// kafkaSoak is a soak on a Kafka of several nodes.
type kafkaSoak struct {
	*pipelineSoak
	brokers *kafkatest.RealBrokers
	slots   [soakProcesses]*slot
	node    atomic.Bool // one is away
	stop    func()      // ends the writing
}

// slot is where a pipeline process is, or is not.
type slot struct {
	name, addr string
	server     *server
	busy       atomic.Bool
}

func (k *kafkaSoak) start(of *slot) {
	k.Helper()
	of.server = k.serve(of.name, of.addr, "--roles", "pipeline", "--kafka-brokers", strings.Join(k.brokers.Options().Brokers, ","))
}

func (k *kafkaSoak) servers() (list []*server) {
	for _, of := range k.slots {
		if of.server != nil {
			list = append(list, of.server)
		}
	}
	return list
}

func (k *kafkaSoak) awaitReady() {
	k.Helper()
	for _, v := range k.servers() {
		eventually(k.T, 90*time.Second, v.name+" is ready", v.ready)
	}
}

// beginWriting writes the stream until stop is called.
func (k *kafkaSoak) beginWriting() {
	k.Helper()
	opening, cancel := context.WithTimeout(k.Context(), time.Minute)
	defer cancel()
	w := k.writer(opening, k.brokers.Options())
	ctx, over := context.WithCancel(k.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		const period = 20 * time.Millisecond
		tick := time.NewTicker(period)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			<-tick.C
			// A step that has begun is written whole: the records of a plan go to all partitions.
			if err := w.write(k.Context(), *streamRate*int(period)/int(time.Second)); err != nil && ctx.Err() == nil {
				k.Errorf("write: %v", err)
				return
			}
			if n%100 == 0 {
				if err := w.learn(ctx); err != nil && ctx.Err() == nil {
					k.Errorf("read alerts: %v", err)
				}
			}
		}
	}()
	k.stop = func() {
		over()
		<-done
		flushing, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		if err := w.producer.Flush(flushing); err != nil {
			k.Errorf("flush: %v", err)
		}
		w.close()
	}
}

// storm breaks things for a while and brings them back.
func (k *kafkaSoak) storm(duration time.Duration, before float64) (seconds float64) {
	began := time.Now()
	var work sync.WaitGroup
	for time.Since(began) < duration {
		time.Sleep(time.Duration(200+k.rng.IntN(1500)) * time.Millisecond)
		k.note(before+time.Since(began).Seconds(), false)
		away := time.Duration(k.rng.IntN(4000)) * time.Millisecond
		of := k.slots[k.rng.IntN(len(k.slots))]
		n := k.rng.IntN(10)
		if n < 3 {
			if k.node.CompareAndSwap(false, true) {
				i := k.rng.IntN(soakBrokers)
				work.Go(func() { k.killNode(i, away) })
			}
			continue
		}
		if !of.busy.CompareAndSwap(false, true) {
			continue
		}
		work.Go(func() {
			defer of.busy.Store(false)
			switch {
			case n < 6:
				k.killProcess(of, away)
			case n < 9:
				k.leave(of, 3*away)
			default:
				k.hold(of, 6*time.Second+away)
			}
		})
	}
	work.Wait()
	return time.Since(began).Seconds()
}

func (k *kafkaSoak) killProcess(of *slot, away time.Duration) {
	k.fault("pipeline killed")
	of.server.kill(away)
	if err := of.server.revived(); err != nil {
		k.Error(err)
	}
	time.Sleep(time.Second) // some time to work
}

// leave lets a process stop in order, and another take its place later.
func (k *kafkaSoak) leave(of *slot, away time.Duration) {
	k.fault("pipeline left and came back")
	if err := of.server.finish(time.Minute); err != nil {
		k.Logf("%s, while things break: %v", of.name, err)
	}
	time.Sleep(away)
	k.start(of)
	time.Sleep(time.Second)
}

// hold lets a process sleep past its session, so that it wakes as a former owner.
func (k *kafkaSoak) hold(of *slot, asleep time.Duration) {
	k.fault("pipeline held")
	of.server.signal(syscall.SIGSTOP)
	time.Sleep(asleep)
	of.server.signal(syscall.SIGCONT)
	time.Sleep(time.Second)
}

// killNode kills a node of Kafka when all of them are in sync, and waits until they are again.
func (k *kafkaSoak) killNode(i int, away time.Duration) {
	defer k.node.Store(false)
	if !k.awaitWhole() {
		return
	}
	k.fault("broker killed")
	k.brokers.Kill(i)
	time.Sleep(away)
	if err := k.brokers.Start(i); err != nil {
		k.Error(err)
		return
	}
	k.awaitWhole()
}

func (k *kafkaSoak) awaitWhole() bool {
	ctx, cancel := context.WithTimeout(k.Context(), 6*time.Minute)
	defer cancel()
	for {
		err := k.brokers.Whole(ctx)
		if err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			k.Errorf("Kafka is not whole again: %v", err)
			return false
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// verdict ends the writing, lets the pipelines catch up and stop, and compares.
func (k *kafkaSoak) verdict() {
	k.Helper()
	k.stop()
	eventually(k.T, 3*time.Minute, "the pipelines have caught up", k.caughtUp(k.servers()...))
	errs := make(chan error, soakProcesses)
	for _, v := range k.servers() {
		go func() { errs <- v.finish(time.Minute) }()
	}
	for range k.servers() {
		if err := <-errs; err != nil {
			k.Errorf("a pipeline did not stop in order: %v", err)
		}
	}
	for _, v := range k.servers() {
		if n := v.ends.Load(); n > 0 {
			k.mu.Lock()
			k.faults["pipeline gave up without Kafka and was started again"] += int(n)
			k.mu.Unlock()
		}
	}
	k.judge(k.brokers.Options())
}

// owned is what a process owns, and how often it has taken a partition over.
type owned struct {
	partitions []string
	restores   float64
}

func (k *kafkaSoak) ownedBy(of *slot) owned {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), 10*time.Second)
	defer cancel()
	exposition, err := of.server.get(ctx, "/metrics", k.admin)
	if err != nil {
		k.Fatal(err)
	}
	restores, _ := sumOf(exposition, "weir_pipeline_restore_seconds_count")
	return owned{ownedBy(exposition), restores}
}

// roll stops one of three processes and starts it again: what the others own stays with them all the time.
func (k *kafkaSoak) roll() {
	k.Helper()
	even := func(n int, of ...*slot) func(context.Context) error {
		return func(ctx context.Context) error {
			for _, o := range of {
				if err := o.server.ready(ctx); err != nil { // it owns what it has not restored yet
					return err
				}
				if got := k.ownedBy(o).partitions; len(got) != n {
					return fmt.Errorf("%s owns %v", o.name, got)
				}
			}
			return nil
		}
	}
	all := k.slots[:]
	eventually(k.T, time.Minute, "each of three owns its share", even(soakPartitions/3, all...))
	others, rolled := []*slot{k.slots[0], k.slots[2]}, k.slots[1]
	before, during := map[*slot]owned{}, map[*slot]owned{}
	for _, of := range others {
		before[of] = k.ownedBy(of)
	}
	if err := rolled.server.finish(time.Minute); err != nil {
		k.Fatal(err)
	}
	eventually(k.T, time.Minute, "each of two owns its share", even(soakPartitions/2, others...))
	for _, of := range others {
		during[of] = k.ownedBy(of)
	}
	k.start(rolled)
	eventually(k.T, time.Minute, "the third is ready", rolled.server.ready)
	eventually(k.T, time.Minute, "each of three owns its share again", even(soakPartitions/3, all...))
	for _, of := range others {
		first, then, now := before[of], during[of], k.ownedBy(of)
		gained := float64(len(then.partitions) - len(first.partitions))
		if !slices.Equal(first.partitions, now.partitions) || now.restores != first.restores+gained {
			k.Errorf("%s was rolled, and %s owned %v, then %v, then %v, which it took over %v times for %v that were free",
				rolled.name, of.name, first.partitions, then.partitions, now.partitions, now.restores-first.restores, gained)
		}
	}
	k.Logf("%s was rolled; %s kept %v, %s kept %v", rolled.name, others[0].name, before[others[0]].partitions, others[1].name, before[others[1]].partitions)
	if k.Failed() {
		k.Fatal(errors.New("partitions moved that had no reason to"))
	}
}
