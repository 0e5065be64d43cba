package wsdial

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func answering(t *testing.T, status int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "ws://" + l.Addr().String()
}

func TestFailureSaysWhatToDoNext(t *testing.T) {
	for name, c := range map[string]struct{ url, hint string }{
		"nothing listens": {closedPort(t) + "/v1/ingest", "is `weir serve` running?"},
		"not a WebSocket": {"http://127.0.0.1:7420", "ws://"},
		"no scheme":       {"127.0.0.1:7420", "ws://"},
		"other path":      {answering(t, 404), "not at this path"},
		"starting":        {answering(t, 503), "try again"},
		"no credentials":  {answering(t, 401), "--token"},
		"other server":    {answering(t, 200), "does not speak"},
	} {
		_, err := Dial(t.Context(), c.url, gws.BuiltinEventHandler{}, nil)
		var failure *Error
		if !errors.As(err, &failure) {
			t.Errorf("%s: error %v, want an *Error", name, err)
			continue
		}
		if !strings.Contains(failure.Hint(), c.hint) {
			t.Errorf("%s: %v: hint %q, want one with %q", name, err, failure.Hint(), c.hint)
		}
		if !strings.Contains(err.Error(), c.url) {
			t.Errorf("%s: %q does not name the address", name, err)
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	accepted := make(chan net.Conn, 1)
	go func() {
		if conn, err := silent.Accept(); err == nil {
			accepted <- conn
			cancel()
		}
	}()
	begin := time.Now()
	if _, err := Dial(ctx, "ws://"+silent.Addr().String(), gws.BuiltinEventHandler{}, nil); err == nil {
		t.Error("connected to a server that says nothing")
	}
	if waited := time.Since(begin); waited >= Timeout {
		t.Errorf("waited %v", waited)
	}
	(<-accepted).Close()
}
