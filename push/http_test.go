package push

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// get asks the server, with pairs of header names and values.
func (ts *testServer) get(t *testing.T, path string, header ...string) (int, []byte) {
	t.Helper()
	return ts.getIn(context.Background(), t, path, header...)
}

func (ts *testServer) getIn(ctx context.Context, t *testing.T, path string, header ...string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ts.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

func errorCode(body []byte) string {
	var b struct {
		Error wire.Error `json:"error"`
	}
	if json.Unmarshal(body, &b) != nil {
		return ""
	}
	return b.Error.Code
}

func TestSnapshotOverHTTPHoldsNewestUpdatesAndOpenAlerts(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("p/b/m", 0, 2), single("q/a/m", 0, 3))
	s.feed(single("p/a/m", 1, 10))
	s.hub.alerts(0, []telemetry.Alert{alert("x", "p/a/m", telemetry.Firing, 1), alert("y", "q/a/m", telemetry.Firing, 1)}, 2)
	status, body := s.get(t, "/v1/snapshot?series=p/%23&series=p/a/m")
	if status != 200 {
		t.Fatalf("status %d: %s", status, body)
	}
	snap, err := wire.DecodeSnapshot(body)
	if err != nil {
		t.Fatal(err)
	}
	if snap.Epoch != "epoch-1" || snap.Cursor == "" || snap.ServerTime == 0 || len(snap.Rows) != 2 || len(snap.Alerts) != 1 {
		t.Errorf("snapshot = %+v", snap)
	}
	if u := snap.Rows[0].Update; u.Series != "p/a/m" || u.Version != 1 || u.Last != 10 {
		t.Errorf("first row = %+v", u)
	}
}

func TestSeriesAreListed(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("q/a/m", 0, 3), single("p/b/m", 0, 2), single("p/a/m", 0, 1))
	for path, want := range map[string]string{
		"/v1/series":                               `{"series":["p/a/m","p/b/m","q/a/m"],"truncated":false}`,
		"/v1/series?pattern=p/%23":                 `{"series":["p/a/m","p/b/m"],"truncated":false}`,
		"/v1/series?limit=9&access_token=secret":   `{"series":["p/a/m","p/b/m","q/a/m"],"truncated":false}`,
		"/v1/series?limit=2":                       `{"series":["p/a/m","p/b/m"],"truncated":true}`,
		"/v1/series?pattern=none/at/all":           `{"series":[],"truncated":false}`,
		"/v1/series?pattern=%2B/a/m&pattern=q/%23": `{"series":["p/a/m","q/a/m"],"truncated":false}`,
	} {
		if status, body := s.get(t, path); status != 200 || string(body) != want {
			t.Errorf("%s: %d %s, want %s", path, status, body, want)
		}
	}
}

func TestBadRequestsGetCodeAndPath(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MaxListed = 2 })
	s.feed(single("q/a/m", 0, 3), single("p/b/m", 0, 2), single("p/a/m", 0, 1))
	for _, tc := range []struct {
		path   string
		status int
		code   string
	}{
		{"/v1/snapshot", 400, wire.CodeFieldMissing},
		{"/v1/snapshot?series=a/%23/b", 400, telemetry.CodePatternForm},
		{"/v1/snapshot?series=%23", 422, wire.CodeFieldRange},
		{"/v1/series?limit=0", 400, wire.CodeFieldRange},
		{"/v1/series?limit=many", 400, wire.CodeFieldRange},
		{"/v1/series?series=p/%23", 400, wire.CodeFieldUnknown},
		{"/v1/series?pattern=", 400, telemetry.CodePathEmpty},
		{"/v1/live", 426, wire.CodeUpgradeRequired},
	} {
		if status, body := s.get(t, tc.path); status != tc.status || errorCode(body) != tc.code {
			t.Errorf("%s: %d %s, want %d %s", tc.path, status, body, tc.status, tc.code)
		}
	}
	for _, query := range []string{"?subscribe=a/%23/b", "?subscribe=%23&max_hz=NaN", "?subscribe=%23&max_hz=x"} {
		if status, _ := s.get(t, "/v1/live"+query, "Upgrade", "websocket"); status != 400 {
			t.Errorf("%s: %d, want 400", query, status)
		}
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	s := startServer(t, nil)
	for _, path := range []string{"/v1/live", "/v1/snapshot", "/v1/series"} {
		for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodOptions} {
			req, err := http.NewRequest(method, "http://"+s.addr+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusMethodNotAllowed || errorCode(body) != wire.CodeMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d %s, Allow %q", method, path, res.StatusCode, body, res.Header.Get("Allow"))
			}
		}
	}
}

func TestNothingIsServedBeforeTheStateIsComplete(t *testing.T) {
	s := startServer(t, nil)
	s.hub.mu.Lock()
	s.hub.ready = false
	s.hub.mu.Unlock()
	for _, path := range []string{"/v1/snapshot?series=%23", "/v1/series"} {
		if status, body := s.get(t, path); status != 503 || errorCode(body) != wire.CodeNotReady {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	c, f := s.dial(dialOptions{query: "?subscribe=%23"}), newFollower(t)
	await[*wire.Welcome](c, f)
	s.hub.load([]telemetry.Update{single("p/a/m", 7, 1), single("p/a/m", 5, 1)})
	s.feed(single("p/a/m", 7, 1), single("p/a/m", 8, 2))
	s.hub.setReady()
	if sub := await[*wire.Subscribed](c, f); fmt.Sprint(len(sub.Rows), sub.Rows[0].Update.Version) != "1 8" {
		t.Errorf("subscribed = %+v", sub)
	}
}

func TestServerIsNotReadyFromTheMomentItIsToStop(t *testing.T) {
	s, err := build(Options{Config: DefaultConfig()})
	if err != nil {
		t.Fatal(err)
	}
	last := make(chan struct{})
	s.source = func(ctx context.Context) error {
		s.hub.setReady()
		<-ctx.Done()
		<-last // it reads what is left
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	eventually(t, "ready", s.Ready)
	stop()
	eventually(t, "not ready", func() bool { return !s.Ready() })
	mux := auth.NewRouter(s.gate, s.origin)
	s.Routes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/series", nil))
	if w.Code != http.StatusServiceUnavailable || errorCode(w.Body.Bytes()) != wire.CodeDraining {
		t.Errorf("series while draining: %d %s", w.Code, w.Body)
	}
	close(last)
	if err := <-ended; err != nil || s.Ready() {
		t.Errorf("Run: %v; ready %v", err, s.Ready())
	}
}
