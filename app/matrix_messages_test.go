package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

// exchange is a row of the matrix of messages: what each of askers is told, who connects to path and says something.
type exchange struct {
	// of names the function that knows the message's type, and the case there; empty for what has no type.
	of, kind string
	path     string
	message  string
	// want are outcomes in the order of askers: ok, a code, or the reason of a close after a slash.
	want string
}

// allowed makes outcomes: ok for those named, otherwise for others; nobody gets in without valid credentials.
func allowed(otherwise string, who ...string) string {
	out := []string{"/unauthenticated", "/token_invalid", "/token_expired", "/token_revoked"}
	for _, a := range askers[len(out):] {
		if slices.Contains(who, a) {
			out = append(out, "ok")
			continue
		}
		out = append(out, otherwise)
	}
	return strings.Join(out, " ")
}

var (
	all1 = []string{"device1", "viewer1", "operator1", "admin1"}
	all2 = []string{"device2", "viewer2", "operator2", "admin2", "admin"}
	any_ = slices.Concat(all1, all2, []string{"service1", "guest1"})
)

const (
	ingestHears = "ingest.hear"
	liveHears   = "wire.payload"
)

var exchanges = []exchange{
	{path: "v1/ingest", message: `{"device":"t1/d1","metric":"m","value":1}`,
		want: allowed("forbidden", "device1", "admin")},
	{path: "v1/ingest?device=t1/d1", message: `{"metric":"m","value":1}`,
		want: allowed("/forbidden", "device1", "admin")},
	{of: ingestHears, kind: "wire.TypeAuth", path: "v1/ingest", message: `{"type":"auth","payload":{"token":"weir_abcdefgh_nonsense"}}`,
		want: strings.Replace(allowed("/token_invalid"), "/unauthenticated", "/token_invalid", 1)},
	{of: ingestHears, kind: "wire.TypePing", path: "v1/ingest", message: `{"type":"app_ping"}`, want: allowed("", any_...)},
	{of: ingestHears, kind: "typeHello", path: "v1/ingest", message: `{"type":"hello","payload":{"device":"t1/d1"}}`,
		want: allowed("forbidden", "device1", "admin")},
	{of: ingestHears, kind: "typeCommandResult", path: "v1/ingest", message: `{"type":"command_result","payload":{"device":"t1/d1","id":"none","ok":true}}`,
		want: strings.ReplaceAll(allowed("forbidden", "device1", "admin"), " ok", " "+wire.CodeCommandUnknown)},
	{path: "v1/ingest", message: `{"type":"nonsense"}`, want: allowed(wire.CodeMessageType)},

	{of: liveHears, kind: "TypeSubscribe", path: "v1/live", message: `{"type":"subscribe","payload":{"id":"a","patterns":["t1/d2/#"]}}`,
		want: allowed("forbidden", "viewer1", "operator1", "admin1", "admin")},
	{of: liveHears, kind: "TypeUnsubscribe", path: "v1/live", message: `{"type":"unsubscribe","payload":{"id":"a"}}`,
		want: allowed(wire.CodeSubscriptionNone)},
	{of: liveHears, kind: "TypeCredit", path: "v1/live", message: `{"type":"credit","payload":{"frames":1001}}`,
		want: allowed(wire.CodeCreditInvalid)},
	{of: liveHears, kind: "TypeStats", path: "v1/live", message: `{"type":"stats"}`, want: allowed("", any_...)},
	{of: liveHears, kind: "TypeAuth", path: "v1/live", message: `{"type":"auth","payload":{"token":"weir_abcdefgh_nonsense"}}`,
		want: strings.Replace(allowed(wire.CodeTokenInvalid), "/unauthenticated", "/token_invalid", 1)},
	{of: liveHears, kind: "TypePing", path: "v1/live", message: `{"type":"app_ping"}`, want: allowed("", any_...)},
	{of: liveHears, kind: "TypeJoin", path: "v1/live", message: `{"type":"join","payload":{"room":"t1/ops"}}`,
		want: allowed("forbidden", "viewer1", "operator1", "admin1", "guest1", "admin")},
	{of: liveHears, kind: "TypeLeave", path: "v1/live", message: `{"type":"leave","payload":{"room":"t1/ops"}}`, want: allowed("", any_...)},
	{of: liveHears, kind: "TypeRooms", path: "v1/live", message: `{"type":"rooms"}`, want: allowed("", any_...)},
	{of: liveHears, kind: "TypeSend", path: "v1/live", message: `{"type":"send","payload":{"id":"m","room":"t1/ops","type":"chat","payload":1}}`,
		want: allowed("forbidden", "operator1", "admin1", "service1", "guest1", "admin")},
	{path: "v1/live", message: `{"type":"send","payload":{"id":"m","room":"t1/ops","type":"alarm","payload":1}}`,
		want: allowed("forbidden", "operator1", "admin1", "service1", "admin")},
	{path: "v1/live", message: `{"type":"send","payload":{"id":"m","broadcast":true,"type":"chat"}}`,
		want: allowed("forbidden", "operator1", "admin1", "operator2", "admin2", "service1", "admin")},
	{path: "v1/live", message: `{"type":"send","payload":{"id":"m","user":"t1/_users/ada","type":"chat"}}`,
		want: allowed("forbidden", "operator1", "admin1", "service1", "admin")},
	// What is done is answered by what the room is told; who may do it is told what is wrong with the user.
	{of: liveHears, kind: "TypeKick", path: "v1/live", message: `{"type":"kick","payload":{"room":"t1/ops","user":"t1/ada"}}`,
		want: strings.ReplaceAll(allowed("forbidden", "admin1", "admin"), " ok", " "+wire.CodeFieldValue)},
	{of: liveHears, kind: "TypeBan", path: "v1/live", message: `{"type":"ban","payload":{"room":"t1/ops","user":"t1/ada"}}`,
		want: strings.ReplaceAll(allowed("forbidden", "admin1", "admin"), " ok", " "+wire.CodeFieldValue)},
	{of: liveHears, kind: "TypeAck", path: "v1/live", message: `{"type":"ack","payload":{}}`, want: allowed(wire.CodeFieldMissing)},
	{path: "v1/live?join=t1/ops",
		want: strings.Replace(allowed("forbidden", "viewer1", "operator1", "admin1", "guest1", "admin"), "/unauthenticated", "/auth_timeout", 1)},
	{path: "v1/live?subscribe=t1/d2/%23", // and says nothing
		want: strings.Replace(allowed("forbidden", "viewer1", "operator1", "admin1", "admin"), "/unauthenticated", "/auth_timeout", 1)},
}

