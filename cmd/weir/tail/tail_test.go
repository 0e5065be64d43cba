package tail

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"weir/sim"
	"weir/telemetry"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer may be read while a Tail writes to it.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// server answers each subscribe by what serve does on that connection, counted from 1.
type server struct {
	gws.BuiltinEventHandler
	url   string
	token string // what the last request showed
	serve func(conn int, socket *gws.Conn, m wire.Subscribe)

	mu    sync.Mutex
	conns []*gws.Conn
}

func startServer(t *testing.T, serve func(conn int, socket *gws.Conn, m wire.Subscribe)) *server {
	t.Helper()
	s := &server{serve: serve}
	upgrader := gws.NewUpgrader(s, &gws.ServerOption{SubProtocols: []string{wire.LiveProtocol}})
	var readers sync.WaitGroup
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.token = r.Header.Get("Authorization")
		s.mu.Unlock()
		if socket, err := upgrader.Upgrade(w, r); err == nil {
			readers.Go(socket.ReadLoop)
		}
	}))
	s.url = "ws" + strings.TrimPrefix(web.URL, "http") + "/v1/live"
	t.Cleanup(func() {
		s.mu.Lock()
		for _, c := range s.conns {
			c.NetConn().Close()
		}
		s.mu.Unlock()
		readers.Wait()
		web.Close()
	})
	return s
}

func (s *server) OnOpen(socket *gws.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, socket)
	socket.Session().Store("number", len(s.conns))
}

func (s *server) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	m, err := wire.DecodeClientMessage(message.Bytes())
	if err != nil || m.Type != wire.TypeSubscribe {
		panic(err)
	}
	number, _ := socket.Session().Load("number")
	s.serve(number.(int), socket, m.Subscribe)
}

func write(socket *gws.Conn, m wire.ServerMessage) {
	_ = socket.WriteMessage(gws.OpcodeText, m.Append(nil))
}

func update(series string, since, version telemetry.Version, value float64) wire.Row {
	u := &telemetry.Update{
		Series: series, Since: since, Version: version, N: 2, FirstTime: 1_000_000, LastTime: 2_000_000,
		Last: value, Min: value - 1, Max: value + 1, Sum: 2 * value, Avg: value, Lo: math.NaN(), Hi: math.NaN(),
	}
	return wire.Row{I: 0, Update: u}
}

func subscribed(rows ...wire.Row) *wire.Subscribed {
	return &wire.Subscribed{ID: "tail", View: 7, Rows: rows, Dictionary: []wire.Entry{{I: 0, Series: "plant1/press1/temperature"}}}
}

const series = "plant1/press1/temperature"

// run follows a server until enough is printed, and returns what was.
func run(t *testing.T, o Options, enough func(out, notes string) bool) (out, notes string, tail *Tail, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	printed, noted := new(buffer), new(buffer)
	o.Out, o.Notes = printed, noted
	if o.Patterns == nil {
		o.Patterns = []string{"plant1/#"}
	}
	tail, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- tail.Run(ctx) }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err = <-result:
			if ctx.Err() == context.DeadlineExceeded {
				t.Errorf("not printed within 15 s; out %q notes %q", printed, noted)
			}
			return printed.String(), noted.String(), tail, err
		case <-tick.C:
			if enough != nil && enough(printed.String(), noted.String()) {
				cancel()
			}
		}
	}
}

func printed(text string) func(out, notes string) bool {
	return func(out, _ string) bool { return strings.Contains(out, text) }
}

func TestTailPrintsSnapshotUpdatesAndAlertsAligned(t *testing.T) {
	s := startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) {
		if m.ID == "" || len(m.Patterns) != 1 || m.Patterns[0].String() != "plant1/#" || !m.HasMaxHz || m.MaxHz != 5 {
			t.Errorf("subscribe %+v", m)
		}
		write(socket, &wire.Welcome{Protocol: wire.LiveProtocol})
		write(socket, subscribed(update(series, -1, 10, 20.5)))
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 10, 12, 1234567)}})
		write(socket, &wire.AlertMsg{Alert: telemetry.Alert{Series: series, Phase: telemetry.Firing, Value: 90, Lo: 10, Hi: 30, Score: 0.71, Summary: "far off"}})
	})
	hz := 5.0
	out, _, tail, err := run(t, Options{URL: s.url, MaxHz: &hz}, printed("far off"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(out), "\n")
	if len(rows) != 4 {
		t.Fatalf("%d lines, want header, snapshot, update and alert:\n%s", len(rows), out)
	}
	for i, want := range []string{"LAST", "20.5", "1.23457e+06"} {
		if end := strings.Index(rows[i], want) + len(want); end != 51 {
			t.Errorf("%q ends in column %d of line %d, want 51:\n%s", want, end, i+1, out)
		}
	}
	if !strings.Contains(rows[3], "ALERT firing: 90, expected 10 to 30, score 0.71") {
		t.Errorf("alert: %q", rows[3])
	}
	if want := (Counts{Updates: 1, Readings: 2, Alerts: 1}); tail.Counts != want {
		t.Errorf("%+v, want %+v", tail.Counts, want)
	}
}

