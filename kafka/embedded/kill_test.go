package embedded

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	killTime = flag.Duration("kill.time", 3*time.Second, "how long to kill brokers")
	killSeed = flag.Uint64("kill.seed", 1, "when to kill them")
)

const (
	victimDir  = "WEIR_TEST_VICTIM_DIR"
	logTopic   = "log" // partitions 0…1: value = offset, trimmed by size behind a floor
	tableTopic = "table"
	tableKeys  = 10
)

func victimOptions(dir string) Options {
	o := Options{Dir: dir, Config: DefaultConfig(), Retention: map[string]Retention{logTopic: {Bytes: 64 << 10}}}
	o.Config.SegmentBytes, o.Config.TrimPeriod, o.Config.SyncPeriod = 16<<10, 2*time.Millisecond, 20*time.Millisecond
	return o
}

// victim is the process that gets killed. What it prints was acknowledged to it before.
type victim struct {
	b  *Broker
	mu sync.Mutex
}

func beVictim(dir string) {
	b, err := Open(victimOptions(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	v := &victim{b: b}
	setup := v.client()
	v.check(setup.createTopic(logTopic, 2, nil))
	v.check(setup.createTopic(tableTopic, 1, map[string]string{"cleanup.policy": "compact"}))
	owner, err := setup.initProducer("owner")
	v.check(err)
	v.tell("epoch %d", owner.epoch)
	b.SetFloor(v.floor)
	go v.writeLog(0)
	go v.writeLog(1)
	go v.writeTable(owner)
	select {} // until killed
}

func (v *victim) client() *raw {
	r, err := dialRaw(v.b)
	v.check(err)
	return r
}

func (v *victim) tell(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintf(os.Stdout, format+"\n", args...)
}

func (v *victim) check(err error) {
	if err != nil {
		v.tell("error %v", err)
		select {}
	}
}

func (v *victim) floor(_ context.Context, _ string, partition int) (int64, error) {
	p := v.b.cluster.PartitionInfo(logTopic, int32(partition))
	floor := max(0, p.HighWatermark-700)
	v.tell("floor%d %d", partition, floor)
	return floor, nil
}

// writeLog appends records that hold their own offset, and commits.
func (v *victim) writeLog(partition int32) {
	r := v.client()
	p, err := r.initProducer("")
	v.check(err)
	n, err := r.offset(logTopic, partition, -1)
	v.check(err)
	rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(partition)))
	for seq := int32(0); ; {
		recs := make([]record, 1+rnd.IntN(8))
		for i := range recs {
			recs[i] = number(n+int64(i), 40+rnd.IntN(400))
		}
		base, err := r.produce(logTopic, partition, p, seq, recs...)
		v.check(err)
		if base != n {
			v.check(fmt.Errorf("partition %d: batch for offset %d got %d", partition, n, base))
		}
		n, seq = n+int64(len(recs)), seq+int32(len(recs))
		v.tell("end%d %d", partition, n)
		if rnd.IntN(4) == 0 {
			v.check(r.commit("g", logTopic, partition, n))
			v.tell("committed%d %d", partition, n)
		}
	}
}

// writeTable overwrites keys and bounds the log by copy-forward: newest values again, then the old part goes.
func (v *victim) writeTable(owner producer) {
	r := v.client()
	latest := make(map[string]record)
	old, err := r.all(tableTopic, 0)
	v.check(err)
	n := int64(0)
	for _, f := range old {
		latest[string(f.key)] = f.record
		n = max(n, numberOf(f.record))
	}
	for seq := int32(0); ; {
		n++
		rec := number(n, 100)
		rec.key = fmt.Appendf(nil, "key%d", n%tableKeys)
		end, err := r.produce(tableTopic, 0, owner, seq, rec)
		v.check(err)
		v.tell("%s %d", rec.key, n)
		latest[string(rec.key)] = rec
		seq++
		if n%100 == 0 {
			for _, rec := range latest {
				_, err := r.produce(tableTopic, 0, owner, seq, rec)
				v.check(err)
				seq++
			}
			v.check(v.b.DeleteRecords(context.Background(), tableTopic, 0, end+1))
			v.tell("tablestart %d", end+1)
		}
	}
}

// witness is what the killer heard, over all processes: for each name the highest number.
type witness map[string]int64

