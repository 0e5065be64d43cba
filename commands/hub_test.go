package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"weir/auth"
	"weir/kafka"
	"weir/kafka/kafkatest"
	"weir/telemetry"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 30 * time.Second
	press7   = "plant1/line3/press7"
)

// world is an embedded broker with the topic.
type world struct {
	client   *kafka.Client
	producer *kafka.Producer
}

func open(t *testing.T) *world {
	t.Helper()
	b := kafkatest.InMemory(t, kafka.TopicSpec{Name: wire.TopicMessages, Partitions: 3})
	return &world{b.Client, b.Producer}
}

// hub starts an instance.
func (w *world) hub(t *testing.T, change ...func(*Config)) *Hub {
	t.Helper()
	c := DefaultConfig()
	for _, f := range change {
		f(&c)
	}
	h, err := New(Options{Config: c, Client: w.client, Producer: w.producer, Partitions: 3})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-ended) })
	select {
	case <-h.Ready():
	case <-time.After(patience):
		t.Fatal("not loaded")
	}
	return h
}

// site serves a hub to an operator of plant1.
func site(t *testing.T, h *Hub) string {
	t.Helper()
	router := auth.NewRouter(operatorGate{}, auth.OriginPolicy{})
	h.Routes(router)
	s := httptest.NewServer(router)
	t.Cleanup(s.Close)
	return s.URL
}

type operatorGate struct{ auth.Open }

func (operatorGate) Request(r *http.Request) (*auth.Principal, error) {
	pattern, err := telemetry.ParsePattern("plant1/#")
	p := &auth.Principal{
		Subject: "ada", Method: auth.MethodToken, Tenant: "plant1", Roles: []string{auth.RoleOperator}, Write: []telemetry.Pattern{pattern}}
	if r.Header.Get("Viewer") != "" {
		p.Roles = []string{auth.RoleViewer}
	}
	return p, err
}

func call(t *testing.T, method, url, body string) (int, View, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	res, err := http.DefaultClient.Do(r)
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	var out struct {
		View
		Error json.RawMessage `json:"error"`
	}
	_ = json.Unmarshal(text, &out)
	_ = json.Unmarshal(text, &out.View)
	var refusal wire.Error
	_ = json.Unmarshal(out.Error, &refusal)
	return res.StatusCode, out.View, refusal.Code
}

// inbox is a device.
type inbox struct{ ch chan *Command }

func attach(h *Hub, device string) (*inbox, func()) {
	in := &inbox{ch: make(chan *Command, 100)}
	return in, h.Attach(device, func(c *Command) bool { in.ch <- c; return true })
}

func (in *inbox) next(t *testing.T) *Command {
	t.Helper()
	select {
	case c := <-in.ch:
		return c
	case <-time.After(patience):
		t.Fatal("no command came")
		return nil
	}
}

