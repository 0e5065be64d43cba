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

	sdk "weir/sdk/go"
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
	greet *wire.Welcome                       // nil: the usual one
	other func(socket *gws.Conn, text string) // of messages that wire does not know
	out   buffer                              // what was printed

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
	greet := s.greet
	if greet == nil {
		greet = &wire.Welcome{Protocol: wire.LiveProtocol, HeartbeatMS: 60_000}
	}
	write(socket, greet)
}

// until waits until a text was printed, so that what follows is not merged with what was before.
func (s *server) until(text string) {
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.out.String(), text) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

func (s *server) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	m, err := wire.DecodeClientMessage(message.Bytes())
	if m.Type != wire.TypeSubscribe {
		if s.other != nil {
			s.other(socket, string(message.Bytes()))
		}
		return
	}
	if err != nil {
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

func subscribed(m wire.Subscribe, rows ...wire.Row) *wire.Subscribed {
	return &wire.Subscribed{ID: m.ID, View: 7, Columns: m.Columns, Rows: rows, Dictionary: []wire.Entry{{I: 0, Series: "plant1/press1/temperature"}}}
}

const series = "plant1/press1/temperature"

// run follows the server until enough is printed, and returns what was.
func (s *server) run(t *testing.T, o Options, enough func(out, notes string) bool) (out, notes string, counts Counts, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	noted := new(buffer)
	o.Out, o.Notes = &s.out, noted
	if o.URL == "" {
		o.URL = s.url
	}
	if o.Patterns == nil && o.Rooms == nil {
		o.Patterns = []string{"plant1/#"}
	}
	tail, err := New(o)
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
				t.Errorf("not printed within 15 s; out %q notes %q", s.out.String(), noted)
			}
			return s.out.String(), noted.String(), tail.Counts(), err
		case <-tick.C:
			if enough != nil && enough(s.out.String(), noted.String()) {
				cancel()
			}
		}
	}
}

func printed(text string) func(out, notes string) bool {
	return func(out, _ string) bool { return strings.Contains(out, text) }
}

func TestTailPrintsSnapshotUpdatesAndAlertsAligned(t *testing.T) {
	var s *server
	s = startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) {
		if m.ID == "" || len(m.Patterns) != 1 || m.Patterns[0].String() != "plant1/#" || !m.HasMaxHz || m.MaxHz != 5 {
			t.Errorf("subscribe %+v", m)
		}
		write(socket, subscribed(m, update(series, -1, 10, 20.5)))
		s.until("20.5")
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 10, 12, 1234567)}})
		s.until("1.23457e+06")
		write(socket, &wire.AlertMsg{Alert: telemetry.Alert{ID: "a", Series: series, Version: 1, Phase: telemetry.Firing, Value: 90, Lo: 10, Hi: 30, Score: 0.71, Summary: "far off"}})
	})
	hz := 5.0
	out, _, counts, err := s.run(t, Options{MaxHz: &hz}, printed("far off"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(out), "\n")
	if len(rows) != 4 {
		t.Fatalf("%d lines, want header, snapshot, update and alert:\n%s", len(rows), out)
	}
	for i, want := range []string{"LAST", "20.5", "1.23457e+06"} {
		if end := strings.Index(rows[i], want) + len(want); end != 58 {
			t.Errorf("%q ends in column %d of line %d, want 58:\n%s", want, end, i+1, out)
		}
	}
	if !strings.Contains(rows[3], "ALERT firing: 90, expected 10 to 30, score 0.71") {
		t.Errorf("alert: %q", rows[3])
	}
	if want := (Counts{Updates: 1, Readings: 2, Alerts: 1}); counts != want {
		t.Errorf("%+v, want %+v", counts, want)
	}
}