func TestTailSaysWhereAnAlertStands(t *testing.T) {
	nan := math.NaN()
	s := startServer(t, func(_ int, socket *gws.Conn, _ wire.Subscribe) {
		write(socket, subscribed(update(series, -1, 10, 20.5)))
		for _, a := range []telemetry.Alert{
			{Severity: telemetry.Critical, Phase: telemetry.Flapping, Flaps: telemetry.Flaps{Count: 5, Period: 600e6}, Value: 90, Lo: nan, Hi: nan, Score: nan, Limit: 80},
			{Severity: telemetry.Info, Phase: telemetry.Acknowledged, Marked: &telemetry.Note{By: "alice"}, Lo: 1, Hi: 2, Summary: "last"},
		} {
			a.Series = series
			write(socket, &wire.AlertMsg{Alert: a})
		}
	})
	out, _, _, err := run(t, Options{URL: s.url}, printed("last"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ALERT critical flapping 5 times in 10m0s: 90, limit 80, score -", "ALERT info acknowledged by alice: 0, expected 1 to 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestTailReportsGapsAndSkipsReplays(t *testing.T) {
	s := startServer(t, func(_ int, socket *gws.Conn, _ wire.Subscribe) {
		write(socket, subscribed(update(series, -1, 10, 1)))
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 5, 10, 2)}})  // seen
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 10, 12, 3)}}) // next
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 15, 20, 4)}}) // gap
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 20, 21, 5)}}) // next
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 18, 25, 6)}}) // overlap
	})
	out, _, tail, err := run(t, Options{URL: s.url, JSON: true}, printed(`"version":25`))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(out, `"type":"gap"`) != 2 || !strings.Contains(out, `{"type":"gap","series":"plant1/press1/temperature","seen":12,"since":15}`) {
		t.Errorf("gaps:\n%s", out)
	}
	if want := (Counts{Updates: 4, Readings: 8, Gaps: 2}); tail.Counts != want {
		t.Errorf("%+v, want %+v", tail.Counts, want)
	}
}

func TestTailPrintsOneJSONObjectPerLineWithNullForUnknown(t *testing.T) {
	s := startServer(t, func(_ int, socket *gws.Conn, _ wire.Subscribe) {
		empty := wire.Row{Update: &telemetry.Update{Series: series, Since: 10, Version: 11, Late: 1, Avg: math.NaN(), Lo: math.NaN(), Hi: math.NaN()}}
		write(socket, subscribed(update(series, -1, 10, 20.5)))
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{empty}})
		write(socket, &wire.AlertMsg{Alert: telemetry.Alert{ID: "p0-1", Lo: math.NaN(), Hi: 3, Limit: math.NaN(), Severity: telemetry.Warning}})
	})
	out, _, _, err := run(t, Options{URL: s.url, JSON: true}, printed("p0-1"))
	if err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	for scan := bufio.NewScanner(strings.NewReader(out)); scan.Scan(); {
		var o map[string]any
		if err := json.Unmarshal(scan.Bytes(), &o); err != nil {
			t.Fatalf("%q: %v", scan.Text(), err)
		}
		objects = append(objects, o)
	}
	if len(objects) != 3 || objects[0]["type"] != "snapshot" || objects[1]["type"] != "update" || objects[0]["last"] != 20.5 || objects[0]["lo"] != nil || objects[0]["state"] != "ok" {
		t.Errorf("%v", objects)
	}
	if o := objects[1]; o["last"] != nil || o["first_ts"] != nil || o["late"] != 1.0 || o["n"] != 0.0 {
		t.Errorf("update of no readings: %v", o)
	}
	if o := objects[2]; o["type"] != "alert" || o["lo"] != nil || o["hi"] != 3.0 || o["limit"] != nil || o["severity"] != "warning" {
		t.Errorf("alert: %v", o)
	}
}

func TestTailConnectsAgainAndBeginsANewChain(t *testing.T) {
	s := startServer(t, func(conn int, socket *gws.Conn, _ wire.Subscribe) {
		if conn == 1 {
			write(socket, subscribed(update(series, -1, 100, 1)))
			write(socket, &wire.Draining{ReconnectAfterMS: 1, JitterMS: 1})
			_ = socket.WriteClose(wire.CloseDraining, []byte(wire.ReasonDraining))
			return
		}
		write(socket, subscribed(update(series, -1, 200, 1)))
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 200, 201, 42)}})
	})
	_, notes, tail, err := run(t, Options{URL: s.url}, printed(" 42 "))
	if err != nil {
		t.Fatal(err)
	}
	if tail.Counts.Gaps != 0 || tail.Counts.Reconnects != 1 || !strings.Contains(notes, "draining") {
		t.Errorf("%+v, notes %q", tail.Counts, notes)
	}
}

