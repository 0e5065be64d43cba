package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/wire"
)

// secured is a server that asks for credentials, with those of everybody who may ask.
type secured struct {
	*running
	dir    string
	tokens map[string]string
}

// askers are the columns of the matrix: who asks. All but the last are of a tenant, or nobody.
var askers = []string{
	"none", "garbage", "expired", "revoked",
	"device1", "viewer1", "operator1", "admin1",
	"device2", "viewer2", "operator2", "admin2",
	"service1", "guest1", // of t1, without a role: one may publish, the other has grants in rooms
	"admin",
}

func startSecured(t testing.TB) *secured {
	t.Helper()
	c := onDisk(t)
	c.InsecureOpen = false
	c.Auth.FailedAttempts = 100_000
	s := &secured{dir: c.Data, tokens: map[string]string{"none": "", "garbage": "weir_abcdefgh_nonsense"}}
	s.running = start(t, c)
	local, err := os.ReadFile(auth.LocalKeyFile(c.Data))
	must(t, err)
	s.tokens["admin"] = strings.TrimSpace(string(local))
	for i, tenant := range []string{"t1", "t2"} {
		n := fmt.Sprint(i + 1)
		all := []string{tenant + "/#"}
		s.mint("device"+n, tenant, auth.RoleDevice, []string{tenant + "/d1/#"}, []string{tenant + "/d1"})
		s.mint("viewer"+n, tenant, auth.RoleViewer, all, nil)
		s.mint("operator"+n, tenant, auth.RoleOperator, all, all)
		s.mint("admin"+n, tenant, auth.RoleAdmin, all, all)
	}
	id := s.mint("revoked", "t1", auth.RoleAdmin, []string{"t1/#"}, []string{"t1/#"})
	if status, body := s.ask("admin", "POST", "/v1/revocations", fmt.Sprintf(`{"token":%q}`, id)); status != http.StatusOK {
		t.Fatalf("revoke: %d %s", status, body)
	}
	signer, err := auth.ReadSigner(filepath.Join(c.Data, "credentials", "signing.key"))
	must(t, err)
	past := time.Now().Add(-time.Hour)
	s.tokens["expired"], _, err = signer.Mint(auth.Token{
		Subject: "expired", Roles: []string{auth.RoleAdmin}, Read: []string{"#"}, Write: []string{"#"}, Expires: past.Add(time.Minute)}, past)
	must(t, err)
	s.grant("service1", "t1", `"publish":true`)
	s.grant("guest1", "t1", `"rooms":[{"rooms":["t1/#"],"may":["join"]},{"rooms":["t1/ops"],"may":["send"],"types":["chat"]}]`)
	return s
}

// grant makes a token without a role: what it may, it may by more.
func (s *secured) grant(who, tenant, more string) {
	s.t.Helper()
	status, text := s.ask("admin", "POST", "/v1/tokens", fmt.Sprintf(`{"sub":%q,"tenant":%q,"ttl":"1h",%s}`, who, tenant, more))
	var answer struct{ Token string }
	if err := json.Unmarshal(text, &answer); status != http.StatusCreated || err != nil {
		s.t.Fatalf("token of %s: %d %s", who, status, text)
	}
	s.tokens[who] = answer.Token
}

func (s *secured) mint(who, tenant, role string, read, write []string) (id string) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"sub": who, "tenant": tenant, "roles": []string{role}, "read": read, "write": write, "ttl": "1h"})
	must(s.t, err)
	status, text := s.ask("admin", "POST", "/v1/tokens", string(body))
	if status != http.StatusCreated {
		s.t.Fatalf("token of %s: %d %s", who, status, text)
	}
	var answer struct{ Token, JTI string }
	must(s.t, json.Unmarshal(text, &answer))
	s.tokens[who] = answer.Token
	return answer.JTI
}

