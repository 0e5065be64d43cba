//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/ingest"
	"weir/kafka"
	"weir/kafka/embedded"
	"weir/kafka/kafkatest"
	"weir/wire"
)

// probe is a device that knows nothing of the SDK: it sends frames of one reading, and shows the receipts.
type probe struct {
	gws.BuiltinEventHandler
	conn     *gws.Conn
	receipts chan *wire.Receipt
	gone     chan struct{}
}

func dialProbe(addr, token string) (*probe, error) {
	p := &probe{receipts: make(chan *wire.Receipt, 100_000), gone: make(chan struct{})}
	conn, _, err := gws.NewClient(p, &gws.ClientOption{
		Addr: "ws://" + addr + "/v1/ingest", RequestHeader: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		return nil, err
	}
	p.conn = conn
	go conn.ReadLoop()
	return p, nil
}

func (p *probe) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	if r, err := wire.DecodeReceipt(m.Bytes()); err == nil {
		p.receipts <- r
	}
}

func (p *probe) OnClose(*gws.Conn, error) { close(p.gone) }

const probeDevice = "plant/probe"

func (p *probe) send(seq uint64) error {
	return p.conn.WriteString(fmt.Sprintf(`{"device":%q,"session":"probe","seq":%d,"readings":[{"metric":"m","value":%d}]}`, probeDevice, seq, seq))
}

var errGone = errors.New("the connection has ended")

// receipt is the next one.
func (p *probe) receipt(limit time.Duration) (*wire.Receipt, error) {
	select {
	case r := <-p.receipts:
		return r, nil
	case <-p.gone:
		return nil, errGone
	case <-time.After(limit):
		return nil, fmt.Errorf("no receipt within %v", limit)
	}
}

// ask sends a frame and returns what became of it.
func (p *probe) ask(seq uint64, limit time.Duration) (*wire.Receipt, error) {
	if err := p.send(seq); err != nil {
		return nil, errGone
	}
	return p.receipt(limit)
}

func isStored(r *wire.Receipt) bool { return r.Accepted+r.Duplicate == 1 }

// numbers are the seqs of the probe in weir.readings.
func numbers(t *testing.T, o kafka.Options) map[uint64]int {
	t.Helper()
	client, err := kafka.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	out := map[uint64]int{}
	p := &proof{rig: &rig{T: t}, client: client}
	p.each(wire.TopicReadings, func(_ int, r *kafka.Record) {
		var c wire.ReadingColumns
		if err := c.Unmarshal(r.Value); err != nil {
			t.Error(err)
		}
		out[c.Seq]++
	})
	return out
}

// behindProxy is ingest with the pipeline on a real Kafka that can be cut off.
func behindProxy(t *testing.T, deliveryTimeout string) (*rig, *kafkatest.RealCluster, *server) {
	r := newRig(t)
	proxy := freeAddress(t)
	cluster := kafkatest.StartRealBehind(t, proxy, func(broker string) { r.broker = connect(t, "broker", proxy, broker) })
	s := serve(t, "weir", freeAddress(t), []string{"WEIR_KAFKA__DELIVERY_TIMEOUT=" + deliveryTimeout},
		"--kafka-brokers", proxy, "--set", "auth.signing_key_file="+r.key,
		"--set", "kafka.max_buffered_bytes=4194304", "--set", "ingest.limits.device.rate=0", "--set", "ingest.limits.device.burst=0")
	eventually(t, time.Minute, "the server is ready", s.ready)
	return r, cluster, s
}