func TestTailTellsOfResyncAndGoesOnFromTheFreshSnapshot(t *testing.T) {
	s := startServer(t, func(_ int, socket *gws.Conn, _ wire.Subscribe) {
		write(socket, subscribed())
		write(socket, &wire.Resync{View: 7, Reason: "epoch"})
		write(socket, subscribed(update(series, -1, 3, 1)))
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 3, 4, 42)}})
	})
	_, notes, tail, err := run(t, Options{URL: s.url}, printed(" 42 "))
	if err != nil {
		t.Fatal(err)
	}
	if tail.Counts.Gaps != 0 || !strings.Contains(notes, "epoch") || !strings.Contains(notes, "no series matches yet") {
		t.Errorf("%+v, notes %q", tail.Counts, notes)
	}
}

func TestTailEndsWhenItIsRefused(t *testing.T) {
	t.Run("by a message", func(t *testing.T) {
		s := startServer(t, func(_ int, socket *gws.Conn, _ wire.Subscribe) {
			write(socket, &wire.ErrorMsg{Error: *wire.NewError(wire.CodePatternsTooMany, "payload.patterns"), ID: "tail"})
		})
		_, _, _, err := run(t, Options{URL: s.url}, nil)
		if err == nil || !strings.Contains(err.Error(), "more patterns") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("by a close code", func(t *testing.T) {
		s := startServer(t, func(_ int, socket *gws.Conn, _ wire.Subscribe) {
			_ = socket.WriteClose(wire.CloseProtocolError, []byte(wire.ReasonProtocolError))
		})
		_, _, _, err := run(t, Options{URL: s.url}, nil)
		var closed *sim.ClosedError
		if !errors.As(err, &closed) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("by nobody being there", func(t *testing.T) {
		if _, _, _, err := run(t, Options{URL: "ws://127.0.0.1:1/v1/live"}, nil); err == nil {
			t.Error("no error")
		}
	})
}

func TestTailShowsItsTokenAndSaysWhatToDoWhenThatIsNotEnough(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*gws.Conn)
		hint   string
	}{
		"no credentials": {func(s *gws.Conn) { _ = s.WriteClose(wire.CloseRefused, []byte(wire.ReasonUnauthenticated)) }, "WEIR_TOKEN"},
		"expired":        {func(s *gws.Conn) { _ = s.WriteClose(wire.CloseTokenExpired, []byte(wire.ReasonTokenExpired)) }, "weir key create"},
		"revoked":        {func(s *gws.Conn) { _ = s.WriteClose(wire.CloseTokenRevoked, []byte(wire.ReasonTokenRevoked)) }, "--data"},
		"forbidden": {func(s *gws.Conn) {
			write(s, &wire.Welcome{Read: []string{"plant2/#", "plant3/a/#"}})
			write(s, &wire.ErrorMsg{Error: *wire.NewError(wire.CodeForbidden, "payload.patterns[0]"), ID: "tail"})
		}, "permit plant2/#, plant3/a/#"},
		"nothing": {func(s *gws.Conn) {
			write(s, &wire.ErrorMsg{Error: *wire.NewError(wire.CodeForbidden, "payload.patterns[0]"), ID: "tail"})
		}, "permit no series"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(_ int, socket *gws.Conn, _ wire.Subscribe) { c.answer(socket) })
			_, _, _, err := run(t, Options{URL: s.url, Token: "weir_a_secret"}, nil)
			var hinted interface{ Hint() string }
			if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), c.hint) {
				t.Errorf("error %v has no hint with %q", err, c.hint)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v tells the token", err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.token != "Bearer weir_a_secret" {
				t.Errorf("shown %q", s.token)
			}
		})
	}
}

func TestTailSaysWhenItsCredentialsEnd(t *testing.T) {
	s := startServer(t, func(_ int, socket *gws.Conn, _ wire.Subscribe) {
		write(socket, &wire.TokenExpiring{ExpiresAt: time.Now().Add(time.Minute)})
		write(socket, subscribed(update(series, -1, 3, 1)))
	})
	_, notes, _, err := run(t, Options{URL: s.url}, printed(series))
	if err != nil || !strings.Contains(notes, "credentials end at") {
		t.Errorf("notes %q, %v", notes, err)
	}
}

func TestNewRefusesWhatNoServerWouldTake(t *testing.T) {
	tooFast := 1e9
	for name, o := range map[string]Options{
		"no pattern":  {},
		"bad pattern": {Patterns: []string{"a/#/b"}},
		"rate":        {Patterns: []string{"#"}, MaxHz: &tooFast},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestAgeIsShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		12 * time.Millisecond: "12 ms", -3 * time.Millisecond: "-3 ms", 90 * time.Second: "90 s", 50 * time.Hour: "50 h",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
