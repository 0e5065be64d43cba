package devices

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// fixed is a gate that knows principals by name.
type fixed struct {
	auth.Open
	known map[string]*auth.Principal
}

func (g fixed) Request(r *http.Request) (*auth.Principal, error) {
	if p := g.known[r.Header.Get("X-API-Key")]; p != nil {
		return p, nil
	}
	return nil, auth.ErrNoCredentials
}

func patterns(texts ...string) (out []telemetry.Pattern) {
	for _, text := range texts {
		p, err := telemetry.ParsePattern(text)
		if err != nil {
			panic(err)
		}
		out = append(out, p)
	}
	return out
}

func serve(t *testing.T, r *Registry) *httptest.Server {
	t.Helper()
	all := patterns("#")
	g := fixed{known: map[string]*auth.Principal{
		"d":        {Subject: "d", Method: auth.MethodKey, Roles: []string{auth.RoleDevice}, Write: patterns("p/d")},
		"viewer":   {Subject: "viewer", Method: auth.MethodKey, Roles: []string{auth.RoleViewer}, Read: all},
		"operator": {Subject: "operator", Method: auth.MethodKey, Roles: []string{auth.RoleOperator}, Read: all, Write: all},
		"reader":   {Subject: "reader", Method: auth.MethodKey, Roles: []string{auth.RoleDevice}, Read: all},
		"writer":   {Subject: "writer", Method: auth.MethodKey, Roles: []string{auth.RoleViewer}, Write: all},
		"blind":    {Subject: "blind", Method: auth.MethodKey, Roles: []string{auth.RoleOperator}, Write: all},
		"watcher":  {Subject: "watcher", Method: auth.MethodKey, Roles: []string{auth.RoleOperator}, Read: all},
		"tenant":   {Subject: "tenant", Method: auth.MethodKey, Tenant: "q", Roles: []string{auth.RoleAdmin}, Read: all, Write: all},
	}}
	m := auth.NewRouter(g, auth.OriginPolicy{})
	r.Routes(m)
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	return s
}

type reply struct {
	status int
	body   string
	header http.Header
}

func ask(t *testing.T, s *httptest.Server, who, method, path, body string, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", who)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, string(text), resp.Header}
}

func TestWhoMayDoWhatWithADevice(t *testing.T) {
	r := open(t, options(newMemory(), "a"))
	describe(t, r, "p/d", fullMeta)
	describe(t, r, "q/e", `{}`)
	s := serve(t, r)
	for _, c := range []struct {
		who, method, path string
		status            int
	}{
		{"nobody", "GET", "/v1/devices", 401},
		{"nobody", "GET", "/v1/devices/p/d", 401},
		{"nobody", "DELETE", "/v1/devices/p/d", 401},
		{"d", "GET", "/v1/devices/p/d", 200},
		{"d", "GET", "/v1/devices/p/d/health", 200},
		{"d", "GET", "/v1/health/p/d", 200},
		{"d", "PUT", "/v1/devices/p/d", 200},
		{"d", "PUT", "/v1/devices/p/other", 403},
		{"d", "GET", "/v1/devices/q/e", 403},
		{"d", "GET", "/v1/health/q/e", 403},
		{"d", "DELETE", "/v1/devices/p/d", 403},
		{"viewer", "GET", "/v1/devices/p/d", 200},
		{"viewer", "GET", "/v1/devices/p/unknown", 404},
		{"viewer", "GET", "/v1/health/p/unknown", 404},
		{"viewer", "PUT", "/v1/devices/p/d", 403},
		{"viewer", "DELETE", "/v1/devices/p/d", 403},
		{"tenant", "GET", "/v1/devices/p/d", 403},
		{"tenant", "GET", "/v1/devices/p/unknown", 403},
		{"tenant", "PUT", "/v1/devices/p/d", 403},
		{"tenant", "DELETE", "/v1/devices/p/d", 403},
		{"tenant", "GET", "/v1/devices/q/e", 200},
		{"reader", "GET", "/v1/devices/p/d", 403},
		{"reader", "GET", "/v1/health/p/d", 403},
		{"writer", "GET", "/v1/devices/p/d", 403},
		{"writer", "PUT", "/v1/devices/p/d", 403},
		{"blind", "GET", "/v1/devices/p/d", 403},
		{"blind", "GET", "/v1/devices/p/d/health", 403},
		{"blind", "PUT", "/v1/devices/p/d", 200},
		{"watcher", "GET", "/v1/devices/p/d", 200},
		{"watcher", "PUT", "/v1/devices/p/d", 403},
		{"watcher", "DELETE", "/v1/devices/p/d", 403},
		{"operator", "PUT", "/v1/devices/p/new", 201},
		{"operator", "POST", "/v1/devices/p/d", 405},
		{"operator", "DELETE", "/v1/devices/_weir/x", 400},
		{"operator", "GET", "/v1/devices/p/+", 400},
		{"operator", "DELETE", "/v1/devices/p/d", 202},
		{"operator", "GET", "/v1/devices/p/d", 404},
	} {
		body := ""
		if c.method == "PUT" {
			body = fullMeta
		}
		if got := ask(t, s, c.who, c.method, c.path, body); got.status != c.status {
			t.Errorf("%s %s %s: %d %s, want %d", c.who, c.method, c.path, got.status, got.body, c.status)
		}
	}
}

