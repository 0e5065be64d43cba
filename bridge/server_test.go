package bridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"weir/commands"
	"weir/kafka"
	"weir/wire"
)

const orders = `
bridges:
  - name: maintenance
    topic: erp.orders
    filter: value.site == "plant1"
    to: {room: "plant1/{{value.line}}"}
    type: order
    payload: '{text: value.title, key: key, by: headers.h}'
`

func TestRecordsBecomeMessagesOrDeadLettersOrNothing(t *testing.T) {
	t.Parallel()
	testCarrying(t, open(t))
}

// testCarrying is run on every kind of broker.
func testCarrying(t *testing.T, w *world) {
	w.topic("erp.orders", 1)
	w.put("erp.orders",
		`{"site":"plant1","line":"ops","title":"one"}`,
		`{"site":"plant2","line":"ops","title":"elsewhere"}`,
		`{"site":"plant1","title":"no line"}`,
		`no JSON`,
		``, // a tombstone
		`{"site":"plant1","line":"#","title":"no room"}`,
		`[]`,
		`{"site":"plant1","line":"ops","title":"`+strings.Repeat("x", 40<<10)+`"}`,
		`{"site":"plant1","line":"ops","title":"two"}`,
	)
	r := w.run(orders)
	eventually(t, "all is committed", func() bool { return w.committed("maintenance", "erp.orders", 0) == 9 })
	got := w.messages()
	if len(got) != 2 || string(got[0].Payload) != `{"by":"x","key":"k","text":"one"}` || got[0].Room != "plant1/ops" || got[0].Type != "order" ||
		got[0].From.User != "_bridges/maintenance" || !strings.HasPrefix(got[0].ID, "0-0-") || !strings.HasPrefix(got[1].ID, "0-8-") {
		t.Errorf("messages %+v", got)
	}
	want := []string{
		"2 expression_failed to.room value.line: null is no text", "3 json_syntax value", "5 path_wildcard to.room",
		"6 expression_failed filter value.site: a place in a list",
		"7 field_range payload",
	}
	letters := w.letters()
	for i, l := range letters {
		text := fmt.Sprintf("%d %s %s %s", l.Offset, l.Code, l.Path, l.Message)
		if i >= len(want) || !strings.HasPrefix(text, want[i]) || l.Topic != "erp.orders" || l.Stage != wire.StageBridge || l.Device != "" || l.Subject != "_bridges/maintenance" {
			t.Errorf("letter %d: %s, %+v", i, text, l.Stage)
		}
	}
	if len(letters) != len(want) || string(letters[1].Raw) != "no JSON" {
		t.Errorf("%d letters", len(letters))
	}
	eventually(t, "the counts are told", func() bool { return r.counted("maintenance", DeadLetter) == "5" })
	if sent, filtered := r.counted("maintenance", Sent), r.counted("maintenance", Filtered); sent != "2" || filtered != "2" {
		t.Errorf("%s sent, %s filtered", sent, filtered)
	}
	eventually(t, "it has caught up", func() bool {
		s := r.State()
		return len(s) == 1 && len(s[0].Partitions) == 1 && s[0].Partitions[0] == PlaceState{0, 9, 0} && s[0].Records["sent"] == 2 && s[0].Failure != ""
	})
	r.stop()
	w.put("erp.orders", `{"site":"plant1","line":"ops","title":"three"}`)
	r = w.run(orders)
	eventually(t, "it goes on where it was", func() bool { return w.committed("maintenance", "erp.orders", 0) == 10 })
	if got := w.messages(); len(got) != 3 {
		t.Errorf("after a restart there are %d messages", len(got))
	}
}

func TestEachKindOfDeadLetterIsLoggedOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.topic("erp.orders", 1)
	for i := range 20 {
		w.put("erp.orders", fmt.Sprintf(`{"line":"x%d"}`, i), "poison", fmt.Sprint("poison", i))
	}
	text := strings.Replace(orders, `filter: value.site == "plant1"`, `filter: float(value.line) > 1`, 1)
	r := w.run(text)
	eventually(t, "all is committed", func() bool { return w.committed("maintenance", "erp.orders", 0) == 60 })
	if n := r.log.count("a record is a dead letter"); n != 2 || len(w.letters()) != 60 {
		t.Errorf("%d are logged of %d", n, len(w.letters()))
	}
	r.Apply(w.parse(text + "    ttl: 1h\n"))
	eventually(t, "it is another version", func() bool { return r.runner("maintenance").bridge.Load().ttl > 0 })
	w.put("erp.orders", "poison")
	eventually(t, "it is logged of that again", func() bool { return r.log.count("a record is a dead letter") == 3 })
}

