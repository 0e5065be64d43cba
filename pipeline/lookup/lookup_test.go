package lookup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"weir/pipeline/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cmdb stands in for what is asked.
type cmdb struct {
	mu     sync.Mutex
	asked  int
	status int
	body   string
	err    error
	takes  time.Duration
}

func (c *cmdb) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.asked++
	status, body, err, takes := c.status, c.body, c.err, c.takes
	c.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (c *cmdb) set(status int, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.body = status, body
}

// bench is Lookups that ask a cmdb, in a bubble of virtual time.
type bench struct {
	*Lookups
	*cmdb
	t        *testing.T
	set      *metrics.Set
	failures []Failure
}

func inBubble(t *testing.T, test func(*bench)) {
	synctest.Test(t, func(t *testing.T) {
		x := &bench{t: t, cmdb: &cmdb{status: 200, body: `{}`, takes: 10 * time.Millisecond}, set: metrics.NewSet()}
		x.Lookups = New(Options{
			Transport: x.cmdb, Metrics: x.set,
			Failed: func(_ context.Context, f Failure) { x.failures = append(x.failures, f) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { _ = x.Run(ctx); close(ended) }()
		test(x)
		cancel()
		<-ended
	})
}

func lookupOf(t testing.TB, text string) *plan.Lookup {
	t.Helper()
	p, err := plan.Parse([]byte("enrich: [{match: '#', " + text + "}]"))
	if err != nil {
		t.Fatal(err)
	}
	return p.Lookups("p/a")[0]
}

// pass lets time pass, and what is due then happen.
func (x *bench) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (x *bench) want(l *plan.Lookup, device string, state State, labels map[string]string) {
	x.t.Helper()
	got, gotState := x.Ask(l, device)
	if gotState != state || !maps.Equal(got, labels) {
		x.t.Errorf("%s: %v, state %d; want %v, state %d", device, got, gotState, labels, state)
	}
}

const address = `url: "https://cmdb.example/{device}?key=geheim", prefix: cmdb_`

func TestAnAnswerIsThereOnceItHasCome(t *testing.T) {
	inBubble(t, func(x *bench) {
		l := lookupOf(t, address+", cache: 1m")
		x.cmdb.set(200, `{"owner": "mia", "rack": 7, "none": null, "list": [1], "a b": "x", "on": true, "empty": ""}`)
		x.want(l, "p/a", Pending, nil)
		x.want(l, "p/a", Pending, nil)
		x.pass(time.Second)
		first := map[string]string{"cmdb_owner": "mia", "cmdb_rack": "7"}
		x.want(l, "p/a", Known, first)
		if x.asked != 1 {
			t.Errorf("asked %d times", x.asked)
		}
		x.cmdb.set(200, `{"owner": "tom"}`)
		x.pass(time.Minute)
		x.want(l, "p/a", Known, first) // it is stale, and asked for anew
		x.pass(time.Second)
		x.want(l, "p/a", Known, map[string]string{"cmdb_owner": "tom"})
		x.cmdb.set(500, "")
		x.pass(time.Minute)
		x.want(l, "p/a", Known, map[string]string{"cmdb_owner": "tom"})
		x.pass(10 * time.Second)
		x.want(l, "p/a", Known, map[string]string{"cmdb_owner": "tom"}) // better than nothing
	})
}

func TestThatNothingIsKnownIsAnAnswer(t *testing.T) {
	inBubble(t, func(x *bench) {
		l := lookupOf(t, address)
		x.cmdb.set(404, `{"error": "no such device"}`)
		x.want(l, "p/a", Pending, nil)
		x.pass(time.Second)
		x.want(l, "p/a", Known, nil)
		if x.asked != 1 || len(x.failures) != 0 {
			t.Errorf("asked %d times, failures %v", x.asked, x.failures)
		}
	})
}

func TestWhatFailsIsTriedAgainAndToldOncePerHour(t *testing.T) {
	inBubble(t, func(x *bench) {
		l := lookupOf(t, address)
		x.cmdb.set(503, "secret text of the host")
		x.want(l, "p/a", Pending, nil)
		x.pass(20 * time.Second)
		x.want(l, "p/a", Failed, nil)
		if x.asked != maxAttempts {
			t.Errorf("asked %d times, want %d", x.asked, maxAttempts)
		}
		for range 65 { // once a minute, and past the hour
			x.pass(time.Minute)
			x.Ask(l, "p/a")
		}
		x.pass(20 * time.Second)
		if len(x.failures) != 2 {
			t.Fatalf("told %d times: %v", len(x.failures), x.failures)
		}
		f := x.failures[0]
		if f.Device != "p/a" || f.Host != "cmdb.example" || f.Cause.Error() != "answered with status 503" {
			t.Errorf("%+v", f)
		}
		x.cmdb.set(200, `{"owner": "mia"}`)
		x.pass(2 * time.Minute)
		x.Ask(l, "p/a")
		x.pass(time.Second)
		x.want(l, "p/a", Known, map[string]string{"cmdb_owner": "mia"})
	})
}

func TestErrorsShowNoSecretsAndWhatCannotBeMendedIsNotTriedAgain(t *testing.T) {
	inBubble(t, func(x *bench) {
		l := lookupOf(t, address)
		for i, body := range []string{`[1]`, `null`, `{"a":`, `"` + strings.Repeat("x", maxAnswer) + `"`} {
			x.cmdb.set(200, body)
			x.Ask(l, fmt.Sprint("p/", i))
			x.pass(time.Second)
		}
		x.cmdb.set(401, "")
		x.Ask(l, "p/x")
		x.pass(time.Second)
		if x.asked != 5 || len(x.failures) != 5 {
			t.Errorf("asked %d times, %d failures", x.asked, len(x.failures))
		}
		x.err = errors.New("connection refused")
		x.Ask(l, "p/y")
		x.pass(20 * time.Second)
		if f := x.failures[len(x.failures)-1]; f.Device != "p/y" || f.Cause.Error() != "connection refused" {
			t.Errorf("%+v", f)
		}
		for _, f := range x.failures {
			if strings.Contains(f.Cause.Error(), "geheim") {
				t.Errorf("the cause shows the address: %v", f.Cause)
			}
		}
	})
}

func TestAHostThatFailsIsLeftAloneAndOthersAreNotHeldUp(t *testing.T) {
	inBubble(t, func(x *bench) {
		bad, good := lookupOf(t, address), lookupOf(t, `url: "http://other.example/{device}"`)
		x.cmdb.set(500, "")
		for i := range 100 {
			x.Ask(bad, fmt.Sprint("p/", i))
		}
		x.pass(20 * time.Second)
		if x.asked > failWindow+2*atOnce {
			t.Errorf("a host that fails was asked %d times", x.asked)
		}
		if got := x.m.leftAlone.Get(); got == 0 {
			t.Error("what was not asked is not counted")
		}
		text := new(strings.Builder)
		x.set.WritePrometheus(text)
		if !strings.Contains(text.String(), `weir_pipeline_enrich_breaker{host="cmdb.example"} 2`) {
			t.Error("the state of the breaker is not to be seen")
		}
		x.cmdb.set(200, `{"a": "b"}`)
		x.want(good, "p/1", Pending, nil)
		x.pass(time.Second)
		x.want(good, "p/1", Known, map[string]string{"a": "b"})
		x.pass(time.Minute)
		x.Ask(bad, "p/99")
		x.pass(time.Second)
		x.want(bad, "p/99", Known, map[string]string{"cmdb_a": "b"})
	})
}

func TestNobodyWaitsForAHostThatDoesNotAnswer(t *testing.T) {
	inBubble(t, func(x *bench) {
		l := lookupOf(t, address)
		x.takes = time.Hour
		began := time.Now()
		for i := range 2 * maxWaiting {
			x.want(l, fmt.Sprint("p/", i), Pending, nil)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("asking took %s", took)
		}
		synctest.Wait()
		x.Lookups.mu.Lock()
		waiting := len(x.hosts["cmdb.example"].waiting)
		x.Lookups.mu.Unlock()
		if waiting > maxWaiting || x.m.full.Get() < maxWaiting-2*atOnce {
			t.Errorf("%d wait, %d were dropped", waiting, x.m.full.Get())
		}
		x.pass(3 * time.Second)
		if x.m.timeout.Get() == 0 {
			t.Error("an attempt has no end")
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	var c cache
	c.init()
	labels := map[string]string{"x": strings.Repeat("y", 1<<20)}
	for i := range 100 {
		e := c.get(key{url: fmt.Sprint(i)})
		e.labels = labels
		c.resize(e)
		c.get(key{url: "0"}).labels = labels
	}
	if c.bytes > maxCached || len(c.entries) != c.recent.Len() {
		t.Errorf("%d bytes, %d entries, %d in the list", c.bytes, len(c.entries), c.recent.Len())
	}
	if c.entries[key{url: "0"}] == nil || c.entries[key{url: "99"}] == nil || c.entries[key{url: "1"}] != nil {
		t.Error("not what was asked for longest ago was dropped")
	}
}

func TestHeadersGoToTheHostItselfOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(file, []byte("# of the registry\nAuthorization: Bearer abc:def\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	strange := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect led to another host")
	}))
	defer strange.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /away/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, strange.URL, http.StatusFound) })
	mux.HandleFunc("GET /near/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/here", http.StatusFound) })
	mux.HandleFunc("GET /here", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"header": %q}`, r.Header.Get("Authorization"))
	})
	own := httptest.NewServer(mux)
	defer own.Close()
	l := New(Options{})
	defer l.client.CloseIdleConnections()
	if _, err := l.get(t.Context(), key{url: own.URL + "/away/a", headersFile: file}); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("redirected away: %v", err)
	}
	labels, err := l.get(t.Context(), key{url: own.URL + "/near/a", headersFile: file})
	if err != nil || labels["header"] != "Bearer abc:def" {
		t.Errorf("%v, %v", labels, err)
	}
	if err := os.WriteFile(file, []byte("Bearer abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.get(t.Context(), key{url: own.URL + "/here", headersFile: file}); err == nil || strings.Contains(err.Error(), "abc") {
		t.Errorf("a file without names: %v", err)
	}
}