func TestWithoutKafkaReceiptsWaitAndThenAskToSendAgain(t *testing.T) {
	r, cluster, s := behindProxy(t, "3s")
	p, err := dialProbe(s.addr, r.admin)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := p.ask(1, 30*time.Second); err != nil || !isStored(first) {
		t.Fatalf("receipt %+v, %v", first, err)
	}
	r.broker.down()
	if early, err := p.ask(2, time.Second); err == nil {
		t.Fatalf("a receipt without Kafka: %+v", early)
	}
	late, err := p.receipt(30 * time.Second)
	if err != nil || late.Err == nil || late.Err.Code != wire.CodeNotStored || late.RetryAfter <= 0 {
		t.Fatalf("receipt %+v, %v", late, err)
	}
	if err := r.broker.up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "what is sent again is stored", func(context.Context) error {
		again, err := p.ask(2, 30*time.Second)
		if err != nil || !isStored(again) {
			return fmt.Errorf("%+v, %w", again, err)
		}
		return nil
	})
	if got := numbers(t, cluster.Options()); got[1] != 1 || got[2] == 0 {
		t.Fatalf("stored: %v", got)
	}
}

// fastest and slowest are the rates of the slow link, in KB/s.
const fastest, slowest = 200, 3

func slowness(rate int) toxic { return toxic{"bandwidth", fmt.Sprintf(`"rate":%d`, rate)} }