func (s *secured) ask(who, method, path, body string) (int, []byte) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(s.URL(), "/")+path, strings.NewReader(body))
	must(s.t, err)
	if token := s.tokens[who]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := asking(s.t).Do(req)
	must(s.t, err)
	defer res.Body.Close()
	if res.Header.Get("Content-Type") == eventStream { // it does not end
		return res.StatusCode, nil
	}
	text, err := io.ReadAll(res.Body)
	must(s.t, err)
	return res.StatusCode, text
}

// letter writes a dead letter of a device of t1 and returns its id.
func (s *secured) letter() string {
	s.t.Helper()
	client, err := kafka.New(s.kafkaOptions())
	must(s.t, err)
	defer client.Close()
	count := func() (ends []kafka.OffsetRange) {
		ends, err := client.Offsets(s.t.Context(), wire.TopicDeadLetters)
		must(s.t, err)
		return ends
	}
	before := count()
	s.ask("device1", "POST", "/v1/readings", `{"device":"t1/d1","metric":"m","value":"x"}`)
	for p, r := range count() {
		if r.End > before[p].End {
			return fmt.Sprintf("%d-%d", p, r.End-1)
		}
	}
	s.t.Fatal("no dead letter")
	return ""
}

// entry is a row of the matrix: what each of askers is answered.
type entry struct {
	// route is as Router.Routes has it; ask is the request's method and path, about t1 where a path names a tenant.
	route, ask, body string
	// want are statuses in the order of askers.
	want string
	// before prepares the path: %s in ask becomes what it returns.
	before func(*secured) string
	// names says that the answer may hold names of t1, so that t2's must not.
	names bool
}

const (
	everybody = "200 200 200 200 | 200 200 200 200 | 200 200 200 200 | 200 200 | 200"
	signedIn  = "401 401 401 401 | 200 200 200 200 | 200 200 200 200 | 200 200 | 200"
	operators = "401 401 401 401 | 403 403 200 200 | 403 403 200 200 | 403 403 | 200"
	admins    = "401 401 401 401 | 403 403 403 200 | 403 403 403 200 | 403 403 | 200"
)

// ofT1 are rows about a thing of t1: only those of t1 of some rank, and whoever is of no tenant, may.
func only(status int, who ...string) string {
	var out []string
	for i, a := range askers {
		want := http.StatusForbidden
		switch {
		case i < 4:
			want = http.StatusUnauthorized
		case slices.Contains(who, a):
			want = status
		}
		out = append(out, fmt.Sprint(want))
	}
	return strings.Join(out, " ")
}

// unknown has admin2, and others named, be told that there is no such thing: ids are not to be told apart by strangers.
func unknown(want string, others ...string) string {
	out := strings.Fields(want)
	for i, who := range askers {
		if who == "admin2" || slices.Contains(others, who) {
			out[i] = fmt.Sprint(http.StatusNotFound)
		}
	}
	return strings.Join(out, " ")
}