// forgetful stores some of what it is given and says that it did not, and does not store some and says so.
type forgetful struct {
	*kafka.Producer
	mu     sync.Mutex
	random *rand.Rand
	lies   int
}

var errLie = errors.New("the answer is lost")

func (f *forgetful) Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(int64, error)) error {
	f.mu.Lock()
	fails := f.lies > 0 && f.random.IntN(20) == 0
	if fails {
		f.lies--
	}
	loses := fails && f.lies%2 == 0
	f.mu.Unlock()
	if loses {
		go done(-1, errLie)
		return nil
	}
	return f.Producer.Produce(ctx, topic, partition, recs, func(base int64, err error) {
		if fails {
			err = errLie
		}
		done(base, err)
	})
}

// The law: whatever is in a topic and whatever goes wrong in between, each record whose filter is true is stored under one id,
// nothing is under another, and all is committed.
func TestEachRecordIsStoredUnderOneIDAndAllIsCommitted(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.topic("erp.orders", 2)
	random := rand.New(rand.NewPCG(1, 2))
	want, n := map[string]int{}, 600
	for i := range n {
		switch random.IntN(4) {
		case 0:
			w.putTo("erp.orders", i%2, `{"site":"plant2"}`)
		case 1:
			w.putTo("erp.orders", i%2, `poison`)
		default:
			title := fmt.Sprint("t", i)
			w.putTo("erp.orders", i%2, `{"site":"plant1","line":"ops","title":"`+title+`"}`)
			want[title]++
		}
	}
	r := w.run(orders, func(o *Options) {
		o.Producer = &forgetful{Producer: w.producer, random: random, lies: 4}
		o.Config.InFlight = 16
	})
	eventually(t, "all is committed", func() bool {
		return w.committed("maintenance", "erp.orders", 0) == int64(n/2) && w.committed("maintenance", "erp.orders", 1) == int64(n/2)
	})
	ids := map[string]string{}
	stored := w.messages()
	for _, m := range stored {
		if before, known := ids[m.ID]; known && before != string(m.Payload) {
			t.Fatalf("%s is %s and %s", m.ID, before, m.Payload)
		}
		ids[m.ID] = string(m.Payload)
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids for %d records", len(ids), len(want))
	}
	if len(stored) == len(ids) || r.metric(`weir_bridge_retries_total{bridge="maintenance"}`) == "0" {
		t.Error("nothing was carried again: the test tests nothing")
	}
}

func TestATopicThatIsMadeLaterIsWaitedForAndNothingInItIsMissed(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.run(strings.Replace(orders, "topic: erp.orders", "topic: erp.orders\n    from: end", 1))
	missing := func() string { return r.metric(`weir_bridge_topic_missing{bridge="maintenance"}`) }
	eventually(t, "it is missed", func() bool { return missing() == "1" })
	time.Sleep(300 * time.Millisecond) // looks again a few times
	if n := r.log.count("no such topic"); n != 1 {
		t.Errorf("told %d times", n)
	}
	w.topic("erp.orders", 1)
	w.put("erp.orders", `{"site":"plant1","line":"ops","title":"first"}`)
	eventually(t, "its first record is carried", func() bool { return len(w.messages()) == 1 })
	if missing() != "0" {
		t.Error("it is still missed")
	}
}

func TestFromTheEndOnlyWhatComesIsCarried(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.topic("erp.orders", 1)
	w.put("erp.orders", `{"site":"plant1","line":"ops","title":"old"}`)
	text := strings.Replace(orders, "topic: erp.orders", "topic: erp.orders\n    from: end", 1)
	r := w.run(text)
	eventually(t, "the end is stored", func() bool { return w.committed("maintenance", "erp.orders", 0) == 1 })
	r.stop()
	w.put("erp.orders", `{"site":"plant1","line":"ops","title":"between"}`)
	w.run(text)
	eventually(t, "it is carried", func() bool { return w.committed("maintenance", "erp.orders", 0) == 2 })
	if got := w.messages(); len(got) != 1 || !strings.Contains(string(got[0].Payload), "between") {
		t.Errorf("%+v", got)
	}
}

