//go:build realkafka

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/kafka/kafkatest"
)

// cluster is Weir by role on a real Kafka: one ingest, one push, two pipelines, with devices and a dashboard.
type cluster struct {
	t         *testing.T
	brokers   []string
	ingest    *process
	push      *process
	pipelines [2]*process
	devices   []*device
	dashboard *dashboard
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, brokers: kafkatest.StartReal(t).Options().Brokers}
	brokers := strings.Join(c.brokers, ",")
	c.ingest = serve(t, "ingest", "ingest", brokers)
	c.push = serve(t, "push", "push", brokers)
	for i := range c.pipelines {
		c.pipelines[i] = serve(t, fmt.Sprintf("pipeline-%d", i), "pipeline", brokers)
	}
	eventually(t, time.Minute, "both pipelines own partitions", func() error {
		for _, p := range c.pipelines {
			if p.ownedPartitions() == 0 {
				return fmt.Errorf("%s owns none", p.name)
			}
		}
		return nil
	})
	c.dashboard = connectDashboard(t, c.push.addr)
	eventually(t, 30*time.Second, "the dashboard is subscribed", c.dashboard.ready)
	for i := range 16 {
		c.devices = append(c.devices, connectDevice(t, c.ingest.addr, fmt.Sprintf("plant/line%d/press%d", i%3, i), uint64(i)))
	}
	return c
}

// stream sends a frame of every device each 20 ms for the duration.
func (c *cluster) stream(d time.Duration) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-ticker.C {
		for _, device := range c.devices {
			device.sendFrame()
		}
	}
}

// settle waits until every frame has its receipt and the dashboard has seen every reading exactly once.
func (c *cluster) settle(limit time.Duration) {
	c.t.Helper()
	want := 0
	for _, d := range c.devices {
		eventually(c.t, time.Minute, "all frames are receipted", d.settled)
		want += d.distinct()
	}
	eventually(c.t, limit, "the dashboard has seen every reading", func() error { return c.dashboard.check(want) })
	checkUpdatesTopic(c.t, c.brokers, want)
	c.t.Logf("%d readings, each seen exactly once", want)
}

func TestEveryReadingIsSeenOnceThoughAPipelineIsKilled(t *testing.T) {
	c := startCluster(t)
	c.stream(3 * time.Second)
	c.pipelines[0].signal(syscall.SIGKILL)
	c.stream(10 * time.Second)
	c.pipelines[0] = serve(t, "pipeline-0-again", "pipeline", strings.Join(c.brokers, ","))
	c.stream(5 * time.Second)
	c.settle(60 * time.Second)
}

func TestNothingAStoppedPipelineWritesLateIsVisible(t *testing.T) {
	c := startCluster(t)
	c.stream(3 * time.Second)
	zombie := c.pipelines[0]
	zombie.signal(syscall.SIGSTOP)
	// Past its session time-out, so that the other owner has taken over and gone on.
	c.stream(12 * time.Second)
	zombie.signal(syscall.SIGCONT)
	c.stream(5 * time.Second)
	c.settle(60 * time.Second)
}
