package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// stand is a stand-in for the pipeline, for alerts that the real one does not know: it raises them, and applies
// commands on them.
type stand struct {
	t         *testing.T
	client    *kafka.Client
	producer  *kafka.Producer
	mu        sync.Mutex
	alerts    map[string]telemetry.Alert
	following sync.WaitGroup
}

func (s *secured) stand(t *testing.T) *stand {
	t.Helper()
	client, err := kafka.New(s.kafkaOptions())
	must(t, err)
	producer, err := client.NewProducer(t.Context(), kafka.ProducerOptions{})
	must(t, err)
	st := &stand{t: t, client: client, producer: producer, alerts: make(map[string]telemetry.Alert)}
	ends, err := client.Offsets(t.Context(), wire.TopicReadings)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	for p := range ends {
		st.following.Go(func() { st.follow(ctx, p, ends[p].End) })
	}
	t.Cleanup(func() {
		cancel()
		st.following.Wait()
		must(t, producer.Close())
		client.Close()
	})
	return st
}

func (st *stand) follow(ctx context.Context, partition int, from int64) {
	tail := st.client.NewTail(kafka.TailOptions{Topic: wire.TopicReadings, Partition: partition, Offset: from, MaxWait: 100 * time.Millisecond})
	defer tail.Close()
	for ctx.Err() == nil {
		fetch, err := tail.Next(ctx)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				st.t.Errorf("follow: %v", err)
			}
			return
		}
		for i := range fetch.Records {
			if r := &fetch.Records[i]; wire.IsControl(r.Value) {
				st.apply(ctx, partition, r)
			}
		}
	}
}

func (st *stand) apply(ctx context.Context, partition int, r *kafka.Record) {
	c, err := wire.DecodeControl(r.Value)
	if err != nil {
		st.t.Error(err)
		return
	}
	if c.Kind == wire.ControlAlert {
		st.mu.Lock()
		a := st.alerts[c.Alert.Alert]
		st.mu.Unlock()
		a.Version = telemetry.VersionOf(r.Offset, 0)
		switch c.Alert.Action {
		case telemetry.ActionAcknowledge:
			a.Phase, a.Reason, a.Marked = telemetry.Acknowledged, telemetry.Acked, &telemetry.Note{By: c.By, Time: c.Time, Text: c.Alert.Text}
		case telemetry.ActionComment:
			a.Reason, a.Comments = telemetry.Commented, append(a.Comments, telemetry.Note{By: c.By, Time: c.Time, Text: c.Alert.Text})
		}
		st.tell(ctx, partition, a)
	}
}

func (st *stand) tell(ctx context.Context, partition int, a telemetry.Alert) {
	st.mu.Lock()
	st.alerts[a.ID] = a
	st.mu.Unlock()
	_, err := st.producer.ProduceSync(ctx, wire.TopicAlerts, partition, []kafka.Record{{
		Time: time.Now().UnixMilli(), Key: []byte("t1/d1"), Value: wire.AppendAlert(nil, &a)}})
	if err != nil && ctx.Err() == nil {
		st.t.Error(err)
	}
}

func TestCommandsOnAlertsGoThroughTheReadingsAndComeBackAsTransitions(t *testing.T) {
	s := startSecured(t)
	st := s.stand(t)
	st.tell(t.Context(), 1, telemetry.Alert{
		ID: "1-fe", Rule: "high", Series: "t1/d1/m", Phase: telemetry.Firing, Reason: telemetry.Raised, Severity: telemetry.Critical, Version: telemetry.NoVersion, // before any command
		Value: 90, Score: math.NaN(), Lo: math.NaN(), Hi: math.NaN(), Limit: 80, Detector: "threshold", Summary: "m is above 80",
		Samples: []telemetry.Sample{{Time: 1, Value: 70}, {Time: 2, Value: 90}}, Flaps: telemetry.Flaps{Count: 2, Period: 60e6},
	})
	s.eventually("the alert", func() bool {
		status, _ := s.ask("viewer1", "GET", "/v1/alerts/1-fe", "")
		return status == http.StatusOK
	})
	for who, want := range map[string]int{"viewer1": http.StatusForbidden, "device1": http.StatusForbidden, "operator2": http.StatusNotFound, "none": http.StatusUnauthorized} {
		if status, body := s.ask(who, "POST", "/v1/alerts/1-fe/ack", "{}"); status != want {
			t.Errorf("%s: %d %s, want %d", who, status, body, want)
		}
	}
	for _, who := range []string{"viewer2", "operator2"} {
		if _, body := s.ask(who, "GET", "/v1/alerts?series=%23", ""); strings.Contains(string(body), "t1") {
			t.Errorf("%s is told %s", who, body)
		}
	}
	status, body := s.ask("operator1", "POST", "/v1/alerts/1-fe/ack?wait=20s", `{"comment":"looking"}`)
	var got telemetry.Alert
	must(t, json.Unmarshal(body, &got))
	if status != http.StatusOK || got.Phase != telemetry.Acknowledged || got.Marked == nil || got.Marked.By != "operator1" || got.Marked.Text != "looking" {
		t.Fatalf("acknowledged: %d %s", status, body)
	}
	if _, body := s.ask("viewer1", "GET", "/v1/alerts?phase=acknowledged&severity=critical", ""); !strings.Contains(string(body), `"limit":80`) {
		t.Errorf("listed: %s", body)
	}
	if status, body := s.ask("admin1", "POST", "/v1/alerts/1-fe/comment?wait=20s", `{"text":"mended"}`); status != http.StatusOK || !strings.Contains(string(body), "mended") {
		t.Errorf("commented: %d %s", status, body)
	}
	a := st.alerts["1-fe"]
	a.Phase, a.Reason, a.Version = telemetry.Resolved, telemetry.Cleared, a.Version+1
	st.tell(t.Context(), 1, a)
	s.eventually("the end of the alert", func() bool {
		status, _ := s.ask("operator1", "POST", "/v1/alerts/1-fe/unack", "")
		return status == http.StatusConflict
	})
	if _, body := s.ask("viewer1", "GET", "/v1/alerts", ""); strings.Contains(string(body), "1-fe") {
		t.Errorf("open: %s", body)
	}
}

func TestSilencesAreListedByEveryProcessAndSurviveIt(t *testing.T) {
	c := onDisk(t)
	r := start(t, c)
	post := func(body string) (int, string) {
		res, err := asking(t).Post(r.URL()+"v1/silences", "application/json", strings.NewReader(body))
		must(t, err)
		defer res.Body.Close()
		var text strings.Builder
		_, err = io.Copy(&text, res.Body)
		must(t, err)
		return res.StatusCode, text.String()
	}
	if status, body := post(`{"id":"s","series":"t1/#","duration":"1h"}`); status != http.StatusCreated || !strings.Contains(body, `"everywhere":true`) {
		t.Fatalf("silence: %d %s", status, body)
	}
	must(t, r.stop())
	r = start(t, c)
	if status, body := r.get("/v1/silences", ""); status != http.StatusOK || !strings.Contains(string(body), `"id":"s"`) {
		t.Errorf("after a restart: %d %s", status, body)
	}
	if status, body := post(`{"id":"s","series":"t1/#","duration":"2h"}`); status != http.StatusOK {
		t.Errorf("again: %d %s", status, body)
	}
}