var matrix = []entry{
	{route: "GET /healthz", ask: "GET /healthz", want: everybody},
	{route: "GET /readyz", ask: "GET /readyz", want: everybody},
	{route: "GET /version", ask: "GET /version", want: everybody},
	{route: "GET /v1/openapi.json", ask: "GET /v1/openapi.json", want: everybody},
	{route: "GET /v1/openapi.yaml", ask: "GET /v1/openapi.yaml", want: everybody},
	{route: "GET /v1/asyncapi.json", ask: "GET /v1/asyncapi.json", want: everybody},
	{route: "GET /v1/asyncapi.yaml", ask: "GET /v1/asyncapi.yaml", want: everybody},
	{route: "GET /metrics", ask: "GET /metrics", want: only(200, "admin")},
	{route: "/v1/", ask: "GET /v1/nothing", want: strings.ReplaceAll(everybody, "200", "404")},
	{route: "/", ask: "GET /", want: everybody},

	// Devices. What a reading's device is not permitted is a refused reading. Only who has the role of a device sends any; the
	// key of the machine has all.
	{route: "POST /v1/readings", ask: "POST /v1/readings?dry_run=true", body: `{"device":"t1/d1","metric":"m","value":1}`,
		want: only(200, "device1", "admin")},
	{route: "POST /v1/readings", ask: "POST /v1/readings?device=t1/d1&dry_run=true", body: `{"metric":"m","value":1}`,
		want: only(200, "device1", "admin")},
	{route: "GET /v1/ingest", ask: "GET /v1/ingest", want: strings.ReplaceAll(everybody, "200", "426")},
	{route: "GET /mqtt", ask: "GET /mqtt", want: strings.ReplaceAll(everybody, "200", "426")},

	{route: "GET /v1/devices", ask: "GET /v1/devices", want: signedIn, names: true},
	{route: "GET /v1/devices/{device...}", ask: "GET /v1/devices/t1/%s", want: only(200, "device1", "viewer1", "operator1", "admin1", "admin"), before: (*secured).described},
	{route: "GET /v1/devices/{device...}", ask: "GET /v1/devices/t1/%s/health", want: only(200, "device1", "viewer1", "operator1", "admin1", "admin"), before: (*secured).described},
	{route: "GET /v1/health/{device...}", ask: "GET /v1/health/t1/%s", want: only(200, "device1", "viewer1", "operator1", "admin1", "admin"), before: (*secured).described},
	{route: "PUT /v1/devices/{device...}", ask: "PUT /v1/devices/t1/%s", body: `{}`, want: only(200, "device1", "operator1", "admin1", "admin"), before: (*secured).described},
	{route: "DELETE /v1/devices/{device...}", ask: "DELETE /v1/devices/t1/gone", want: only(202, "operator1", "admin1", "admin")},

	// Dashboards.
	{route: "GET /v1/live", ask: "GET /v1/live", want: strings.ReplaceAll(everybody, "200", "426")},
	{route: "GET /v1/events", ask: "GET /v1/events?subscribe=t1/d2/%23", want: only(200, "viewer1", "operator1", "admin1", "admin")},
	{route: "GET /v1/events", ask: "GET /v1/events?join=t1/ops", want: only(200, "viewer1", "operator1", "admin1", "guest1", "admin")},
	{route: "GET /v1/rooms", ask: "GET /v1/rooms", want: signedIn, names: true},
	{route: "GET /v1/rooms/{room...}", ask: "GET /v1/rooms/t1/ops", want: only(200, "viewer1", "operator1", "admin1", "guest1", "admin")},
	{route: "GET /v1/connections", ask: "GET /v1/connections", want: only(200, "operator1", "admin1", "operator2", "admin2", "admin")},
	{route: "GET /v1/snapshot", ask: "GET /v1/snapshot?series=t1/d2/%23", want: only(200, "viewer1", "operator1", "admin1", "admin")},
	{route: "GET /v1/series", ask: "GET /v1/series", want: signedIn, names: true},
	{route: "GET /v1/series/{series...}", ask: "GET /v1/series/t1/d2/m", want: only(200, "viewer1", "operator1", "admin1", "admin")},
	{route: "GET /v1/series/{series...}", ask: "GET /v1/series/t1/d2/none", want: only(404, "viewer1", "operator1", "admin1", "admin")},
	{route: "GET /v1/alerts", ask: "GET /v1/alerts", want: signedIn, names: true},
	{route: "GET /v1/alerts/{id}", ask: "GET /v1/alerts/0-00", want: strings.ReplaceAll(signedIn, "200", "404")},
	{route: "POST /v1/alerts/{id}/ack", ask: "POST /v1/alerts/0-00/ack", want: strings.ReplaceAll(operators, "200", "404")},
	{route: "POST /v1/alerts/{id}/unack", ask: "POST /v1/alerts/0-00/unack", want: strings.ReplaceAll(operators, "200", "404")},
	{route: "POST /v1/alerts/{id}/comment", ask: "POST /v1/alerts/0-00/comment", body: `{"text":"x"}`, want: strings.ReplaceAll(operators, "200", "404")},
	{route: "POST /v1/alerts/{id}/assign", ask: "POST /v1/alerts/0-00/assign", body: `{"to":"x"}`, want: strings.ReplaceAll(operators, "200", "404")},
	{route: "POST /v1/silences", ask: "POST /v1/silences", body: `{"id":"s1","series":"t1/#","duration":"1h"}`, want: strings.Replace(only(200, "operator1", "admin1", "admin"), "200", "201", 1)},
	{route: "GET /v1/silences", ask: "GET /v1/silences", want: signedIn, names: true},
	{route: "DELETE /v1/silences/{id}", ask: "DELETE /v1/silences/s1", want: unknown(only(200, "operator1", "admin1", "admin"), "operator2")},

	// Sessions and credentials.
	{route: "POST /v1/session", ask: "POST /v1/session", body: `{"token":"weir_abcdefgh_nonsense"}`, want: strings.ReplaceAll(everybody, "200", "401")},
	{route: "GET /v1/session", ask: "GET /v1/session", want: signedIn},
	{route: "POST /v1/session/refresh", ask: "POST /v1/session/refresh", body: `{"refresh_token":"nonsense"}`, want: strings.ReplaceAll(everybody, "200", "401")},
	{route: "GET /v1/session/oidc", ask: "GET /v1/session/oidc", want: strings.ReplaceAll(everybody, "200", "404")},
	{route: "GET /v1/session/oidc/callback", ask: "GET /v1/session/oidc/callback", want: strings.ReplaceAll(everybody, "200", "404")},
	{route: "GET /v1/keys", ask: "GET /v1/keys", want: admins, names: true},
	{route: "POST /v1/keys", ask: "POST /v1/keys", body: `{"name":"k","tenant":"t1","roles":["viewer"],"read":["t1/#"]}`, want: only(201, "admin1", "admin")},
	{route: "POST /v1/keys/{id}/rotate", ask: "POST /v1/keys/%s/rotate", want: unknown(only(200, "admin1", "admin")), before: (*secured).key},
	{route: "DELETE /v1/keys/{id}", ask: "DELETE /v1/keys/%s", want: unknown(only(204, "admin1", "admin")), before: (*secured).key},
	{route: "POST /v1/tokens", ask: "POST /v1/tokens", body: `{"sub":"s","tenant":"t1","roles":["viewer"],"read":["t1/#"]}`, want: only(201, "admin1", "admin")},
	{route: "POST /v1/revocations", ask: "POST /v1/revocations", body: `{"subject":"nobody","tenant":"t1"}`, want: only(200, "admin1", "admin")},

	// Operators.
	{route: "GET /v1/bridges", ask: "GET /v1/bridges", want: only(200, "admin")},
	{route: "GET /v1/pipelines", ask: "GET /v1/pipelines", want: only(200, "admin")},
	{route: "POST /v1/backtest", ask: "POST /v1/backtest", body: `pipelines: []`, want: operators, names: true},
	{route: "POST /v1/backtest", ask: "POST /v1/backtest?series=t1/%23", body: `pipelines: []`, want: only(200, "operator1", "admin1", "admin")},
	{route: "GET /v1/nodes", ask: "GET /v1/nodes", want: only(200, "admin")},
	{route: "GET /v1/dead-letters", ask: "GET /v1/dead-letters", want: operators, names: true},
	{route: "GET /v1/dead-letters/{id}", ask: "GET /v1/dead-letters/%s", want: unknown(only(200, "operator1", "admin1", "admin"), "operator2"), before: (*secured).letter},
	{route: "POST /v1/dead-letters/{id}/replay", ask: "POST /v1/dead-letters/%s/replay", want: unknown(only(422, "operator1", "admin1", "admin"), "operator2"), before: (*secured).letter},
	{route: "DELETE /v1/dead-letters/{id}", ask: "DELETE /v1/dead-letters/%s", want: unknown(only(204, "operator1", "admin1", "admin"), "operator2"), before: (*secured).letter},
	{route: "POST /v1/commands/{device...}", ask: "POST /v1/commands/t1/d1", body: `{"name":"reboot"}`, want: only(202, "operator1", "admin1", "admin")},
	{route: "GET /v1/commands/{device...}", ask: "GET /v1/commands/t1/d1", want: only(200, "operator1", "admin1", "admin")},
	{route: "POST /v1/publish", ask: "POST /v1/publish", body: `{"target":{"room":"t1/ops"},"type":"chat"}`, want: only(200, "operator1", "admin1", "service1", "admin")},

	// Last, as it ends the tokens it is asked with.
	{route: "DELETE /v1/session", ask: "DELETE /v1/session", want: strings.ReplaceAll(signedIn, "200", "204")},
}

