package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/auth"
	"weir/auth/authtest"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Keeper behind a Router.
type world struct {
	*auth.Keeper
	t      *testing.T
	store  *authtest.Store
	router *auth.Router
	log    *lockedBuffer
	now    func() time.Time
}

func open(t *testing.T, change func(*auth.Options)) *world {
	t.Helper()
	o := auth.Options{Config: auth.DefaultConfig(), DataDir: t.TempDir(), Now: time.Now}
	w := &world{t: t, store: authtest.NewStore(), log: new(lockedBuffer)}
	o.Store, o.Logger = w.store, slog.New(slog.NewTextHandler(w.log, nil))
	if change != nil {
		change(&o)
	}
	w.now = o.Now
	k, err := auth.New(o)
	must(t, err)
	w.Keeper, w.router = k, auth.NewRouter(k, auth.OriginPolicy{})
	k.Routes(w.router)
	w.router.HandleFunc("POST /act", auth.SignedIn, func(http.ResponseWriter, *http.Request) {})
	return w
}

// run runs the Keeper until the test ends.
func (w *world) run() *world {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); must(w.t, <-ended) })
	select {
	case <-w.Ready():
	case <-time.After(30 * time.Second):
		w.t.Fatal("not ready")
	}
	return w
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

type answer struct {
	status int
	body   map[string]any
	raw    string
	header http.Header
}

func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	if path, _ := e["path"].(string); path != "" {
		code += " " + path
	}
	return code
}

func (a answer) text(name string) string {
	text, _ := a.body[name].(string)
	return text
}

// ask sends a request with a credential; body may be nil.
func (w *world) ask(method, path, credential string, body any) answer {
	w.t.Helper()
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		must(w.t, err)
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(text))
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	return w.serve(r)
}

func (w *world) serve(r *http.Request) answer {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.router.ServeHTTP(rec, r)
	a := answer{status: rec.Code, raw: rec.Body.String(), header: rec.Header()}
	_ = json.Unmarshal(rec.Body.Bytes(), &a.body)
	return a
}

// operator is an admin's session, by a one-time link.
func (w *world) operator() string {
	w.t.Helper()
	link, err := w.OperatorLink("http://weir.test")
	must(w.t, err)
	_, code, _ := strings.Cut(link, "#code=")
	a := w.ask("POST", "/v1/session", "", map[string]any{"code": code, "refresh": true})
	if a.status != 200 {
		w.t.Fatalf("%d %s", a.status, a.raw)
	}
	return a.text("access_token")
}

// count is how many records the store holds with a prefix.
func (w *world) count(prefix string) (n int) {
	w.store.Range(prefix, func(string, []byte) bool { n++; return true })
	return n
}

type object = map[string]any

// key makes an API key.
func (w *world) key(by string, body object) (id, key string) {
	w.t.Helper()
	a := w.ask("POST", "/v1/keys", by, body)
	if a.status != 201 {
		w.t.Fatalf("%d %s", a.status, a.raw)
	}
	return a.text("id"), a.text("key")
}

// token makes a token.
func (w *world) token(by string, body object) string {
	w.t.Helper()
	a := w.ask("POST", "/v1/tokens", by, body)
	if a.status != 201 {
		w.t.Fatalf("%d %s", a.status, a.raw)
	}
	return a.text("token")
}

// refusal is the code with which a credential is refused, "" if it is not.
func refusal(g auth.Gate, credential string) string {
	_, err := g.Token(context.Background(), credential)
	if err == nil {
		return ""
	}
	if errors.Is(err, auth.ErrNoCredentials) {
		return "none"
	}
	return auth.Refusal(err).Code
}

func (w *world) wantRefusal(credential, code string) {
	w.t.Helper()
	if got := refusal(w, credential); got != code {
		w.t.Errorf("refused with %q, want %q", got, code)
	}
}

// watch is the channel of a watch's end.
func (w *world) watch(credential string) (<-chan string, func()) {
	w.t.Helper()
	p, err := w.Token(context.Background(), credential)
	must(w.t, err)
	return watchOf(w, p)
}

func watchOf(g auth.Gate, p *auth.Principal) (<-chan string, func()) {
	ended := make(chan string, 2)
	return ended, g.Watch(p, func(e *wire.Error) { ended <- e.Code })
}

func wantEnd(t *testing.T, ended <-chan string, code string) {
	t.Helper()
	select {
	case got := <-ended:
		if got != code {
			t.Errorf("ended with %s, want %s", got, code)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("did not end with %s", code)
	}
}

func wantOpen(t *testing.T, ended <-chan string) {
	t.Helper()
	select {
	case got := <-ended:
		t.Fatalf("ended with %s", got)
	default:
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