// slowUntilNoticed returns the least credit that a device had, and how long sockets were not read, once both show. Frames that
// are alike are compressed to little, so how slow a link must be for the buffer to fill depends on how fast this machine is: it
// becomes slower until devices notice. With the slowest, all the frames that credit allows wait.
func slowUntilNoticed(ctx context.Context, t *testing.T, l *link, s *server, fleet []*flooder, token string, low int64) (int64, float64) {
	least, blocked, rate := int64(math.MaxInt64), 0.0, fastest
	for worsen := time.Now().Add(3 * time.Second); ctx.Err() == nil && (least > low || blocked == 0); {
		for _, f := range fleet {
			if f.receipts.Load() > 0 { // else it is the device's own guess
				least = min(least, f.credit.Load())
			}
		}
		if v, err := s.metric(ctx, token, "weir_ingest_blocked_seconds_total"); err == nil {
			blocked = max(blocked, v)
		}
		if time.Now().After(worsen) && rate > slowest {
			rate, worsen = rate/2, time.Now().Add(3*time.Second)
			if err := l.worsen(slowness(rate)); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("the link has %d KB/s", rate)
	return least, blocked
}

func TestASlowKafkaTakesCreditAndThenSocketsAreNotRead(t *testing.T) {
	r, cluster, s := behindProxy(t, "30s")
	p, err := dialProbe(s.addr, r.admin)
	if err != nil {
		t.Fatal(err)
	}
	most := ingest.DefaultConfig().Credit
	seq := uint64(0)
	eventually(t, time.Minute, "the lag of the pipeline is known, and all the credit is given", func(context.Context) error {
		seq++
		if r, err := p.ask(seq, 30*time.Second); err != nil || !isStored(r) || r.Credit < most {
			return fmt.Errorf("receipt %+v, %w", r, err)
		}
		return nil
	})
	low := int64(most/2 - 1) // half of it is what there is while nothing is known of the pipeline
	if err := r.broker.poison(slowness(fastest)); err != nil {
		t.Fatal(err)
	}
	var fleet []*flooder
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	done := make(chan struct{}, 96) // what 32 may have at most fills the buffer to two thirds, and takes less than half of the credit
	for i := range cap(done) {
		f := dialFlooder(t, s.addr, fmt.Sprintf("slow/d%d", i), r.admin)
		fleet = append(fleet, f)
		go func() { f.obey(ctx); done <- struct{}{} }()
	}
	least, blocked := slowUntilNoticed(ctx, t, r.broker, s, fleet, r.admin, low)
	cancel()
	cleared, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	r.broker.clear(cleared)
	accepted := map[string]int64{}
	for range fleet {
		<-done
	}
	for _, f := range fleet {
		f.settle(t)
		accepted[f.path] = f.accepted.Load()
		for _, w := range f.wrong {
			t.Error(w)
		}
	}
	t.Logf("least credit %d, blocked for %.1f s", least, blocked)
	if least > low {
		t.Errorf("the credit stayed at %d", least)
	}
	if blocked == 0 {
		t.Error("sockets were read all the time")
	}
	checkAccepted(t, cluster.Options(), accepted)
}

// checkAccepted compares what devices were told with what is in Kafka, each frame once.
func checkAccepted(t *testing.T, o kafka.Options, accepted map[string]int64) {
	t.Helper()
	client, err := kafka.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	seen, stored := map[frameKey]bool{}, map[string]int64{}
	p := &proof{rig: &rig{T: t}, client: client}
	p.each(wire.TopicReadings, func(_ int, r *kafka.Record) {
		var c wire.ReadingColumns
		if err := c.Unmarshal(r.Value); err != nil {
			t.Error(err)
		}
		key := frameKey{string(r.Key), "", c.Seq}
		if !seen[key] {
			seen[key] = true
			stored[key.device] += int64(len(c.Time))
		}
	})
	for name, n := range accepted {
		// A frame that was refused because its acknowledgement came too late may be there all the same.
		if stored[name] < n {
			t.Errorf("%s: %d readings were receipted as stored, %d are", name, n, stored[name])
		}
	}
}

// fullDisk re-runs the test where it may mount a file system, if it may not here.
func fullDisk(t *testing.T) (dir string, ok bool) {
	dir = t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m")
	if err == nil {
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		return dir, true
	}
	if os.Getenv("WEIR_SOAK_UNSHARED") != "" {
		t.Fatalf("mount a small file system: %v", err)
	}
	cmd := exec.Command("unshare", "-rm", os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "WEIR_SOAK_UNSHARED=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("in a name space of its own: %v", err)
	}
	return "", false
}

func TestAFullDiskIsToldAndLosesNothingAcknowledged(t *testing.T) {
	disk, ok := fullDisk(t)
	if !ok {
		return
	}
	r := newRig(t)
	s := serve(t, "weir", freeAddress(t), nil, "--set", "auth.signing_key_file="+r.key, "--data", filepath.Join(disk, "data"))
	eventually(t, time.Minute, "the server is ready", s.ready)
	stored, refused, cut := map[uint64]bool{}, 0, 0
	seq := uint64(0)
	// sends until a frame is not stored, and counts how it was told.
	until := func(enough func() bool) {
		var p *probe
		for end := time.Now().Add(time.Minute); !enough(); {
			if time.Now().After(end) {
				t.Fatalf("stored %d, refused %d, cut %d", len(stored), refused, cut)
			}
			if p == nil {
				var err error
				if p, err = dialProbe(s.addr, r.admin); err != nil {
					p = nil
					time.Sleep(100 * time.Millisecond)
					continue
				}
			}
			if stored[seq] || seq == 0 {
				seq++
			}
			receipt, err := p.ask(seq, 30*time.Second)
			switch {
			case err != nil:
				cut++
				p = nil
			case isStored(receipt):
				stored[seq] = true
			case receipt.Err != nil && receipt.RetryAfter > 0:
				refused++
			default:
				t.Fatalf("receipt %+v", receipt)
			}
		}
	}
	until(func() bool { return len(stored) >= 500 })
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	until(func() bool { return refused+cut > 0 })
	t.Logf("on a full disk: stored %d, refused %d, connections that ended %d", len(stored), refused, cut)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	before := len(stored)
	until(func() bool { return len(stored) >= before+100 })
	if err := s.finish(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	t.Logf("the server ended by itself %d times; then stored %d\n%s", s.ends.Load(), len(stored), tail(s.log, 200))
	broker, err := embedded.Open(embedded.Options{Dir: filepath.Join(disk, "data", "kafka")})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	there := numbers(t, broker.Options())
	for n := range stored {
		if there[n] == 0 {
			t.Errorf("frame %d was receipted and is gone", n)
		}
	}
}

// fill takes all the room that is left on a disk.
func fill(t *testing.T, name string) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 16; size > 0; {
		if _, err := file.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