func (in *inbox) silent(t *testing.T) {
	t.Helper()
	select {
	case c := <-in.ch:
		t.Fatalf("command %s came", c.ID)
	case <-time.After(30 * time.Millisecond):
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

func TestACommandReachesADeviceAtAnotherInstanceAndItsResultComesBack(t *testing.T) {
	w := open(t)
	here, there := w.hub(t), w.hub(t)
	in, detach := attach(there, press7)
	defer detach()
	go func() {
		c := <-in.ch
		there.Result(context.Background(), press7, c.ID, Result{OK: true, Result: json.RawMessage(`{"up":5}`)}, func(error) {})
	}()
	status, v, _ := call(t, "POST", site(t, here)+"/v1/commands/"+press7+"?wait=20s", `{"name":"restart","args":{"in": 5},"id":"r1"}`)
	if status != http.StatusOK || v.Status != Done || string(v.Result) != `{"up":5}` || string(v.Args) != `{"in":5}` || v.CreatedBy != "ada" || v.ID != "r1" {
		t.Errorf("%d %+v", status, v)
	}
	for _, h := range []*Hub{here, there} {
		eventually(t, "done everywhere", func() bool { v, ok := h.Get(press7, "r1"); return ok && v.Status == Done })
	}
}

func TestACommandWaitsForItsDeviceAndComesAgainUntilItIsAnswered(t *testing.T) {
	w := open(t)
	h := w.hub(t)
	url := site(t, h) + "/v1/commands/" + press7
	status, v, _ := call(t, "POST", url, `{"name":"a","id":"1"}`)
	if status != http.StatusAccepted || v.Status != Pending {
		t.Fatalf("%d %+v", status, v)
	}
	call(t, "POST", url, `{"name":"b","id":"2"}`)
	other, detach := attach(h, "plant1/line3/press8")
	defer detach()
	for range 2 {
		in, detach := attach(h, press7)
		if a, b := in.next(t), in.next(t); a.ID != "1" || b.ID != "2" || a.Name != "a" {
			t.Fatalf("got %s then %s", a.ID, b.ID)
		}
		detach()
	}
	eventually(t, "delivered", func() bool { v, _ := h.Get(press7, "1"); return v.Status == Delivered && v.DeliveredAt != "" })
	stored := make(chan error, 1)
	h.Result(t.Context(), press7, "1", Result{Error: "stuck"}, func(err error) { stored <- err })
	must(t, <-stored)
	eventually(t, "failed", func() bool { v, _ := h.Get(press7, "1"); return v.Status == Failed && v.Error == "stuck" })
	in, detach2 := attach(w.hub(t), press7) // an instance that starts later has read it all
	defer detach2()
	if c := in.next(t); c.ID != "2" {
		t.Errorf("got %s", c.ID)
	}
	in.silent(t)
	other.silent(t)
}

func TestTheSameIdIsTheSameCommand(t *testing.T) {
	h := open(t).hub(t)
	url := site(t, h) + "/v1/commands/" + press7
	in, detach := attach(h, press7)
	defer detach()
	if status, _, _ := call(t, "POST", url, `{"name":"a","id":"x"}`); status != http.StatusAccepted {
		t.Errorf("%d", status)
	}
	if status, v, _ := call(t, "POST", url, `{"name":"b","id":"x"}`); status != http.StatusOK || v.Name != "a" {
		t.Errorf("%d %+v", status, v)
	}
	in.next(t)
	in.silent(t)
	if n := len(h.List(press7)); n != 1 {
		t.Errorf("%d commands", n)
	}
}

func TestTheFirstCommandOfAnIdAndItsFirstResultCount(t *testing.T) {
	h, err := New(Options{Config: DefaultConfig(), Producer: nowhere{}, Partitions: 1})
	must(t, err)
	now := time.Now()
	delivered := 0
	h.Attach(press7, func(*Command) bool { delivered++; return false })
	write := func(r record) {
		r.ID, r.At = "x", now.UnixMilli()
		value, err := r.encode()
		must(t, err)
		h.apply(press7, value, now)
	}
	for _, name := range []string{"a", "b"} {
		write(record{Type: typeCommand, Name: name, Expires: now.Add(time.Hour).UnixMilli()})
	}
	for _, ok := range []bool{true, false} {
		write(record{Type: typeResult, Result: &Result{OK: ok}})
	}
	write(record{Type: typeDelivered})
	if v, _ := h.Get(press7, "x"); v.Name != "a" || v.Status != Done || delivered != 1 || len(h.List(press7)) != 1 {
		t.Errorf("%+v, delivered %d times", v, delivered)
	}
}

func TestAnExpiredCommandIsNeitherDeliveredNorAnswered(t *testing.T) {
	h := open(t).hub(t)
	url := site(t, h) + "/v1/commands/" + press7
	_, v, _ := call(t, "POST", url+"?wait=20s", `{"name":"a","id":"x","ttl_ms":200}`)
	if v.Status != Expired {
		t.Fatalf("%+v", v)
	}
	in, detach := attach(h, press7)
	defer detach()
	in.silent(t)
	h.Result(t.Context(), press7, "x", Result{OK: true}, func(err error) {
		if e := wire.AsError(err); e.Code != wire.CodeCommandExpired {
			t.Errorf("answered: %v", err)
		}
	})
	h.Result(t.Context(), press7, "y", Result{OK: true}, func(err error) {
		if e := wire.AsError(err); e.Code != wire.CodeCommandUnknown {
			t.Errorf("answered: %v", err)
		}
	})
	if status, _, code := call(t, "GET", url+"?id=y", ""); status != http.StatusNotFound || code != wire.CodeCommandUnknown {
		t.Errorf("%d %s", status, code)
	}
}

func TestACommandThatIsOverBeforeItIsStoredIsExpired(t *testing.T) {
	h := open(t).hub(t)
	now := time.Now()
	v, known, err := h.Give(t.Context(), Command{Device: press7, Name: "a", Created: now, Expires: now})
	if err != nil || known || v.Status != Expired || v.ID == "" || v.FinishedAt == "" {
		t.Errorf("%+v, known %v, %v", v, known, err)
	}
	if held, ok := h.Get(press7, v.ID); !ok || held.Status != Expired {
		t.Errorf("asked for, it is %+v, known %v", held, ok)
	}
	h.Attach(press7, func(c *Command) bool { t.Errorf("delivered: %+v", c); return true })()
}

func TestRefusals(t *testing.T) {
	h := open(t).hub(t, func(c *Config) { c.MaxPerDevice = 2 })
	base := site(t, h) + "/v1/commands/"
	for _, c := range []struct {
		path, body string
		status     int
		code       string
	}{
		{press7, `{}`, 400, wire.CodeFieldMissing},
		{press7, `{"name":1}`, 400, wire.CodeFieldType},
		{press7, `{"name":"a/b"}`, 400, wire.CodeFieldRange},
		{press7, `{"name"`, 400, wire.CodeJSONSyntax},
		{press7, `{"name":"a","id":"a/b"}`, 400, wire.CodeFieldRange},
		{press7, `{"name":"a","ttl_ms":0}`, 400, wire.CodeFieldRange},
		{press7, `{"name":"a","ttl_ms":86400001}`, 400, wire.CodeFieldRange},
		{press7, `{"name":"a","args":"` + strings.Repeat("x", MaxArgsBytes) + `"}`, 400, wire.CodeFieldRange},
		{press7, `{"name":"a","args":"` + strings.Repeat("x", 2*MaxArgsBytes) + `"}`, 413, wire.CodeFrameTooLarge},
		{press7 + "?wait=1h", `{"name":"a"}`, 400, wire.CodeFieldRange},
		{"plant2/press", `{"name":"a"}`, 403, wire.CodeForbidden},
		{"plant1/_x", `{"name":"a"}`, 400, telemetry.CodePathReserved},
	} {
		if status, _, code := call(t, "POST", base+c.path, c.body); status != c.status || code != c.code {
			t.Errorf("%s %.40s: %d %s, want %d %s", c.path, c.body, status, code, c.status, c.code)
		}
	}
	for range 2 {
		call(t, "POST", base+press7, `{"name":"a"}`)
	}
	if status, _, code := call(t, "POST", base+press7, `{"name":"a"}`); status != 429 || code != wire.CodeLimitDevice {
		t.Errorf("one too many: %d %s", status, code)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+press7, nil)
	must(t, err)
	r.Header.Set("Viewer", "1")
	res, err := http.DefaultClient.Do(r)
	must(t, err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer gets %d", res.StatusCode)
	}
}

// full has no room until the context ends.
type full struct{ tried chan struct{} }

func (f full) Produce(ctx context.Context, _ string, _ int, _ []kafka.Record, _ func(int64, error)) error {
	f.tried <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func TestDeliveriesAreNotedWithinOneSecondHoweverMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		f := full{make(chan struct{}, 3*n)}
		h, err := New(Options{Config: DefaultConfig(), Producer: f, Partitions: 1})
		must(t, err)
		var records []kafka.Record
		for i := range n {
			r := record{Type: typeCommand, ID: fmt.Sprint(i), Name: "a", Expires: time.Now().Add(time.Hour).UnixMilli()}
			value, err := r.encode()
			must(t, err)
			records = append(records, kafka.Record{Key: []byte(press7), Value: value})
		}
		defer h.Attach(press7, func(*Command) bool { return true })()
		began := time.Now()
		h.take(0, records, n)
		if took := time.Since(began); took != noticeTimeout || len(f.tried) != n {
			t.Errorf("a fetch took %s, and %d deliveries were to be noted", took, len(f.tried))
		}
		began = time.Now()
		defer h.Attach(press7, func(*Command) bool { return true })()
		if took := time.Since(began); took != noticeTimeout || len(f.tried) != 2*n {
			t.Errorf("attaching took %s, and %d deliveries were to be noted", took, len(f.tried)-n)
		}
	})
}