func (w witness) hear(t *testing.T, line []byte) {
	if bytes.HasPrefix(line, []byte("error")) {
		t.Fatalf("victim: %s", line)
	}
	var name string
	var n int64
	if _, err := fmt.Sscan(string(line), &name, &n); err != nil {
		t.Fatalf("victim said %q", line)
	}
	if name == "epoch" && n <= w["epoch"] && w["epoch"] > 0 {
		t.Fatalf("epoch %d after %d", n, w["epoch"])
	}
	w[name] = max(w[name], n)
}

func TestKilledBrokerKeepsWhatItAcknowledged(t *testing.T) {
	rnd := rand.New(rand.NewPCG(*killSeed, 0))
	dir := t.TempDir()
	heard := make(witness)
	kills := 0
	for began := time.Now(); time.Since(began) < *killTime; kills++ {
		runVictim(t, dir, heard, time.Duration(rnd.IntN(300))*time.Millisecond)
		if rnd.IntN(3) > 0 {
			examine(t, dir, heard)
		}
	}
	examine(t, dir, heard)
	t.Logf("%d kills; acknowledged %d and %d records, copy-forward up to %d", kills, heard["end0"], heard["end1"], heard["tablestart"])
	if heard["end0"] == 0 || heard["end1"] == 0 {
		t.Fatal("nothing was written")
	}
}

// runVictim kills a process some time after its first sign of life.
func runVictim(t *testing.T, dir string, heard witness, life time.Duration) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	var kill *time.Timer
	for lines.Scan() {
		if kill == nil {
			kill = time.AfterFunc(life, func() { cmd.Process.Signal(syscall.SIGKILL) })
		}
		heard.hear(t, lines.Bytes())
	}
	cmd.Wait()
}

// examine opens what the killed process left and compares it with what it had acknowledged.
func examine(t *testing.T, dir string, heard witness) {
	t.Helper()
	b, err := Open(victimOptions(dir))
	must(t, err)
	r := rawClient(t, b)
	for p := range int32(2) {
		examineLog(t, r, p, heard)
	}
	examineTable(t, r, heard)
	must(t, b.Close())
}

func examineLog(t *testing.T, r *raw, p int32, heard witness) {
	t.Helper()
	key := func(name string) string { return fmt.Sprintf("%s%d", name, p) }
	start, end, err := r.bounds(logTopic, p)
	must(t, err)
	switch {
	case end < heard[key("end")]:
		t.Fatalf("partition %d ends at %d, acknowledged up to %d", p, end, heard[key("end")])
	case start > heard[key("floor")]:
		t.Fatalf("partition %d begins at %d, floor is %d", p, start, heard[key("floor")])
	case start < heard[key("start")]:
		t.Fatalf("partition %d begins at %d, before at %d", p, start, heard[key("start")])
	}
	heard[key("end")], heard[key("start")] = end, start
	recs, err := r.all(logTopic, p)
	must(t, err)
	if int64(len(recs)) != end-start {
		t.Fatalf("partition %d has %d records in [%d, %d)", p, len(recs), start, end)
	}
	for i, f := range recs {
		if want := start + int64(i); f.offset != want || numberOf(f.record) != want {
			t.Fatalf("partition %d: record %d has offset %d and value %d", p, want, f.offset, numberOf(f.record))
		}
	}
	if got, err := r.committed("g", logTopic, p); err != nil || got < heard[key("committed")] {
		t.Fatalf("partition %d: committed %d, acknowledged %d, %v", p, got, heard[key("committed")], err)
	}
}

func examineTable(t *testing.T, r *raw, heard witness) {
	t.Helper()
	start, end, err := r.bounds(tableTopic, 0)
	must(t, err)
	if start < heard["tablestart"] || end < heard["tableend"] {
		t.Fatalf("table is [%d, %d), was [%d, %d)", start, end, heard["tablestart"], heard["tableend"])
	}
	heard["tableend"] = end
	recs, err := r.all(tableTopic, 0)
	must(t, err)
	values := make(map[string]int64)
	for _, f := range recs {
		values[string(f.key)] = numberOf(f.record)
	}
	for k := range tableKeys {
		key := fmt.Sprintf("key%d", k)
		if values[key] < heard[key] {
			t.Fatalf("%s is %d, acknowledged %d", key, values[key], heard[key])
		}
	}
}