func TestTwoProcessesShareABridge(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.topic("erp.orders", 2)
	a := w.run(orders)
	b := w.run(orders)
	eventually(t, "each has a partition", func() bool {
		one, other := a.State(), b.State()
		return len(one) == 1 && len(other) == 1 && len(one[0].Partitions) == 1 && len(other[0].Partitions) == 1
	})
	for p := range 2 {
		w.putTo("erp.orders", p, `{"site":"plant1","line":"ops","title":"x"}`)
	}
	eventually(t, "both are carried", func() bool { return len(w.messages()) == 2 })
	b.stop()
	w.putTo("erp.orders", 0, `{"site":"plant1","line":"ops","title":"y"}`)
	w.putTo("erp.orders", 1, `{"site":"plant1","line":"ops","title":"z"}`)
	eventually(t, "the other takes over", func() bool { return len(w.messages()) == 4 })
}

func TestAPlanIsFollowedWhileRunning(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.topic("erp.orders", 1)
	w.topic("erp.other", 1)
	r := w.run(orders)
	const order = `{"site":"plant1","line":"ops","title":"x"}`
	w.put("erp.orders", order)
	eventually(t, "it is carried", func() bool { return len(w.messages()) == 1 })
	before := r.runner("maintenance")
	r.Apply(w.parse(strings.Replace(orders, "type: order", "type: changed", 1) + `
  - {name: other, topic: erp.other, to: {user: plant1/_users/ada}, type: mail}
`))
	if limit := r.runner("maintenance").pace.Limit(); limit != rate.Inf {
		t.Errorf("a bridge without a rate reads %v records a second", limit)
	}
	w.put("erp.other", `1`)
	eventually(t, "the new one carries", func() bool { return len(w.messages()) == 2 })
	w.put("erp.orders", order)
	eventually(t, "the changed one carries", func() bool { return len(w.messages()) == 3 })
	var kinds []string
	for _, m := range w.messages() {
		kinds = append(kinds, m.Type)
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []string{"changed", "mail", "order"}) || r.runner("maintenance") != before {
		t.Errorf("types %v, goes on: %v", kinds, r.runner("maintenance") == before)
	}
	r.Apply(w.parse(strings.Replace(orders, "type: order", "type: order\n    rate: 50", 1)))
	eventually(t, "the rate counts", func() bool { return r.runner("maintenance").pace.Limit() == 50 && r.runner("other") == nil })
	r.Apply(w.parse(``))
	eventually(t, "all have ended", func() bool { return len(r.State()) == 0 })
	if r.metric(`weir_bridge_lag{bridge="maintenance"}`) != "" {
		t.Error("the gauges of a bridge that has ended are still there")
	}
}

func TestACommandIsGivenAndItsResultComesBack(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.topic("mes.jobs", 1)
	h, err := commands.New(commands.Options{Config: commands.DefaultConfig(), Client: w.client, Producer: w.producer, Partitions: partitions})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	defer func() { cancel(); must(t, receive(t, "the end of the hub", ended)) }()
	receive(t, "the hub is ready", h.Ready())
	given := make(chan commands.Command, 10)
	defer h.Attach("plant1/press7", func(c *commands.Command) bool { given <- *c; return true })()
	w.put("mes.jobs", `{"machine":"press7","job":"j1","program":7}`, `{"machine":"press7/#","job":"j2"}`, `{"machine":"press7","job":"a/b"}`)
	w.run(`
bridges:
  - name: jobs
    topic: mes.jobs
    to: {device: "plant1/{{value.machine}}"}
    command: start
    args: '{program: value.program}'
    id: "{{value.job}}"
    ttl: 5m
`)
	c := receive(t, "the command", given)
	if c.ID != "j1" || c.Name != "start" || string(c.Args) != `{"program":7}` || c.By != "_bridges/jobs" || c.Expires.Sub(c.Created) != 5*time.Minute {
		t.Errorf("%+v", c)
	}
	stored := make(chan error, 1)
	h.Result(t.Context(), c.Device, c.ID, commands.Result{OK: true}, func(err error) { stored <- err })
	must(t, receive(t, "the acknowledgement of the result", stored))
	within, over := context.WithTimeout(t.Context(), patience)
	defer over()
	if v, ok := h.Wait(within, c.Device, c.ID); !ok || v.Status != commands.Done || v.CreatedBy != "_bridges/jobs" {
		t.Errorf("%+v", v)
	}
	eventually(t, "the others are dead letters", func() bool { return len(w.letters()) == 2 })
	if l := w.letters(); l[0].Path != "to.device" || l[1].Path != "id" {
		t.Errorf("%+v", l)
	}
}