func TestCommandsLostToDamageAreNotWaitedFor(t *testing.T) {
	h, err := New(Options{Config: DefaultConfig(), Producer: nowhere{}, Partitions: 1})
	must(t, err)
	h.lost(0, 2, 5, errors.New("checksum"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, h.await(ctx, &Command{Device: press7, ID: "x"}, 4))
}

// nowhere takes records and never acknowledges them.
type nowhere struct{}

func (nowhere) Produce(context.Context, string, int, []kafka.Record, func(int64, error)) error {
	return nil
}

func TestWhatIsHeldStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{DefaultTTL: time.Minute, MaxTTL: time.Hour, MaxPerDevice: 3, MaxBytes: 1 << 20}
		h, err := New(Options{Config: c, Producer: nowhere{}, Partitions: 1})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		for i := range rapid.IntRange(1, 300).Draw(t, "records") {
			device := fmt.Sprintf("a/%d", rapid.IntRange(0, 5).Draw(t, "device"))
			r := record{ID: fmt.Sprint(rapid.IntRange(0, 50).Draw(t, "id")), At: now.UnixMilli()}
			switch rapid.IntRange(0, 4).Draw(t, "type") {
			case 0, 1:
				r.Type, r.Name, r.Expires = typeCommand, "x", now.Add(time.Duration(i%7)*time.Second).UnixMilli()
				r.Args, _ = json.Marshal(strings.Repeat("x", rapid.SampledFrom([]int{0, 10_000}).Draw(t, "args")))
			case 2:
				r.Type, r.Result = typeResult, &Result{OK: i%2 == 0, Result: json.RawMessage(`"` + strings.Repeat("y", 9_000) + `"`)}
			case 3:
				r.Type = typeDelivered
			case 4:
				now = now.Add(time.Second)
				h.expire(now)
				checkExpired(t, h, now)
				continue
			}
			value, err := r.encode()
			if err != nil {
				t.Fatal(err)
			}
			h.apply(device, value, now)
			checkBounds(t, h, c)
		}
	})
}