func TestTailSaysWhereAnAlertStands(t *testing.T) {
	nan := math.NaN()
	s := startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) {
		write(socket, subscribed(m, update(series, -1, 10, 20.5)))
		for i, a := range []telemetry.Alert{
			{Severity: telemetry.Critical, Phase: telemetry.Flapping, Flaps: telemetry.Flaps{Count: 5, Period: 600e6}, Value: 90, Lo: nan, Hi: nan, Score: nan, Limit: 80},
			{Severity: telemetry.Info, Phase: telemetry.Acknowledged, Marked: &telemetry.Note{By: "alice"}, Lo: 1, Hi: 2, Summary: "last"},
		} {
			a.Series, a.ID, a.Version = series, "a", telemetry.Version(i+1)
			write(socket, &wire.AlertMsg{Alert: a})
		}
	})
	out, _, _, err := s.run(t, Options{}, printed("last"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ALERT critical flapping 5 times in 10m0s: 90, limit 80, score -", "ALERT info acknowledged by alice: 0, expected 1 to 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestTailBeginsAnewAfterAGapAndSkipsReplays(t *testing.T) {
	var s *server
	snapshots := 0
	s = startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) {
		if snapshots++; snapshots == 2 {
			write(socket, subscribed(m, update(series, -1, 25, 1)))
			s.until(`"version":25`)
			write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 25, 26, 1)}})
			return
		}
		write(socket, subscribed(m, update(series, -1, 10, 1)))
		s.until(`"version":10`)
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 5, 10, 2)}})  // seen
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 10, 12, 3)}}) // next
		s.until(`"version":12`)
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 15, 20, 4)}}) // gap
	})
	out, notes, counts, err := s.run(t, Options{JSON: true}, printed(`"version":26`))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, `{"type":"resync","reason":"gap"}`) || strings.Contains(out, `"version":20`) || !strings.Contains(notes, "begin anew (gap)") {
		t.Errorf("%s\n%s", out, notes)
	}
	if want := (Counts{Updates: 2, Readings: 4, Resyncs: 1}); counts != want {
		t.Errorf("%+v, want %+v", counts, want)
	}
}

func TestTailPrintsOneJSONObjectPerLineWithNullForUnknown(t *testing.T) {
	var s *server
	s = startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) {
		empty := wire.Row{Update: &telemetry.Update{Series: series, Since: 10, Version: 11, Late: 1, Avg: math.NaN(), Lo: math.NaN(), Hi: math.NaN()}}
		write(socket, subscribed(m, update(series, -1, 10, 20.5)))
		s.until("snapshot")
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{empty}})
		s.until("update")
		write(socket, &wire.AlertMsg{Alert: telemetry.Alert{ID: "p0-1", Version: 1, Series: series, Lo: math.NaN(), Hi: 3, Limit: math.NaN(), Severity: telemetry.Warning}})
	})
	out, _, _, err := s.run(t, Options{JSON: true}, printed("p0-1"))
	if err != nil {
		t.Fatal(err)
	}
	objects := parse(t, out)
	if len(objects) != 3 || objects[0]["type"] != "snapshot" || objects[1]["type"] != "update" || objects[0]["last"] != 20.5 || objects[0]["lo"] != nil || objects[0]["state"] != "ok" || len(objects[0]) != 22 {
		t.Errorf("%v", objects)
	}
	if o := objects[1]; o["last"] != nil || o["first_ts"] != nil || o["late"] != 1.0 || o["n"] != 0.0 {
		t.Errorf("update of no readings: %v", o)
	}
	if o := objects[2]; o["type"] != "alert" || o["lo"] != nil || o["hi"] != 3.0 || o["limit"] != nil || o["severity"] != "warning" {
		t.Errorf("alert: %v", o)
	}
}

func parse(t *testing.T, out string) (objects []map[string]any) {
	t.Helper()
	for scan := bufio.NewScanner(strings.NewReader(out)); scan.Scan(); {
		var o map[string]any
		if err := json.Unmarshal(scan.Bytes(), &o); err != nil {
			t.Fatalf("%q: %v", scan.Text(), err)
		}
		objects = append(objects, o)
	}
	return objects
}

