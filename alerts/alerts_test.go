package alerts

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/auth"
	"weir/auth/authtest"
	"weir/telemetry"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 4

// gate knows askers by name: a role, and optionally the tenant after a slash.
type gate struct{ auth.Open }

func (gate) Request(r *http.Request) (*auth.Principal, error) {
	role, tenant, _ := strings.Cut(r.Header.Get("X-Who"), "/")
	if role == "" {
		return nil, auth.ErrNoCredentials
	}
	read := auth.Everything
	if tenant != "" {
		read, _ = telemetry.ParsePattern(tenant + "/#")
	}
	return &auth.Principal{Subject: role + "-" + tenant, Method: auth.MethodKey, Tenant: tenant, Roles: []string{role}, Read: []telemetry.Pattern{read}}, nil
}

type world struct {
	t      *testing.T
	stream *stream
	table  *authtest.Store
	api    *API
	routes *auth.Router
	now    time.Time
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, stream: newStream(), table: authtest.NewStore(), now: time.UnixMicro(1_760_000_000_000_000)}
	var err error
	w.api, err = New(Options{Source: w.stream, Producer: w.stream, Table: w.table, Partitions: partitions, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	w.routes = auth.NewRouter(gate{}, auth.OriginPolicy{})
	w.api.Routes(w.routes)
	for i, a := range []telemetry.Alert{
		{ID: "3-a", Series: "t1/d1/temperature", Rule: "deviation", Severity: telemetry.Warning, Phase: telemetry.Firing},
		{ID: "1-b", Series: "t2/d1/temperature", Rule: "high", Severity: telemetry.Critical, Phase: telemetry.Flapping},
		{ID: "0-c", Series: "t1/d2/pressure", Rule: "high", Severity: telemetry.Info, Phase: telemetry.Resolved},
	} {
		a.Version, a.Raised, a.Time = telemetry.VersionOf(10, 0), telemetry.VersionOf(10, 0), int64(i)
		w.stream.open[a.ID] = a
	}
	return w
}

func (w *world) ask(who, ask, body string, header ...string) (int, string) {
	w.t.Helper()
	method, path, _ := strings.Cut(ask, " ")
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("X-Who", who)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.routes.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// want asks, and checks the status and a part of the answer.
func (w *world) want(who, ask, body string, status int, part string, header ...string) string {
	w.t.Helper()
	got, text := w.ask(who, ask, body, header...)
	if got != status || !strings.Contains(text, part) {
		w.t.Errorf("%s asks %s %s: %d %s, want %d %s", who, ask, body, got, text, status, part)
	}
	return text
}

func TestAlertsAreListedByWhatIsAskedFor(t *testing.T) {
	w := open(t)
	for query, want := range map[string]string{
		"":                                  "1-b 3-a",
		"?phase=firing":                     "3-a",
		"?phase=firing&phase=flapping":      "1-b 3-a",
		"?phase=resolved":                   "0-c",
		"?severity=critical&severity=info":  "1-b",
		"?rule=high&phase=resolved":         "0-c",
		"?rule=high":                        "1-b",
		"?series=t1/%23":                    "3-a",
		"?series=%2B/d1/temperature":        "1-b 3-a",
		"?series=none/at/all":               "",
		"?limit=1":                          "1-b",
		"?series=t1/%23&access_token=x":     "3-a",
		"?phase=resolved&phase=firing":      "0-c 3-a",
		"?phase=acknowledged&severity=info": "",
	} {
		_, text := w.ask("viewer", "GET /v1/alerts"+query, "")
		var got struct {
			Alerts    []telemetry.Alert
			Truncated bool
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%s: %s, %v", query, text, err)
		}
		var ids []string
		for _, a := range got.Alerts {
			ids = append(ids, a.ID)
		}
		if strings.Join(ids, " ") != want || got.Truncated != (query == "?limit=1") {
			t.Errorf("%s: %v, truncated %v, want %s", query, ids, got.Truncated, want)
		}
	}
	for query, code := range map[string]string{
		"?phase=pending": wire.CodeFieldRange, "?severity=": wire.CodeFieldRange, "?limit=0": wire.CodeFieldRange, "?limit=x": wire.CodeFieldRange,
		"?series=a/%23/b": telemetry.CodePatternForm, "?nonsense=1": wire.CodeFieldUnknown,
	} {
		w.want("viewer", "GET /v1/alerts"+query, "", 400, code)
	}
	w.stream.notReady = true
	w.want("viewer", "GET /v1/alerts", "", 503, wire.CodeNotReady)
	w.want("viewer", "GET /v1/alerts/3-a", "", 503, wire.CodeNotReady)
	w.want("operator", "POST /v1/alerts/3-a/ack", "", 503, wire.CodeNotReady)
}

func TestAlertsOfOtherTenantsAreNotToldApartFromNone(t *testing.T) {
	w := open(t)
	w.want("viewer/t1", "GET /v1/alerts/3-a", "", 200, `"id":"3-a"`)
	w.want("viewer/t1", "GET /v1/alerts/0-c", "", 200, `"phase":"resolved"`)
	if _, text := w.ask("viewer/t1", "GET /v1/alerts?series=%23", ""); strings.Contains(text, "t2") || !strings.Contains(text, "3-a") {
		t.Errorf("t1 is told %s", text)
	}
	strange := w.want("viewer/t2", "GET /v1/alerts/3-a", "", 404, wire.CodeAlertUnknown)
	none := w.want("viewer/t2", "GET /v1/alerts/9-9", "", 404, wire.CodeAlertUnknown)
	if strange != none {
		t.Errorf("told apart: %s, %s", strange, none)
	}
	for _, action := range []string{"ack", "unack", "comment", "assign"} {
		body := map[string]string{"comment": `{"text":"x"}`, "assign": `{"to":"x"}`}[action]
		w.want("operator/t2", "POST /v1/alerts/3-a/"+action, body, 404, wire.CodeAlertUnknown)
		w.want("viewer/t1", "POST /v1/alerts/3-a/"+action, body, 403, wire.CodeForbidden)
		w.want("", "POST /v1/alerts/3-a/"+action, body, 401, wire.CodeUnauthenticated)
	}
	if given := w.stream.given(); len(given) != 0 {
		t.Errorf("commands were given: %+v", given)
	}
}

func TestActionsAreAnsweredWithTheTransitionTheyCause(t *testing.T) {
	w := open(t)
	w.want("operator/t1", "POST /v1/alerts/3-a/ack", `{"comment":"looking"}`, 200, `"phase":"acknowledged"`)
	w.want("operator/t1", "POST /v1/alerts/3-a/comment", `{"text":"the fan is off"}`, 200, `"text":"the fan is off"`)
	w.want("operator/t1", "POST /v1/alerts/3-a/assign", `{"to":"bob"}`, 200, `"assignee":"bob"`)
	w.want("operator/t1", "POST /v1/alerts/3-a/unack", "", 200, `"phase":"firing"`)
	var got []string
	for _, c := range w.stream.given() {
		if c.Device != "t1/d1" || c.By != "operator-t1" || c.Time != w.now.UnixMicro() || c.Alert.Series != "t1/d1/temperature" || c.Alert.Alert != "3-a" {
			t.Errorf("command %+v %+v", c, c.Alert)
		}
		got = append(got, string(c.Alert.Action)+":"+c.Alert.Text)
	}
	if want := "acknowledge:looking comment:the fan is off assign:bob unacknowledge:"; strings.Join(got, " ") != want || len(w.stream.records[3]) != 4 {
		t.Errorf("commands %v in partitions %v, want %s in the alert's", got, w.stream.records, want)
	}
}

func TestWhatIsSoAlreadyIsAnsweredWithoutACommand(t *testing.T) {
	w := open(t)
	w.want("operator", "POST /v1/alerts/3-a/unack", "", 200, `"phase":"firing"`)
	w.want("operator", "POST /v1/alerts/3-a/assign", `{"to":""}`, 200, `"id":"3-a"`)
	w.want("operator", "POST /v1/alerts/3-a/ack", `{"comment":"mine"}`, 200, `"phase":"acknowledged"`)
	for range 3 {
		w.want("operator", "POST /v1/alerts/3-a/ack", `{"comment":"mine"}`, 200, `"phase":"acknowledged"`)
		w.want("operator", "POST /v1/alerts/3-a/ack", "", 200, `"phase":"acknowledged"`)
	}
	if given := w.stream.given(); len(given) != 1 {
		t.Errorf("%d commands were given", len(given))
	}
	// What somebody says while acknowledging what is acknowledged is kept.
	w.want("operator/t1", "POST /v1/alerts/3-a/ack", `{"comment":"me too"}`, 200, `"text":"me too"`)
	if given := w.stream.given(); len(given) != 2 || given[1].Alert.Action != telemetry.ActionComment {
		t.Errorf("commands %+v", given)
	}
}

func TestACommandThatIsNotAppliedInTimeIsAcceptedAndFoundByItsKey(t *testing.T) {
	w := open(t)
	w.stream.silent = true
	key := []string{"Idempotency-Key", "k1"}
	w.want("operator", "POST /v1/alerts/3-a/comment?wait=0s", `{"text":"x"}`, 202, `{"id":"3-a","version":409600}`, key...)
	w.want("operator", "POST /v1/alerts/3-a/comment?wait=1ms", `{"text":"x"}`, 202, `"version":409600`, key...)
	w.stream.mu.Lock()
	c := w.stream.records[3][0]
	w.stream.applyLocked(&c, 100)
	w.stream.silent = false
	w.stream.mu.Unlock()
	w.want("operator", "POST /v1/alerts/3-a/comment", `{"text":"x"}`, 200, `"text":"x"`, key...)
	if n := len(w.stream.given()); n != 1 {
		t.Errorf("%d comments of one key", n)
	}
	w.want("operator", "POST /v1/alerts/3-a/comment", `{"text":"x"}`, 200, `"text":"x"`, "Idempotency-Key", "k2")
	w.want("operator", "POST /v1/alerts/3-a/comment", `{"text":"x"}`, 200, `"text":"x"`)
	w.want("operator/t1", "POST /v1/alerts/3-a/comment", `{"text":"x"}`, 200, `"text":"x"`, key...)
	if n := len(w.stream.given()); n != 4 {
		t.Errorf("%d comments of different keys and people", n)
	}
}

func TestACommandThatWasNotStoredMayBeRepeatedWithItsKey(t *testing.T) {
	w := open(t)
	w.stream.failing[3] = true
	w.want("operator", "POST /v1/alerts/3-a/comment", `{"text":"x"}`, 503, wire.CodeNotStored, "Idempotency-Key", "k")
	w.stream.failing[3] = false
	w.want("operator", "POST /v1/alerts/3-a/comment", `{"text":"x"}`, 200, `"text":"x"`, "Idempotency-Key", "k")
	w.stream.open["7-z"] = telemetry.Alert{ID: "7-z", Series: "a/b", Phase: telemetry.Firing}
	w.want("operator", "POST /v1/alerts/7-z/ack", "", 503, wire.CodeNotStored)
}

func TestRequestsOfOneKeyAtOnceGiveOneCommand(t *testing.T) {
	w := open(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			w.want("operator", "POST /v1/alerts/3-a/comment", `{"text":"x"}`, 200, `"text":"x"`, "Idempotency-Key", "k")
		})
	}
	all.Wait()
	if n := len(w.stream.given()); n != 1 {
		t.Errorf("%d comments", n)
	}
}