func checkExpired(t *rapid.T, h *Hub, now time.Time) {
	for _, b := range h.state.boxes {
		for _, e := range b.entries {
			if !e.status.Finished() && !now.Before(e.Expires) {
				t.Fatalf("%s of %s is over and %s", e.ID, e.Device, e.status)
			}
		}
	}
}

func checkBounds(t *rapid.T, h *Hub, c Config) {
	entries, bytes := 0, 0
	for device, b := range h.state.boxes {
		finished := 0
		for _, e := range b.entries {
			entries++
			bytes += e.bytes
			if e.status.Finished() {
				finished++
			} else if h.state.soonest.IsZero() || e.Expires.Before(h.state.soonest) {
				t.Fatalf("a command expires %s, before the soonest, %s", e.Expires, h.state.soonest)
			}
			if e.gone {
				t.Fatal("forgotten, and still there")
			}
		}
		if b.waiting() > 2*c.MaxPerDevice || finished > keepFinished || len(b.entries) == 0 {
			t.Fatalf("%s: %d waiting, %d finished", device, b.waiting(), finished)
		}
	}
	if entries != h.state.entries || bytes != h.state.bytes || bytes > c.MaxBytes+2*MaxResultBytes {
		t.Fatalf("%d entries of %d bytes, counted %d and %d", entries, bytes, h.state.entries, h.state.bytes)
	}
	if len(h.state.finished) > 2*h.state.entries+keepFinished+1 {
		t.Fatalf("%d finished are remembered for %d entries", len(h.state.finished), entries)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"v":1,"type":"command","id":"a","name":"b","args":{},"at_ms":1,"expires_at_ms":2}`))
	f.Add([]byte(`{"v":1,"type":"command_result","id":"a","result":{"ok":true}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decodeRecord(value)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		twice, err := decodeRecord(again)
		if err != nil || twice.ID != r.ID || !bytes.Equal(compact(twice.Args), compact(r.Args)) {
			t.Fatalf("%s became %s: %v", value, again, err)
		}
	})
}

func TestDecodeResult(t *testing.T) {
	id, r, err := DecodeResult([]byte(`{"id":"a","ok":false,"error":"no","result":{"x": 1}}`))
	if err != nil || id != "a" || r.OK || r.Error != "no" || string(r.Result) != `{"x":1}` {
		t.Errorf("%s %+v %v", id, r, err)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"ok":1}`, `{"ok":true,"result":"` + strings.Repeat("x", MaxResultBytes) + `"}`} {
		if _, _, err := DecodeResult([]byte(bad)); err == nil {
			t.Errorf("taken: %.40s", bad)
		}
	}
}