// described gives a device of t1 metadata and returns its name within t1.
func (s *secured) described() string {
	s.t.Helper()
	if status, body := s.ask("operator1", "PUT", "/v1/devices/t1/d1", `{}`); status != http.StatusOK && status != http.StatusCreated {
		s.t.Fatalf("metadata: %d %s", status, body)
	}
	return "d1"
}

func (s *secured) key() string {
	s.t.Helper()
	status, body := s.ask("admin1", "POST", "/v1/keys", `{"name":"k","tenant":"t1","roles":["viewer"],"read":["t1/#"]}`)
	var answer struct{ ID string }
	if err := json.Unmarshal(body, &answer); status != http.StatusCreated || err != nil {
		s.t.Fatalf("key: %d %s", status, body)
	}
	return answer.ID
}

func TestEveryRouteAnswersEachAskerAsTheMatrixSays(t *testing.T) {
	s := startSecured(t)
	for range 3 { // so that there are names of t1
		s.ask("admin", "POST", "/v1/readings", `[{"device":"t1/d1","metric":"m","value":1},{"device":"t1/d2","metric":"m","value":1}]`)
	}
	s.eventually("a series", func() bool {
		_, body := s.ask("viewer1", "GET", "/v1/series", "")
		return bytes.Contains(body, []byte("t1/d2/m"))
	})
	covered := make(map[string]bool)
	for _, e := range matrix {
		covered[e.route] = true
		t.Run(e.ask, func(t *testing.T) { s.check(t, &e) })
	}
	for _, r := range s.routes.Load().Routes() {
		if !covered[r.Pattern] {
			t.Errorf("%q (access %d) has no entry in the matrix", r.Pattern, r.Access)
		}
		delete(covered, r.Pattern)
	}
	for route := range covered {
		if !slices.ContainsFunc(s.routes.Load().Routes(), func(r auth.Route) bool { return r.Pattern == route }) {
			t.Errorf("the matrix has an entry for %q, which is no route", route)
		}
	}
}

func (s *secured) check(t *testing.T, e *entry) {
	want := strings.Fields(strings.ReplaceAll(e.want, "|", " "))
	if len(want) != len(askers) {
		t.Fatalf("%d answers for %d askers", len(want), len(askers))
	}
	method, path, _ := strings.Cut(e.ask, " ")
	for i, who := range askers {
		path := path
		if e.before != nil {
			path = fmt.Sprintf(path, e.before(s))
		}
		status, body := s.ask(who, method, path, e.body)
		if fmt.Sprint(status) != want[i] {
			t.Errorf("%s: %d, want %s: %.200s", who, status, want[i], body)
		}
		if e.names && strings.HasSuffix(who, "2") && bytes.Contains(body, []byte("t1")) {
			t.Errorf("%s is told of t1: %.200s", who, body)
		}
	}
}
