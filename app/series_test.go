package app

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"weir/auth"
	"weir/config"
	"weir/kafka"
	"weir/nodes"
	"weir/pipeline"
	"weir/wire"
)

func TestASeriesIsLookedInto(t *testing.T) {
	r := start(t, memory())
	dev := r.dial("v1/ingest")
	dev.deliver(t, envelope{Device: "plant1/press7", Session: "boot", Seq: 1, Readings: wave("temperature", 100)})
	var x pipeline.Inspection
	r.eventually("all readings are in", func() bool {
		status, body := r.get("/v1/series/plant1/press7/temperature", "")
		if status == http.StatusOK {
			must(t, json.Unmarshal(body, &x))
		}
		return status == http.StatusOK && x.Detector.Learned != nil && x.Detector.Learned.Readings == 100
	})
	if x.Series != "plant1/press7/temperature" || x.Average.Value == nil || x.Detector.Lo == nil || len(x.Rules) != 1 || len(x.Treatment.Settings) == 0 {
		t.Errorf("%+v", x)
	}
	for path, want := range map[string]int{"/v1/series/plant1/press7/other": http.StatusNotFound, "/v1/series/x": http.StatusNotFound} {
		if status, body := r.get(path, ""); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// asker is a process without a pipeline, and another one that answers.
func asker(t *testing.T, answer http.HandlerFunc, partitions ...int) http.Handler {
	t.Helper()
	other := httptest.NewServer(answer)
	t.Cleanup(other.Close)
	owner := &nodes.Node{ID: "b", Address: other.URL + "/", Time: time.Now().UnixMicro()}
	for _, p := range partitions {
		owner.Partitions = append(owner.Partitions, nodes.PartitionLag{Partition: p})
	}
	routes := auth.NewRouter(auth.Open{}, auth.OriginPolicy{})
	a := &App{log: slog.New(slog.DiscardHandler), steps: &stack{log: slog.New(slog.DiscardHandler), timeout: time.Second}}
	v := a.newSeriesView(4, nil, func() []*nodes.Node { return []*nodes.Node{{ID: "a"}, owner} }, "a")
	routes.HandleFunc("GET /v1/series/{series...}", auth.SignedIn, v.handle)
	t.Cleanup(func() { _ = a.steps.unwind() })
	return routes
}

func lookAt(h http.Handler, change func(*http.Request)) (int, string) {
	r := httptest.NewRequest(http.MethodGet, "/v1/series/plant1/press%207/temperature", nil)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var body wire.ErrorBody
	_ = json.Unmarshal(w.Body.Bytes(), &body)
	if body.Error != nil {
		return w.Code, body.Error.Code
	}
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestTheOwnerIsAskedWithTheCredentialsOfWhoeverAsks(t *testing.T) {
	var got *http.Request
	h := asker(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		wire.WriteJSON(w, http.StatusOK, map[string]string{"from": "b"})
	}, kafka.PartitionFor("plant1/press 7", 4))
	status, body := lookAt(h, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Cookie", "weir_session=y")
		r.Header.Set("X-Other", "z")
	})
	if status != http.StatusOK || body != `{"from":"b"}` {
		t.Errorf("%d %s", status, body)
	}
	if got.URL.EscapedPath() != "/v1/series/plant1/press%207/temperature" || got.Header.Get("Authorization") != "Bearer x" ||
		got.Header.Get("Cookie") != "weir_session=y" || got.Header.Get("X-Other") != "" || got.Header.Get(hopHeader) != "a" {
		t.Errorf("asked %s with %v", got.URL, got.Header)
	}
	lookAt(h, func(r *http.Request) { r.URL.RawQuery = "access_token=q" })
	if got.URL.RawQuery != "" || got.Header.Get("Authorization") != "Bearer q" {
		t.Errorf("asked %s with %v", got.URL, got.Header)
	}
}

func TestAQuestionIsPassedOnOnce(t *testing.T) {
	asked := 0
	h := asker(t, func(http.ResponseWriter, *http.Request) { asked++ }, 0, 1, 2, 3)
	status, code := lookAt(h, func(r *http.Request) { r.Header.Set(hopHeader, "c") })
	if status != http.StatusServiceUnavailable || code != wire.CodeNotOwned || asked != 0 {
		t.Errorf("%d %s, passed on %d times", status, code, asked)
	}
}

func TestAnswersThatAreNoneOfTheOwnersAreNotPassedOn(t *testing.T) {
	for name, one := range map[string]struct {
		answer http.HandlerFunc
		status int
		code   string
	}{
		"unknown": {func(w http.ResponseWriter, _ *http.Request) {
			wire.Refuse(w, wire.NewError(wire.CodeSeriesUnknown, ""))
		}, 404, wire.CodeSeriesUnknown},
		"forbidden":   {func(w http.ResponseWriter, _ *http.Request) { wire.Refuse(w, wire.NewError(wire.CodeForbidden, "")) }, 403, wire.CodeForbidden},
		"credentials": {func(w http.ResponseWriter, _ *http.Request) { wire.Refuse(w, wire.NewError(wire.CodeTokenInvalid, "")) }, 503, wire.CodeNotOwned},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		}, 503, wire.CodeNotOwned},
		"page":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, 503, wire.CodeNotOwned},
		"not owner": {func(w http.ResponseWriter, _ *http.Request) { wire.Refuse(w, wire.NewError(wire.CodeNotOwned, "")) }, 503, wire.CodeNotOwned},
	} {
		if status, code := lookAt(asker(t, one.answer, 0, 1, 2, 3), nil); status != one.status || code != one.code {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	if status, code := lookAt(asker(t, nil), nil); status != http.StatusServiceUnavailable || code != wire.CodeNotOwned {
		t.Errorf("nobody owns it: %d %s", status, code)
	}
}

func TestAnyProcessAnswersForTheOneThatOwnsThePartition(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	must(t, err)
	t.Cleanup(cluster.Close)
	process := func(roles ...string) *running {
		c := memory()
		c.Kafka.Brokers, c.Roles, c.Kafka.ReplicationFactor = cluster.ListenAddrs(), roles, 1
		return start(t, c)
	}
	owner, other := process(config.RoleIngest, config.RolePipeline), process(config.RolePush)
	dev := owner.dial("v1/ingest")
	dev.deliver(t, envelope{Device: "plant1/press7", Session: "boot", Seq: 1, Readings: wave("temperature", 10)})
	var x pipeline.Inspection
	other.eventually("the other process answers", func() bool {
		status, body := other.get("/v1/series/plant1/press7/temperature", "")
		if status == http.StatusOK {
			must(t, json.Unmarshal(body, &x))
		}
		return status == http.StatusOK
	})
	if x.Series != "plant1/press7/temperature" || x.Latest.N == 0 {
		t.Errorf("%+v", x)
	}
	if status, body := other.get("/v1/series/plant1/press7/none", ""); status != http.StatusNotFound {
		t.Errorf("a series that is not known: %d %s", status, body)
	}
}
