package sim

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// envelope is a frame as a server reads it.
type envelope struct {
	Device   string `json:"device"`
	Session  string `json:"session"`
	Seq      uint64 `json:"seq"`
	Readings []struct {
		Metric string  `json:"metric"`
		Time   int64   `json:"ts"`
		Value  float64 `json:"value"`
	} `json:"readings"`
}

// arrival is a frame on one of the server's connections, both counted from 1.
type arrival struct {
	envelope
	socket        *gws.Conn
	conn          int
	frame, flying uint64
}

// server is an ingest endpoint that does what its test says. answer is called for each frame in the
// goroutine of its connection; what it returns is sent as the receipt, nil sends none.
type server struct {
	gws.BuiltinEventHandler
	url    string
	answer func(a *arrival) *wire.Receipt

	mu       sync.Mutex
	conns    []*peer
	arrivals []*arrival
	closes   []error
	changed  chan struct{}
}

type peer struct {
	socket           *gws.Conn
	frames, answered uint64
}

// accept is the answer of a server that is content.
func accept(a *arrival) *wire.Receipt {
	return &wire.Receipt{Accepted: len(a.Readings), Credit: 8}
}

func startServer(t *testing.T, answer func(a *arrival) *wire.Receipt) *server {
	t.Helper()
	s := &server{answer: answer, changed: make(chan struct{}, 1)}
	upgrader := gws.NewUpgrader(s, &gws.ServerOption{})
	var readers sync.WaitGroup
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		readers.Go(socket.ReadLoop)
	}))
	s.url = "ws" + strings.TrimPrefix(web.URL, "http") + "/v1/ingest"
	t.Cleanup(func() {
		s.mu.Lock()
		for _, p := range s.conns {
			p.socket.NetConn().Close()
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
	s.conns = append(s.conns, &peer{socket: socket})
	socket.Session().Store("number", len(s.conns))
}

func (s *server) OnClose(_ *gws.Conn, err error) {
	s.mu.Lock()
	s.closes = append(s.closes, err)
	s.mu.Unlock()
	s.signal()
}

func (s *server) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	number, _ := socket.Session().Load("number")
	a := &arrival{socket: socket, conn: number.(int)}
	if err := json.Unmarshal(message.Bytes(), &a.envelope); err != nil {
		panic(err)
	}
	s.mu.Lock()
	p := s.conns[a.conn-1]
	p.frames++
	a.frame, a.flying = p.frames, p.frames-p.answered
	s.arrivals = append(s.arrivals, a)
	s.mu.Unlock()
	if r := s.answer(a); r != nil {
		s.reply(a, r)
	}
	s.signal()
}

func (s *server) reply(a *arrival, r *wire.Receipt) {
	s.mu.Lock()
	s.conns[a.conn-1].answered++
	s.mu.Unlock()
	r.Frame, r.Seq, r.HasSeq = a.frame, a.Seq, true
	_ = a.socket.WriteMessage(gws.OpcodeText, r.Append(nil))
}

func (s *server) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *server) seen() []*arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*arrival(nil), s.arrivals...)
}

// waitFor blocks until condition holds, looking again whenever the server has seen something.
func (s *server) waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-s.changed:
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}
