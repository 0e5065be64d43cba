package deadletter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/auth"
	"weir/kafka"
	"weir/kafka/kafkatest"
	"weir/telemetry"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 2

type world struct {
	t        *testing.T
	client   *kafka.Client
	producer *kafka.Producer
}

func open(t *testing.T) *world {
	t.Helper()
	var specs []kafka.TopicSpec
	for _, topic := range []string{wire.TopicDeadLetters, wire.TopicReadings, wire.TopicBacklog} {
		specs = append(specs, kafka.TopicSpec{Name: topic, Partitions: partitions})
	}
	b := kafkatest.InMemory(t, specs...)
	return &world{t, b.Client, b.Producer}
}

func (w *world) store() *Store {
	w.t.Helper()
	s := New(Options{
		Client: w.client, Producer: w.producer, Partitions: partitions,
		Lateness: 24 * time.Hour,
		Decoder: func(l *wire.DeadLetter) (wire.FrameDecoder, error) {
			f, ok := wire.ParseFormat(l.Format)
			if !ok {
				return nil, wire.NewError(wire.CodeFormatUnknown, "format")
			}
			return wire.NewFrameDecoder(f, wire.DecoderOptions{DefaultDevice: l.DefaultDevice, Now: func() int64 { return l.Time }, MaxFuture: 1000 * time.Hour}), nil
		},
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); must(w.t, <-ended) })
	<-s.ready
	return s
}

// bury writes a letter as ingest does, and returns its id.
func (w *world) bury(l wire.DeadLetter) ID {
	w.t.Helper()
	if l.Stage == "" {
		l.Stage = wire.StageIngest
	}
	if l.Format == "" {
		l.Format = wire.FormatJSON.String()
	}
	l.Size = max(l.Size, len(l.Raw))
	p := kafka.PartitionFor(l.Device, partitions)
	base, err := w.producer.ProduceSync(w.t.Context(), wire.TopicDeadLetters, p,
		[]kafka.Record{{Key: []byte(l.Device), Value: wire.AppendDeadLetter(nil, &l)}})
	must(w.t, err)
	return ID{p, base}
}

// stored are all readings of a topic, as "device/metric=value@time session:seq".
func (w *world) stored(topic string) []string {
	w.t.Helper()
	ranges, err := w.client.Offsets(w.t.Context(), topic)
	must(w.t, err)
	var out []string
	for p, r := range ranges {
		must(w.t, w.client.ReadRange(w.t.Context(), topic, p, r.First, r.End, func(rec *kafka.Record) error {
			var c wire.ReadingColumns
			if err := c.Unmarshal(rec.Value); err != nil {
				return err
			}
			for i := range c.Value {
				m := 0
				if len(c.Metric) > 0 {
					m = int(c.Metric[i])
				}
				out = append(out, fmt.Sprintf("%s/%s=%v@%d %s:%d", c.Device, c.Metrics[m], c.Value[i], c.Time[i], c.Session, c.Seq))
			}
			return nil
		}))
	}
	return out
}