func TestAnAlertThatIsOverTakesNoCommand(t *testing.T) {
	w := open(t)
	w.want("operator", "POST /v1/alerts/0-c/ack", "", 409, wire.CodeAlertResolved)
	if n := len(w.stream.given()); n != 0 {
		t.Errorf("%d commands", n)
	}
	// It ends while the command is on its way.
	w.stream.instead = func(a *telemetry.Alert) {
		a.Phase, a.Reason, a.Version = telemetry.Resolved, telemetry.Cleared, telemetry.VersionOf(50, 3)
	}
	w.want("operator", "POST /v1/alerts/3-a/ack", "", 409, wire.CodeAlertResolved)
	if a, _ := w.stream.Alert("3-a"); a.Marked != nil {
		t.Errorf("acknowledged: %+v", a)
	}
}

func TestTransitionsOfOthersAreNotTakenForTheCommands(t *testing.T) {
	w := open(t)
	w.stream.instead = func(a *telemetry.Alert) { a.Reason, a.Version = telemetry.Commented, telemetry.VersionOf(99, 4095) }
	w.want("operator", "POST /v1/alerts/3-a/ack?wait=1ms", "", 202, `"id":"3-a"`)
	w.stream.unsure = true // then the reason tells
	w.want("operator", "POST /v1/alerts/3-a/ack?wait=1ms", "", 202, "{\"id\":\"3-a\"}\n")
	w.stream.instead = nil
	w.want("operator", "POST /v1/alerts/3-a/ack", "", 200, `"phase":"acknowledged"`)
}

