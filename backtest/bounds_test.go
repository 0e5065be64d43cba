package backtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/pipeline"
	"weir/telemetry"
	"weir/wire"
)

// endless is a source that yields until the run gives up.
type endless struct {
	began, closed chan struct{}
	n             int64
	records       records
}

func newEndless() *endless { return &endless{began: make(chan struct{}), closed: make(chan struct{})} }

// Next tells of the end of ctx as a connection does: without its cause.
func (e *endless) Next(ctx context.Context) (*kafka.Record, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if e.n++; e.n == 2 {
		close(e.began)
	}
	e.records.reading("p/a/x", float64(e.n), 1)
	return e.records.Next(context.Background())
}

func (e *endless) Close() { close(e.closed) }

// served is an API behind a real server. Each run takes the next of the sources.
func served(t *testing.T, most time.Duration, sources ...*endless) (url string, a *API) {
	t.Helper()
	a = NewAPI(APIOptions{Config: pipeline.DefaultConfig()})
	if most > 0 {
		a.most = most
	}
	a.open = func(context.Context) (source, error) {
		if len(sources) == 0 {
			return nil, errors.New("no further source")
		}
		next := sources[0]
		sources = sources[1:]
		return next, nil
	}
	routes := auth.NewRouter(auth.Open{}, auth.OriginPolicy{})
	a.Routes(routes)
	server := httptest.NewServer(routes)
	t.Cleanup(func() { a.Close(); server.Close() })
	return server.URL + "/v1/backtest", a
}

// outcome is what an answer came to.
type outcome struct {
	status int
	last   Line
	err    error
}

// ask has a backtest run, and tells what it came to when it has.
func ask(ctx context.Context, url string) <-chan outcome {
	out := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() { out <- o }()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(hotRule))
		if err != nil {
			o.err = err
			return
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			o.err = err
			return
		}
		defer res.Body.Close()
		o.status = res.StatusCode
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() && o.status == http.StatusOK {
			o.last = Line{}
			o.err = json.Unmarshal(lines.Bytes(), &o.last)
		}
		if o.err == nil {
			o.err = lines.Err()
		}
	}()
	return out
}

func TestASecondBacktestIsRefusedUntilTheClientOfTheFirstHasGone(t *testing.T) {
	first, second := newEndless(), newEndless()
	url, a := served(t, 0, first, second)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	one := ask(ctx, url)
	<-first.began
	if o := <-ask(t.Context(), url); o.status != http.StatusServiceUnavailable {
		t.Errorf("the second at once: %+v", o)
	}
	leave()
	if o := <-one; !errors.Is(o.err, context.Canceled) {
		t.Errorf("the first: %+v", o)
	}
	<-first.closed // the work has ended with its client
	a.running <- struct{}{}
	<-a.running // and its place is free
	two := ask(t.Context(), url)
	<-second.began
	a.Close()
	if o := <-two; o.last.Error == nil || o.last.Error.Code != wire.CodeDraining {
		t.Errorf("when the server ends: %+v, %v", o.last.Error, o.err)
	}
	<-second.closed
}

func TestABacktestThatTakesTooLongEndsAndSaysSo(t *testing.T) {
	src := newEndless()
	url, _ := served(t, 10*time.Millisecond, src)
	o := <-ask(t.Context(), url)
	if o.err != nil || o.last.Error == nil || o.last.Error.Code != wire.CodeOverloaded || !strings.Contains(o.last.Error.Message, "it may take 10ms") {
		t.Errorf("%d, %+v, %v", o.status, o.last.Error, o.err)
	}
	<-src.closed
}

func TestARunHoldsNoMoreThanABatchOfBytes(t *testing.T) {
	r, err := newRun(options(t, hotRule))
	if err != nil {
		t.Fatal(err)
	}
	large := kafka.Record{Time: at(0) / 1000, Key: []byte("p/a"), Value: make([]byte, batchBytes/4)}
	for range 20 {
		if err := r.take(t.Context(), &large, at(0)); err != nil {
			t.Fatal(err)
		}
		if most := batchBytes + len(large.Value); r.held > most {
			t.Fatalf("%d bytes are held, at most %d may be", r.held, most)
		}
	}
}

func TestAlertsBeyondThoseToldAreCountedOnly(t *testing.T) {
	l := newLedger(&Options{})
	const more = 5
	for i := range maxAlerts + more {
		a := telemetry.Alert{ID: fmt.Sprint(i), Rule: "hot", Series: "p/a/x", Phase: telemetry.Firing, StartedTime: at(float64(i)), Time: at(float64(i))}
		l.take(&a, a.Time)
		a.Phase = telemetry.Resolved
		l.take(&a, a.Time)
	}
	if len(l.alerts) != 0 || len(l.list()) != maxAlerts || l.untold != more || l.totals()[0].Alerts != maxAlerts+more {
		t.Errorf("%d open, %d told, %d not, %+v", len(l.alerts), len(l.list()), l.untold, l.totals())
	}
}