func TestTailPrintsTheColumnsThatAreAskedFor(t *testing.T) {
	serve := func(_ int, socket *gws.Conn, m wire.Subscribe) {
		if m.Filter != "max > 3" || m.Order != "-max" || m.Limit != 5 || len(m.Columns.Names()) != 6 {
			t.Errorf("subscribe %+v", m)
		}
		write(socket, subscribed(m, update(series, -1, 10, 20.5)))
		write(socket, &wire.Updates{View: 7, Left: []uint32{0}})
	}
	o := Options{Filter: "max > 3", Order: "-max", Limit: 5, Fields: []string{"worst", "max"}}
	s := startServer(t, serve)
	out, _, _, err := s.run(t, o, printed("LEFT"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out, "\n"); strings.Join(strings.Fields(lines[0]), " ") != "TIME SERIES N MAX WORST" || !strings.HasSuffix(lines[1], " 2        21.5  ok") {
		t.Errorf("%s", out)
	}
	s = startServer(t, serve)
	o.JSON = true
	out, _, _, err = s.run(t, o, printed("left"))
	if objects := parse(t, out); err != nil || len(objects) != 2 || len(objects[0]) != 8 || objects[0]["max"] != 21.5 || objects[1]["series"] != series {
		t.Errorf("%s, %v", out, err)
	}
}

func TestTailConnectsAgainAndGoesOn(t *testing.T) {
	var s *server
	s = startServer(t, func(conn int, socket *gws.Conn, m wire.Subscribe) {
		first := subscribed(m, update(series, -1, 100, 1))
		first.Cursor = "c1"
		if conn == 1 {
			write(socket, first)
			s.until(series)
			write(socket, &wire.Draining{ReconnectAfterMS: 1, JitterMS: 1})
			_ = socket.WriteClose(wire.CloseDraining, []byte(wire.ReasonDraining))
			return
		}
		if m.Cursor != "c1" {
			t.Errorf("came back with %q", m.Cursor)
		}
		resumed := subscribed(m, update(series, 100, 200, 42))
		resumed.Resumed = true
		write(socket, resumed)
	})
	_, notes, counts, err := s.run(t, Options{}, printed(" 42 "))
	if err != nil {
		t.Fatal(err)
	}
	if counts != (Counts{Updates: 1, Readings: 2, Reconnects: 1}) || !strings.Contains(notes, "draining") || !strings.Contains(notes, "connected again") {
		t.Errorf("%+v, notes %q", counts, notes)
	}
}

func TestTailTellsOfResyncAndGoesOnFromTheFreshSnapshot(t *testing.T) {
	var s *server
	s = startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) {
		write(socket, subscribed(m))
		time.Sleep(50 * time.Millisecond) // nothing is printed
		write(socket, &wire.Resync{View: 7, Reason: "epoch"})
		write(socket, subscribed(m, update(series, -1, 3, 1)))
		s.until(series)
		write(socket, &wire.Updates{View: 7, Rows: []wire.Row{update(series, 3, 4, 42)}})
	})
	_, notes, counts, err := s.run(t, Options{}, printed(" 42 "))
	if err != nil {
		t.Fatal(err)
	}
	if counts.Resyncs != 1 || !strings.Contains(notes, "epoch") {
		t.Errorf("%+v, notes %q", counts, notes)
	}
}

func TestTailSaysThatNothingMatches(t *testing.T) {
	s := startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) { write(socket, subscribed(m)) })
	_, _, _, err := s.run(t, Options{}, func(_, notes string) bool { return strings.Contains(notes, "no series matches yet") })
	if err != nil {
		t.Error(err)
	}
}

func TestTailPrintsFigures(t *testing.T) {
	serve := func(_ int, socket *gws.Conn, m wire.Subscribe) {
		write(socket, subscribed(m, update(series, -1, 3, 1)))
	}
	other := func(socket *gws.Conn, text string) {
		if strings.Contains(text, `"stats"`) {
			write(socket, &wire.Stats{Subscriptions: []wire.SubscriptionStats{{ID: "1", Merged: 17, Stalls: 2}}})
		}
	}
	s := startServer(t, serve)
	s.other = other
	_, notes, _, err := s.run(t, Options{Stats: 10 * time.Millisecond}, func(_, notes string) bool { return strings.Contains(notes, "stats: open") })
	if err != nil || !strings.Contains(notes, "by the server 17 (stalls 2") {
		t.Errorf("%q, %v", notes, err)
	}
	s = startServer(t, serve)
	s.other = other
	out, _, _, err := s.run(t, Options{Stats: 10 * time.Millisecond, JSON: true}, printed(`"server_merged":17`))
	if err != nil || !strings.Contains(out, `"rows":1`) {
		t.Errorf("%q, %v", out, err)
	}
}