func TestBadCommandsAreRefusedWithTheirField(t *testing.T) {
	w := open(t)
	long := strings.Repeat("x", maxText+1)
	for _, tc := range []struct{ ask, body, code string }{
		{"ack?wait=1h", "", wire.CodeFieldRange}, {"ack", `{"comment":5}`, wire.CodeFieldType}, {"ack", `{"x":5}`, wire.CodeFieldUnknown},
		{"ack", `{`, wire.CodeJSONSyntax}, {"ack", `{} {}`, wire.CodeJSONSyntax}, {"ack", `{"comment":"` + long + `"}`, wire.CodeFieldRange},
		{"comment", "", wire.CodeFieldMissing}, {"comment", `{"text":" "}`, wire.CodeFieldMissing}, {"comment", `{"text":"a\u0000"}`, wire.CodeFieldRange},
		{"assign", "{}", wire.CodeFieldMissing}, {"assign", `{"to":"` + long + `"}`, wire.CodeFieldRange}, {"unack", `{"comment":"x"}`, wire.CodeFieldUnknown},
	} {
		w.want("operator", "POST /v1/alerts/3-a/"+tc.ask, tc.body, 400, tc.code)
	}
	w.want("operator", "POST /v1/alerts/3-a/ack", `{"comment":"`+strings.Repeat("x", maxBodyBytes)+`"}`, 413, wire.CodeFrameTooLarge)
	w.want("operator", "POST /v1/alerts/3-a/ack", "", 400, wire.CodeFieldRange, "Idempotency-Key", long)
}
