package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"weir/auth"
	"weir/kafka"
	"weir/kafka/embedded"
	"weir/kafka/table"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience   = 30 * time.Second
	partitions = 2
	group      = "weir-pipeline"
)

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// world is an embedded broker with the topics that nodes reads.
type world struct {
	t        *testing.T
	client   *kafka.Client
	producer *kafka.Producer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker, err := embedded.Open(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	client, err := kafka.New(broker.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	specs := []kafka.TopicSpec{{Name: wire.TopicNodes, Partitions: partitions, Compact: true}, {Name: wire.TopicReadings, Partitions: partitions}}
	if err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(t.Context(), kafka.ProducerOptions{CloseTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producer.Close() })
	return &world{t, client, producer}
}

// instance is one process: a table, a registry on it, and a reporter if it has an id.
type instance struct {
	*Registry
	table *table.Table
	stop  func()
}

func (w *world) instance(id string, lag func() []PartitionLag) *instance {
	w.t.Helper()
	tab := table.New(table.Options{Client: w.client, Producer: w.producer, Topic: wire.TopicNodes, Partitions: partitions})
	r, err := NewRegistry(RegistryOptions{Table: tab, Client: w.client, Group: group, Partitions: partitions, Metrics: metrics.NewSet()})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var reporting sync.WaitGroup
	all.Go(func() { _ = tab.Run(ctx) })
	all.Go(func() { _ = r.Run(ctx) })
	report, silence := context.WithCancel(context.Background())
	if id != "" {
		reporter, err := NewReporter(ReporterOptions{Table: tab, Client: w.client, Self: Node{ID: id, Roles: []string{"pipeline"}, Address: "http://" + id + "/"}, Lag: lag})
		if err != nil {
			w.t.Fatal(err)
		}
		reporting.Go(func() { _ = reporter.Run(report) })
	}
	stop := sync.OnceFunc(func() { silence(); reporting.Wait(); cancel(); all.Wait() })
	w.t.Cleanup(stop)
	return &instance{r, tab, stop}
}

// reading stores a record of weir.readings.
func (w *world) reading(partition int, at time.Time) {
	w.t.Helper()
	rec := kafka.Record{Time: at.UnixMilli(), Key: []byte("k"), Value: make([]byte, 99)}
	if _, err := w.producer.ProduceSync(w.t.Context(), wire.TopicReadings, partition, []kafka.Record{rec}); err != nil {
		w.t.Fatal(err)
	}
}

func TestAProcessIsListedWhileItRunsAndLeavesWhenItStops(t *testing.T) {
	w := newWorld(t)
	watcher := w.instance("", nil)
	var applied atomic.Int64
	applied.Store(7)
	owner := w.instance("a", func() []PartitionLag {
		return []PartitionLag{{Partition: 1, Applied: applied.Load(), End: 9, Records: 2, Bytes: 300, Age: 1500}}
	})
	await(t, "it is listed", func() bool { return len(watcher.Nodes()) == 1 })
	node := watcher.Nodes()[0]
	if node.ID != "a" || node.Address != "http://a/" || len(node.Partitions) != 1 || node.Partitions[0].Applied != 7 || node.Time == 0 {
		t.Errorf("listed as %+v", node)
	}
	await(t, "its lag is known", func() bool {
		l, ok := watcher.Lag(1)
		return ok && l.Records == 2 && l.Bytes == 300 && l.Age >= 1500
	})
	applied.Store(8)
	await(t, "the next report is taken", func() bool { l, _ := watcher.Lag(1); return l.Applied == 8 })
	owner.stop()
	await(t, "it has left", func() bool { return len(watcher.Nodes()) == 0 })
}

func TestAPartitionThatNobodyReportsIsAskedForAtTheBroker(t *testing.T) {
	w := newWorld(t)
	w.reading(0, time.Now().Add(-time.Minute))
	w.reading(0, time.Now())
	r := w.instance("", nil)
	await(t, "the lag is known", func() bool { _, ok := r.Lag(0); return ok })
	l, _ := r.Lag(0)
	if l.Records != 2 || l.End != 2 || l.Applied != 0 || l.Bytes != 200 || l.Age < time.Minute.Microseconds() || l.Age > 2*time.Minute.Microseconds() {
		t.Errorf("lag %+v", l)
	}
	if l, ok := r.Lag(1); !ok || l.Records != 0 || l.Age != 0 {
		t.Errorf("of an empty partition: %+v, %v", l, ok)
	}
	if _, ok := r.Lag(partitions); ok {
		t.Error("a partition that there is not is known")
	}
	if n := r.asking.unreported.Load(); n != 2 {
		t.Errorf("%d unreported", n)
	}
}

func TestWhatTheGroupHasCommittedIsNoLag(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.reading(0, time.Now().Add(-time.Hour))
	}
	w.reading(0, time.Now())
	committed := make(chan struct{})
	member, err := w.client.NewGroup(kafka.GroupOptions{ID: group, Topic: wire.TopicReadings, Own: func(ctx context.Context, a *kafka.Assignment) error {
		if a.Partition == 0 {
			if err := a.Commit(ctx, 3); err != nil {
				return err
			}
			close(committed)
		}
		<-ctx.Done()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = member.Run(ctx) })
	<-committed
	cancel()
	run.Wait()
	r := w.instance("", nil)
	await(t, "the lag is known", func() bool { _, ok := r.Lag(0); return ok })
	if l, _ := r.Lag(0); l.Records != 1 || l.Applied != 3 || l.Age > time.Minute.Microseconds() {
		t.Errorf("lag %+v", l)
	}
}

func TestOfTwoReportsOfAPartitionTheOneAheadCounts(t *testing.T) {
	w := newWorld(t)
	report := func(id string, at time.Time, applied int64) {
		value, err := encode(&Node{ID: id, Time: at.UnixMicro(), Partitions: []PartitionLag{{Partition: 0, Applied: applied, End: 100, Records: 100 - applied}}})
		if err != nil {
			t.Fatal(err)
		}
		rec := kafka.Record{Key: []byte(id), Value: value}
		if _, err := w.producer.ProduceSync(t.Context(), wire.TopicNodes, kafka.PartitionFor(id, partitions), []kafka.Record{rec}); err != nil {
			t.Fatal(err)
		}
	}
	for applied := range int64(10) { // in whatever order they are looked at
		report(fmt.Sprintf("older %d", applied), time.Now(), 40-applied)
	}
	report("old", time.Now(), 40)
	report("new", time.Now(), 60)
	report("gone", time.Now().Add(-Silence), 80) // read back, and silent since
	report("long gone", time.Now().Add(-forgotten-time.Second), 90)
	r := w.instance("", nil)
	await(t, "the reports are read", func() bool { l, ok := r.Lag(0); return ok && l.Applied == 60 })
	if n := len(r.Nodes()); n != 12 {
		t.Errorf("%d nodes listed", n)
	}
	r.sweep(t.Context(), time.Now())
	await(t, "what is long gone is deleted", func() bool { _, there := r.table.Get("long gone"); return !there })
	if _, there := r.table.Get("gone"); !there {
		t.Error("so is what has just gone")
	}
}

func TestAfterAStandstillOnlyThoseWhoStaySilentAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := table.New(table.Options{Topic: wire.TopicNodes})
		r, err := NewRegistry(RegistryOptions{Table: tb, Client: new(kafka.Client), Group: group, Partitions: 1})
		if err != nil {
			t.Fatal(err)
		}
		ready := make(chan struct{})
		close(ready)
		r.ready = ready
		hear := func(ids ...string) {
			for _, id := range ids {
				value, err := encode(&Node{ID: id, Time: time.Now().UnixMicro()})
				if err != nil {
					t.Fatal(err)
				}
				r.heard(id, value)
			}
		}
		expect := func(when, want string) {
			t.Helper()
			got := ""
			for _, n := range r.Nodes() {
				got += n.ID
			}
			if got != want {
				t.Errorf("%s %q are there, want %q", when, got, want)
			}
		}
		hear("a", "b", "c", "self")
		for range 6 {
			time.Sleep(Beat)
			hear("b", "c", "self")
		}
		expect("after a died,", "bcself")
		time.Sleep(Silence + Beat)
		expect("in a standstill", "")
		hear("self")
		expect("right after it", "bcself")
		for range 6 {
			time.Sleep(Beat)
			hear("b", "self")
		}
		expect("when c has not come back", "bself")
	})
}