func TestTailPrintsWhatIsSaidInARoom(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		s := startServer(t, nil)
		s.other = func(socket *gws.Conn, text string) {
			if !strings.Contains(text, `"join"`) {
				return
			}
			for _, text := range []string{
				`{"type":"joined","payload":{"room":"plant1/ops","members":[],"messages":[{"version":1,"id":"a","type":"chat","payload":"hi","from":{"user":"bob"},"time":1}],"version":1}}`,
				`{"type":"presence","payload":{"room":"plant1/ops","event":"joined","user":"","session":"s9","time":2}}`,
			} {
				_ = socket.WriteString(text)
			}
		}
		out, notes, counts, err := s.run(t, Options{Rooms: []string{"plant1/ops"}, JSON: asJSON}, printed("s9"))
		want := []string{"plant1/ops", `bob chat: "hi"`, "s9 joined"}
		if asJSON {
			want = []string{`"type":"message"`, `"payload":"hi"`, `"type":"presence"`}
		}
		for _, text := range want {
			if !strings.Contains(out, text) {
				t.Errorf("%q is missing in %s", text, out)
			}
		}
		if err != nil || counts.Messages != 1 || !strings.Contains(notes, "in plant1/ops (members: ") {
			t.Errorf("%+v, %q, %v", counts, notes, err)
		}
	}
}

func TestTailKeepsOthersFromWritingMoreThanALine(t *testing.T) {
	s := startServer(t, nil)
	s.other = func(socket *gws.Conn, text string) {
		if strings.Contains(text, `"join"`) {
			_ = socket.WriteString(`{"type":"joined","payload":{"room":"plant1/ops","members":[],"version":1,"messages":[{"version":1,"id":"a","type":"chat",` +
				"\"payload\":[\n\r \"12:00:00.000  plant1/ops  boss chat: open\u009b2J\u202e\"],\"from\":{\"user\":\"bob\"},\"time\":1}]}}")
		}
	}
	out, _, _, err := s.run(t, Options{Rooms: []string{"plant1/ops"}}, printed("boss"))
	if err != nil || strings.Count(out, "\n") != 1 || strings.ContainsAny(strings.TrimSpace(out), "\n\r\u009b\u202e") || !strings.Contains(out, `boss chat: open`) {
		t.Errorf("%q, %v", out, err)
	}
}

func TestTailSaysOnceThatTheServerIsAway(t *testing.T) {
	noted := new(buffer)
	tail := &Tail{o: Options{Notes: noted}, opened: true}
	refused, other := errors.New("connection refused"), errors.New("no route")
	for _, c := range []sdk.Connection{
		{Dialled: true, Err: refused}, {Err: refused}, {Err: other}, {Err: other}, {Open: true}, {Dialled: true, Err: other},
		{Dialled: true, Err: &sdk.ClosedError{Code: wire.CloseTokenExpired, Reason: wire.ReasonTokenExpired}}, // Run ends with that
	} {
		tail.connection(c)
	}
	want := "connection refused; connecting again\nno route; connecting again\nconnected again\nno route; connecting again\n"
	if noted.String() != want {
		t.Errorf("%q", noted)
	}
}

func TestTailSaysWhenItsCredentialsEnd(t *testing.T) {
	s := startServer(t, func(_ int, socket *gws.Conn, m wire.Subscribe) {
		write(socket, &wire.TokenExpiring{ExpiresAt: time.Now().Add(time.Minute)})
		write(socket, subscribed(m, update(series, -1, 3, 1)))
	})
	_, notes, _, err := s.run(t, Options{}, func(_, notes string) bool { return notes != "" })
	if err != nil || !strings.Contains(notes, "credentials end at") {
		t.Errorf("notes %q, %v", notes, err)
	}
}

func TestNewRefusesWhatNoServerWouldTake(t *testing.T) {
	tooFast := 1e9
	for name, o := range map[string]Options{
		"no pattern": {},
		"pattern":    {Patterns: []string{"a/#/b"}},
		"--max-hz":   {Patterns: []string{"#"}, MaxHz: &tooFast},
		"--fields":   {Patterns: []string{"#"}, Fields: []string{"maxx"}},
		"--limit":    {Patterns: []string{"#"}, Limit: 5000},
		"--order":    {Patterns: []string{"#"}, Order: "best", Limit: 5},
		"needs it":   {Patterns: []string{"#"}, Order: "worst"},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
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