// session is how the name of a frame's session shows in that of its replays.
func session(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

const half = `{"device":"t/d","session":"s","seq":7,"readings":[{"metric":"a","value":1},{"metric":"b","value":"x"},{"metric":"c","value":3}]}`

// recent is not late.
var recent = time.Now().Add(-time.Hour).UnixMicro()

// partly is a letter of a frame of which reading 1 was refused.
func partly() wire.DeadLetter {
	return wire.DeadLetter{
		Code: wire.CodeValueType, Path: "readings[1].value", Device: "t/d", Time: recent, Raw: []byte(half), Rejected: []uint32{1}}
}

func TestAReplayStoresOnlyWhatWasRefusedAndOnce(t *testing.T) {
	w := open(t)
	id := w.bury(partly())
	s, other := w.store(), w.store()

	out, err := s.Replay(t.Context(), id, Replay{By: "op"})
	must(t, err)
	if out.Stored != 0 || len(out.Rejected) != 1 || out.Rejected[0].Path != "readings[1].value" || len(w.stored(wire.TopicReadings)) != 0 {
		t.Fatalf("as it was: %+v, stored %v", out, w.stored(wire.TopicReadings))
	}
	mended := Replay{By: "op", Frame: []byte(strings.Replace(half, `"x"`, "2.5", 1))}
	dry := mended
	dry.DryRun = true
	out, err = s.Replay(t.Context(), id, dry)
	must(t, err)
	if out.Stored != 1 || !out.DryRun || len(w.stored(wire.TopicReadings)) != 0 {
		t.Fatalf("dry: %+v", out)
	}
	out, err = s.Replay(t.Context(), id, mended)
	must(t, err)
	want := fmt.Sprintf("[t/d/b=2.5@%d weir-dead-letters-ingest-%s:7]", recent, session("s"))
	if got := fmt.Sprint(w.stored(wire.TopicReadings)); got != want || out.Stored != 1 || out.Skipped != 2 {
		t.Fatalf("stored %s, want %s (%+v)", got, want, out)
	}
	for _, store := range []*Store{s, other} {
		eventually(t, func() bool { return store.resolution(id) != nil })
		_, err = store.Replay(t.Context(), id, mended)
		if code(err) != wire.CodeLetterReplayed || len(w.stored(wire.TopicReadings)) != 1 {
			t.Fatalf("again: %v, %v", err, w.stored(wire.TopicReadings))
		}
	}
}

func TestWhatCannotBeReplayedIsRefusedWithItsCode(t *testing.T) {
	w := open(t)
	s := w.store()
	cut := partly()
	cut.Raw, cut.Size = cut.Raw[:20], len(half)
	unknown := partly()
	unknown.Format = "semaphore"
	broken := wire.DeadLetter{Code: wire.CodeJSONSyntax, Device: "t/d", Raw: []byte(`{"device":`)}
	foreign := Replay{Frame: []byte(strings.Replace(half, `"x"`, "2", 1)), MayWrite: func(string) bool { return false }}
	for name, test := range map[string]struct {
		id   ID
		how  Replay
		want string
	}{
		"absent":       {ID{0, 99}, Replay{}, wire.CodeLetterUnknown},
		"no partition": {ID{9, 0}, Replay{}, wire.CodeLetterUnknown},
		"truncated":    {w.bury(cut), Replay{}, wire.CodeLetterTruncated},
		"format":       {w.bury(unknown), Replay{}, wire.CodeFormatUnknown},
		"still broken": {w.bury(broken), Replay{}, wire.CodeJSONSyntax},
		"foreign":      {w.bury(partly()), foreign, wire.CodeForbidden},
		"nothing left": {w.bury(partly()), Replay{Frame: []byte(`{"device":"t/d","metric":"a","value":1}`)}, wire.CodeFrameEmpty},
	} {
		if _, err := s.Replay(t.Context(), test.id, test.how); code(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	if got := w.stored(wire.TopicReadings); len(got) > 0 {
		t.Errorf("stored %v", got)
	}
}

func TestAllOfAFrameAndBacklogGoWhereTheyBelong(t *testing.T) {
	w := open(t)
	s := w.store()
	refused := wire.DeadLetter{Code: wire.CodeJSONSyntax, Device: "t/d", Raw: []byte("{"), Time: 5_000_000}
	_, err := s.Replay(t.Context(), w.bury(refused), Replay{Frame: []byte(`{"device":"t/e","backlog":true,"readings":[{"metric":"a","ts":1,"value":1}]}`)})
	must(t, err)
	if live, past := w.stored(wire.TopicReadings), w.stored(wire.TopicBacklog); len(live) != 0 || len(past) != 1 {
		t.Errorf("readings %v, backlog %v", live, past)
	}
	out, err := s.Replay(t.Context(), w.bury(partly()), Replay{Frame: []byte(strings.Replace(half, `"x"`, "2", 1)), All: true})
	must(t, err)
	if out.Stored != 3 {
		t.Errorf("all of it: %+v", out)
	}
}

func TestARecordOfThePipelineIsReplayedFromItsColumns(t *testing.T) {
	w := open(t)
	s := w.store()
	b := telemetry.Batch{Device: "t/d", Session: "s", Seq: 3, Ingest: 9, Readings: []telemetry.Reading{
		{Metric: "a", Time: recent, Value: 1}, {Metric: "b", Time: recent, Value: 2}}}
	id := w.bury(wire.DeadLetter{
		Code: wire.CodeTooManySeries, Device: "t/d", Stage: wire.StagePipeline, Format: "columns", Time: recent,
		Raw: wire.AppendReadingBatch(nil, &b), Rejected: []uint32{1}})
	out, err := s.Replay(t.Context(), id, Replay{By: "op"})
	must(t, err)
	if got := w.stored(wire.TopicReadings); out.Stored != 1 || len(got) != 1 || !strings.HasPrefix(got[0], fmt.Sprintf("t/d/b=2@%d weir-dead-letters-pipeline-", recent)) {
		t.Errorf("%+v, stored %v", out, got)
	}
}

func TestReplaysAtOnceStoreOnce(t *testing.T) {
	w := open(t)
	s := w.store()
	id := w.bury(wire.DeadLetter{Device: "p/d", Code: wire.CodeForbidden, Time: recent,
		Raw: []byte(`{"device":"p/d","backlog":true,"readings":[{"metric":"m","value":1}]}`)})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { _, _ = s.Replay(t.Context(), id, Replay{By: "me"}) })
	}
	all.Wait()
	if got := w.stored(wire.TopicBacklog); len(got) != 1 {
		t.Errorf("stored %d times: %q", len(got), got)
	}
}

func TestWhatIsTooOldIsReplayedIntoTheBacklog(t *testing.T) {
	w := open(t)
	s := w.store()
	old := partly()
	old.Time = time.Now().Add(-72 * time.Hour).UnixMicro()
	old.Raw = []byte(`[{"device":"p/d","metric":"m","value":1},{"device":"p/d","metric":"m","value":1,"ts":"` + time.Now().UTC().Format(time.RFC3339) + `"}]`)
	out, err := s.Replay(t.Context(), w.bury(old), Replay{All: true})
	must(t, err)
	if live, past := w.stored(wire.TopicReadings), w.stored(wire.TopicBacklog); len(live) != 1 || len(past) != 1 || out.Stored != 2 {
		t.Errorf("%+v, live %q, past %q", out, live, past)
	}
}

// A frame that is resent because its receipt was lost leaves a letter each time.
func TestLettersOfOneFrameAreReplayedUnderOneSeq(t *testing.T) {
	w := open(t)
	s := w.store()
	mended := Replay{Frame: []byte(strings.Replace(half, `"x"`, "2.5", 1))}
	for range 2 {
		_, err := s.Replay(t.Context(), w.bury(partly()), mended)
		must(t, err)
	}
	if got := w.stored(wire.TopicReadings); len(got) != 2 || got[0] != got[1] {
		t.Errorf("the pipeline cannot tell that these are one: %q", got)
	}
}

func TestLettersThatAreNoMoreAreNotOpen(t *testing.T) {
	record := func(offset int64, l wire.DeadLetter) kafka.Record {
		return kafka.Record{Offset: offset, Value: wire.AppendDeadLetter(nil, &l)}
	}
	letter := wire.DeadLetter{Stage: wire.StageIngest, Code: "x"}
	s := New(Options{Partitions: 1})
	s.take(0, &kafka.Fetch{Records: []kafka.Record{record(0, letter), record(1, letter), record(2, letter)}})
	s.take(0, &kafka.Fetch{LogStart: 2})
	if n := s.open(); n != 1 {
		t.Errorf("%d letters are open, one is there", n)
	}
	gone := wire.DeadLetter{Stage: wire.StageReplay, Code: Replayed, Offset: 1}
	s.take(0, &kafka.Fetch{LogStart: 2, Records: []kafka.Record{record(3, gone)}})
	if n := s.open(); n != 1 {
		t.Errorf("%d letters are open after one that is gone was resolved", n)
	}
}

func TestListsArePagedNewestFirstAndFiltered(t *testing.T) {
	w := open(t)
	s := w.store()
	const n = 1300 // more than two windows
	for i := range n {
		w.bury(wire.DeadLetter{Code: "code" + fmt.Sprint(i%3), Device: fmt.Sprintf("t%d/d", i%7), Time: int64(i + 1), Raw: []byte(strings.Repeat("x", 500))})
	}
	var all []Letter
	var cursor Cursor
	for pages := 0; ; pages++ {
		page, next, err := s.List(t.Context(), &Filter{}, cursor, 100)
		must(t, err)
		all = append(all, page...)
		if next == nil {
			break
		}
		if pages > n {
			t.Fatal("no end")
		}
		again, err := ParseCursor(next.String())
		must(t, err)
		cursor = again
	}
	if len(all) != n {
		t.Fatalf("%d letters in all pages, want %d", len(all), n)
	}
	for i := range all {
		if all[i].Time != int64(n-i) {
			t.Fatalf("letter %d is of %d", i, all[i].Time)
		}
	}
	if len(all[0].Raw) != maxExcerpt || all[0].Size != 500 || all[0].truncated {
		t.Errorf("a list shows %d bytes of %d", len(all[0].Raw), all[0].Size)
	}
	p, err := telemetry.ParsePattern("t3/#")
	must(t, err)
	some, _, err := s.List(t.Context(), &Filter{Device: &p, Code: "code1", Since: 100, Until: 1000}, nil, 1000)
	must(t, err)
	want := 0
	for i := range n {
		if i%7 == 3 && i%3 == 1 && i+1 >= 100 && i+1 < 1000 {
			want++
		}
	}
	if len(some) != want {
		t.Errorf("%d letters selected, want %d", len(some), want)
	}
	must(t, s.Discard(t.Context(), all[5].ID, "op"))
	open, _, err := s.List(t.Context(), &Filter{State: StateOpen}, nil, n)
	must(t, err)
	gone, _, err := s.List(t.Context(), &Filter{State: Discarded}, nil, n)
	must(t, err)
	if len(open) != n-1 || len(gone) != 1 || gone[0].ID != all[5].ID || gone[0].Resolution.By != "op" {
		t.Errorf("%d open, discarded %v", len(open), gone)
	}
	if s.open() != n-1 {
		t.Errorf("the gauge says %d", s.open())
	}
}

// tenantGate lets everybody in as an operator of the tenant named by the token.
type tenantGate struct{ auth.Open }

func (tenantGate) Request(r *http.Request) (*auth.Principal, error) {
	p := auth.Everybody()
	p.Method, p.Tenant, p.Subject = auth.MethodToken, r.Header.Get("Tenant"), "op"
	return p, nil
}

func TestOverHTTPAnOperatorSeesItsTenantOnly(t *testing.T) {
	w := open(t)
	s := w.store()
	mine, other, nobody := w.bury(partly()), partly(), wire.DeadLetter{Code: wire.CodeJSONSyntax, Raw: []byte("\xff{")}
	other.Device = "u/d"
	theirs, nameless := w.bury(other), w.bury(nobody)
	router := auth.NewRouter(tenantGate{}, auth.OriginPolicy{})
	s.Routes(router)
	ask := func(tenant, method, path, body string) (int, string) {
		r := httptest.NewRequest(method, "/v1/dead-letters"+path, strings.NewReader(body))
		r.Header.Set("Tenant", tenant)
		rec := httptest.NewRecorder()
		router.ServeHTTP(rec, r)
		text, _ := io.ReadAll(rec.Result().Body)
		return rec.Code, string(text)
	}
	var list struct{ Letters []map[string]any }
	status, body := ask("t", "GET", "?limit=10", "")
	must(t, json.Unmarshal([]byte(body), &list))
	if status != 200 || len(list.Letters) != 1 || list.Letters[0]["id"] != mine.String() {
		t.Fatalf("%d %s", status, body)
	}
	status, body = ask("", "GET", "", "")
	must(t, json.Unmarshal([]byte(body), &list))
	if status != 200 || len(list.Letters) != 3 {
		t.Fatalf("without a tenant: %d %s", status, body)
	}
	for _, id := range []ID{theirs, nameless, {0, 77}} {
		for method, path := range map[string]string{"GET": "", "DELETE": "", "POST": "/replay"} {
			if status, body := ask("t", method, "/"+id.String()+path, ""); status != 404 {
				t.Errorf("%s %s%s: %d %s", method, id, path, status, body)
			}
		}
	}
	if status, body := ask("t", "GET", "/"+mine.String()+"?raw=true", ""); status != 200 || body != half {
		t.Errorf("raw: %d %s", status, body)
	}
	if status, body := ask("t", "POST", "/"+mine.String()+"/replay", ""); status != 422 || !strings.Contains(body, "readings[1].value") {
		t.Errorf("unmended: %d %s", status, body)
	}
	if status, body := ask("t", "POST", "/"+mine.String()+"/replay", strings.Replace(half, `"x"`, "1", 1)); status != 200 || !strings.Contains(body, `"stored":1`) {
		t.Errorf("mended: %d %s", status, body)
	}
	if status, _ := ask("t", "POST", "/"+mine.String()+"/replay", ""); status != 409 {
		t.Errorf("again: %d", status)
	}
	if status, _ := ask("", "DELETE", "/"+nameless.String(), ""); status != 204 {
		t.Errorf("discard: %d", status)
	}
	for _, query := range []string{"?limit=0", "?state=lost", "?since=yesterday", "?nonsense=1", "?cursor=%21", "?device=a%2F%2Fb", "/x", "/1-"} {
		if status, body := ask("", "GET", query, ""); status != 400 {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

func code(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not come about")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