func TestARecordBecomesAReadingUnderANumberOfItsOwn(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.topic("lab.results", 1)
	now := time.Now().UnixMilli()
	w.put("lab.results", fmt.Sprintf(`{"tank":"t1","ph":7.25,"at":%d}`, now), `{"tank":"t1","ph":"sour"}`, `{"tank":"t1","ph":null}`, `{"tank":"_x","ph":1}`,
		fmt.Sprintf(`{"tank":"t1","ph":6,"at":%d}`, now-3600_000), `{"tank":"t1","ph":5,"at":"2200-01-01T00:00:00Z"}`)
	w.run(`
bridges:
  - {name: lab, topic: lab.results, to: {series: "plant1/{{value.tank}}/ph"}, reading: value.ph, time: value.at}
`, func(o *Options) { o.Lateness = time.Minute })
	eventually(t, "all is committed", func() bool { return w.committed("lab", "lab.results", 0) == 6 })
	read := func(topic string) (out []wire.ReadingColumns) {
		for _, r := range w.all(topic) {
			var c wire.ReadingColumns
			must(t, c.Unmarshal(r.Value))
			out = append(out, c)
		}
		return out
	}
	live, past := read(wire.TopicReadings), read(wire.TopicBacklog)
	if len(live) != 1 || len(past) != 1 {
		t.Fatalf("%d live, %d past", len(live), len(past))
	}
	b := live[0]
	if b.Device != "plant1/t1" || b.Session == "" || b.Seq != 0 || past[0].Session != b.Session || past[0].Seq != 4 ||
		len(b.Value) != 1 || b.Metrics[0] != "ph" || b.Value[0] != 7.25 || b.Time[0] != now*1000 {
		t.Errorf("%+v", b)
	}
	var codes []string
	for _, l := range w.letters() {
		codes = append(codes, l.Code+" "+l.Path)
	}
	if want := []string{"value_type reading", "value_type reading", "path_reserved to.series", "ts_future time"}; !slices.Equal(codes, want) {
		t.Errorf("refused with %v", codes)
	}
}

func TestAPipelineThatIsBehindHoldsReadingsBack(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.topic("lab.results", 1)
	w.put("lab.results", `1`, `2`)
	var mu sync.Mutex
	behind := true
	r := w.run(`bridges: [{name: lab, topic: lab.results, to: {series: plant1/t1/ph}}]`, func(o *Options) {
		o.Held = func(int) bool { mu.Lock(); defer mu.Unlock(); return behind }
	})
	eventually(t, "it waits", func() bool { return r.metric(`weir_bridge_held{bridge="lab"}`) == "1" })
	if len(w.all(wire.TopicReadings)) != 0 {
		t.Error("readings are written all the same")
	}
	mu.Lock()
	behind = false
	mu.Unlock()
	eventually(t, "it goes on", func() bool { return len(w.all(wire.TopicReadings)) == 2 })
}

func TestWhatRetentionTakesIsCountedAndTheBridgeGoesOn(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.topic("erp.orders", 1)
	r := w.run(orders)
	w.put("erp.orders", `{"site":"plant1","line":"ops","title":"0"}`, `{"site":"plant1","line":"ops","title":"1"}`)
	eventually(t, "both are carried", func() bool { return w.committed("maintenance", "erp.orders", 0) == 2 })
	r.stop()
	for i := 2; i < 6; i++ {
		w.put("erp.orders", fmt.Sprintf(`{"site":"plant1","line":"ops","title":"%d"}`, i))
	}
	must(t, w.broker.DeleteRecords(t.Context(), "erp.orders", 0, 5))
	r = w.run(orders)
	eventually(t, "the last is carried", func() bool { return w.committed("maintenance", "erp.orders", 0) == 6 })
	if got, lost := w.messages(), r.metric(`weir_bridge_records_lost_total{bridge="maintenance"}`); len(got) != 3 || lost != "3" {
		t.Errorf("%d messages, %s lost", len(got), lost)
	}
}