func TestALayoutThatIsNotKnownIsLeftAlone(t *testing.T) {
	for _, text := range []string{`{"v":2,"id":"x"}`, `{"id":"x"}`, `[]`, ``} {
		if n, err := decode([]byte(text)); err == nil {
			t.Errorf("%s read as %+v", text, n)
		}
	}
}

func TestTheListIsForOperatorsOfNoTenant(t *testing.T) {
	w := newWorld(t)
	r := w.instance("a", func() []PartitionLag { return nil })
	await(t, "listed, and its lag known", func() bool { _, ok := r.Lag(1); return ok && len(r.Nodes()) == 1 })
	get := func(p *auth.Principal) (int, list) {
		m := auth.NewRouter(as{p}, auth.OriginPolicy{})
		r.Routes(m)
		rec := httptest.NewRecorder()
		m.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/nodes", nil))
		var out list
		if rec.Code == http.StatusOK {
			if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
		}
		return rec.Code, out
	}
	if code, out := get(&auth.Principal{Roles: []string{auth.RoleOperator}}); code != 200 || out.Nodes[0].Address == "" || len(out.Partitions) != 2 {
		t.Errorf("an operator gets %d %+v", code, out)
	}
	if code, _ := get(&auth.Principal{Roles: []string{auth.RoleOperator}, Tenant: "plant1"}); code != http.StatusForbidden {
		t.Errorf("a tenant's operator gets %d", code)
	}
	if code, _ := get(&auth.Principal{Roles: []string{auth.RoleViewer}}); code != http.StatusForbidden {
		t.Errorf("a viewer gets %d", code)
	}
}

// as is a gate for one principal.
type as struct{ p *auth.Principal }

func (a as) Request(*http.Request) (*auth.Principal, error)         { return a.p, nil }
func (a as) Token(context.Context, string) (*auth.Principal, error) { return a.p, nil }
func (a as) Watch(*auth.Principal, func(*wire.Error)) (stop func()) { return func() {} }