func TestTheListIsPagedAndShowsOnlyWhatOneMayKnow(t *testing.T) {
	r := open(t, options(newMemory(), "a"))
	for i := range 25 {
		describe(t, r, fmt.Sprintf("%s/%02d", []string{"p", "q"}[i%2], i), `{}`)
	}
	s := serve(t, r)
	var names []string
	cursor, pages := "", 0
	for {
		got := ask(t, s, "tenant", "GET", "/v1/devices?limit=5&cursor="+cursor, "")
		var p page
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != 200 {
			t.Fatal(got)
		}
		pages++
		for _, d := range p.Devices {
			names = append(names, d.Device)
		}
		if cursor = p.Cursor; cursor == "" {
			break
		}
	}
	if want := "[q/01 q/03 q/05 q/07 q/09 q/11 q/13 q/15 q/17 q/19 q/21 q/23]"; fmt.Sprint(names) != want || pages != 3 {
		t.Errorf("%v in %d pages, want %s", names, pages, want)
	}
	for path, status := range map[string]int{
		"?pattern=p/%2B&state=unknown": 200, "?state=gone": 400, "?limit=0": 400, "?limit=5000": 400, "?pattern=a%23": 400, "?page=2": 400,
	} {
		if got := ask(t, s, "operator", "GET", "/v1/devices"+path, ""); got.status != status {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestRolesCountForWhatIsListedAndTold(t *testing.T) {
	r := open(t, options(newMemory(), "a"))
	describe(t, r, "p/d", `{}`)
	describe(t, r, "p/e", `{}`)
	c := r.Connect(socket)
	defer c.Close(true)
	run(t, r)
	c.Attach("p/d")
	for r.state("p/d") != "online" {
		time.Sleep(time.Millisecond)
	}
	s := serve(t, r)
	for who, want := range map[string][2]int{
		"reader": {0, 0}, "writer": {0, 0}, "blind": {0, 0}, "d": {1, 1}, "viewer": {2, 0}, "watcher": {2, 1}, "operator": {2, 1},
	} {
		var p page
		if err := json.Unmarshal([]byte(ask(t, s, who, "GET", "/v1/devices", "").body), &p); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for _, d := range p.Devices {
			if d.Presence != nil && d.Presence.Remote != "" {
				whole++
			}
		}
		if len(p.Devices) != want[0] || whole != want[1] {
			t.Errorf("%s is told of %d devices, and from where %d are connected, want %v", who, len(p.Devices), whole, want)
		}
	}
	for who, told := range map[string]bool{"blind": false, "operator": true} {
		if got := ask(t, s, who, "PUT", "/v1/devices/p/d", `{}`); strings.Contains(got.body, socket.Remote) != told {
			t.Errorf("%s is answered %s", who, got.body)
		}
	}
}

func TestAWriterMayInsistOnTheVersionItHasSeen(t *testing.T) {
	r := open(t, options(newMemory(), "a"))
	s := serve(t, r)
	put := func(body string, headers ...string) reply {
		return ask(t, s, "operator", "PUT", "/v1/devices/p/d", body, headers...)
	}
	first := put(`{}`, "If-None-Match", "*")
	if first.status != 201 || first.header.Get("ETag") != `"1"` {
		t.Fatal(first)
	}
	if got := put(`{"display_name":"x"}`, "If-Match", `"1"`); got.status != 200 || got.header.Get("ETag") != `"2"` {
		t.Error(got)
	}
	if got := put(`{"display_name":"y"}`, "If-Match", `"1"`); got.status != 412 || !strings.Contains(got.body, wire.CodeVersionConflict) {
		t.Error(got)
	}
	if got := put(`{}`, "If-None-Match", "*"); got.status != 412 {
		t.Error(got)
	}
	if got := put(`{}`, "If-Match", "x"); got.status != 400 {
		t.Error(got)
	}
	if got := put(`{"display_name":"` + strings.Repeat("x", 70_000) + `"}`); got.status != 413 {
		t.Error(got)
	}
}

func TestHealthTellsOperatorsWhoIsConnected(t *testing.T) {
	o := options(newMemory(), "a")
	o.Quota = func(string) (float64, int) { return 100, 500 }
	r := open(t, o)
	c := r.Connect(socket)
	defer c.Close(true)
	c.Attach("p/d")
	r.Frame("p/d", &FrameInfo{Late: 1, Backlog: 1, Now: r.micros(), Newest: 1})
	r.Frame("p/d", &FrameInfo{Accepted: 3, Session: "s", Seq: 4, HasSeq: true, Now: r.micros(), Newest: r.micros() - 1000})
	s := serve(t, r)
	for who, sees := range map[string]bool{"operator": true, "d": true, "viewer": false} {
		got := ask(t, s, who, "GET", "/v1/devices/p/d/health", "")
		var h Health
		if err := json.Unmarshal([]byte(got.body), &h); err != nil {
			t.Fatal(err, got)
		}
		if (h.Presence.Remote == "192.0.2.7") != sees || h.Presence.State != "online" {
			t.Errorf("%s: %+v", who, h.Presence)
		}
		if h.Readings != (counts{Accepted: 3, Late: 1, Backlog: 1}) || *h.Sequence.LastSeq != 4 || *h.Rate.Quota != 100 || h.ClockSkew == nil || h.ClockSkew.Milliseconds < -1000 || h.Node != "a" {
			t.Errorf("%s", got.body)
		}
	}
}

func TestDeletionForgetsAndLeavesACommand(t *testing.T) {
	table := newMemory()
	o := options(table, "a")
	produced := &log{}
	o.Producer = produced
	r := open(t, o)
	c := r.Connect(socket)
	c.Attach("p/d")
	r.Frame("p/d", &FrameInfo{Accepted: 3, Now: 5})
	describe(t, r, "p/d", fullMeta)
	if err := r.Delete(t.Context(), "p/d", "operator"); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Meta("p/d"); ok {
		t.Error("metadata is still there")
	}
	if _, ok := r.Health("p/d", true); ok {
		t.Error("health is still there")
	}
	if len(produced.records) != 1 || !wire.IsControl(produced.records[0].Value) || string(produced.records[0].Key) != "p/d" {
		t.Fatalf("%+v", produced.records)
	}
	command, err := wire.DecodeControl(produced.records[0].Value)
	if err != nil || command.Kind != wire.ControlDeleteDevice || command.Device != "p/d" || command.By != "operator" {
		t.Errorf("%+v, %v", command, err)
	}
	var old wire.ReadingColumns
	if old.Unmarshal(produced.records[0].Value) == nil {
		t.Error("who knows readings only takes the command for readings")
	}
	r.Frame("p/d", &FrameInfo{Accepted: 1, Now: 6})
	if h, ok := r.Health("p/d", true); !ok || h.Readings.Accepted != 1 || h.Presence.State != "online" {
		t.Errorf("the device, still connected, begins anew: %+v", h)
	}
	c.Close(true)
}