func TestEveryMessageIsAnsweredAsTheMatrixSays(t *testing.T) {
	s := startSecured(t)
	for _, e := range exchanges {
		t.Run(e.path+" "+e.message, func(t *testing.T) {
			if e.message == "" {
				t.Parallel() // who says nothing is waited for
			}
			want := strings.Fields(e.want)
			if len(want) != len(askers) {
				t.Fatalf("%d outcomes for %d askers", len(want), len(askers))
			}
			for i, who := range askers {
				if got := s.outcome(t, who, &e); got != want[i] {
					t.Errorf("%s: %s, want %s", who, got, want[i])
				}
			}
		})
	}
	for function, file := range map[string]string{ingestHears: "../ingest/edge_messages.go", liveHears: "../wire/live_client_decode.go"} {
		_, name, _ := strings.Cut(function, ".")
		for _, kind := range cases(t, file, name) {
			if !slices.ContainsFunc(exchanges, func(e exchange) bool { return e.of == function && e.kind == kind }) {
				t.Errorf("%s knows messages of %s, which have no entry in the matrix", function, kind)
			}
		}
	}
}

// cases are those of the switches in a function, as they are written.
func cases(t *testing.T, file, function string) (out []string) {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, 0)
	must(t, err)
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != function {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CaseClause); ok {
				for _, e := range c.List {
					var text strings.Builder
					must(t, printer.Fprint(&text, set, e))
					out = append(out, text.String())
				}
			}
			return true
		})
	}
	if len(out) == 0 {
		t.Fatalf("no cases in %s of %s", function, file)
	}
	return out
}

// answers collects what a socket is told.
type answers struct {
	gws.BuiltinEventHandler
	told chan string
}

func (a *answers) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	var message struct {
		Type    string
		Payload struct {
			Code     string
			Error    *wire.Error
			Rejected []wire.Rejection
		}
	}
	if json.Unmarshal(m.Bytes(), &message) != nil {
		a.told <- "unreadable"
		return
	}
	switch message.Type {
	case "welcome": // comes by itself
	case wire.TypeReceipt:
		switch p := message.Payload; {
		case p.Error != nil:
			a.told <- p.Error.Code
		case len(p.Rejected) > 0:
			a.told <- p.Rejected[0].Code
		default:
			a.told <- "ok"
		}
	case wire.TypeError:
		a.told <- message.Payload.Code
	default:
		a.told <- "ok"
	}
}

func (a *answers) OnClose(_ *gws.Conn, err error) {
	reason := fmt.Sprint(err)
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		reason = string(closed.Reason)
	}
	a.told <- "/" + reason
}

// outcome is what an asker is told first.
func (s *secured) outcome(t *testing.T, who string, e *exchange) string {
	t.Helper()
	header := http.Header{}
	if token := s.tokens[who]; token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	a := &answers{told: make(chan string, 16)}
	conn, _, err := gws.NewClient(a, &gws.ClientOption{Addr: strings.Replace(s.URL(), "http", "ws", 1) + e.path, RequestHeader: header})
	must(t, err)
	var loop sync.WaitGroup
	loop.Go(conn.ReadLoop)
	defer func() { _ = conn.NetConn().Close(); loop.Wait() }()
	if e.message != "" {
		_ = conn.WriteString(e.message) // fails on a connection that is closed
	}
	select {
	case told := <-a.told:
		return told
	case <-time.After(patience):
		return "nothing"
	}
}
