package device

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

// The crash test runs this test binary as a device that is killed again and again. The child prints its session, and
// the value of each reading that Send has taken; what it has not printed may or may not have been taken.
const (
	crashURL    = "WEIR_CRASH_URL"
	crashBuffer = "WEIR_CRASH_BUFFER"
	crashFirst  = "WEIR_CRASH_FIRST"
)

// crashChild is the device, if this process is to be it.
func crashChild() bool {
	url := os.Getenv(crashURL)
	if url == "" {
		return false
	}
	first, err := strconv.ParseInt(os.Getenv(crashFirst), 10, 64)
	if err != nil {
		panic(err)
	}
	c, err := New(Options{
		URL: url, Device: "plant1/press1",
		Buffer: Disk(os.Getenv(crashBuffer), BufferLimits{NoSync: true, WhenFull: Wait, Frames: 1_000_000}),
		Retry:  Retry{First: 20 * time.Millisecond, Max: 50 * time.Millisecond},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(c.Session())
	for v := first; ; v++ {
		if _, err := c.Send(context.Background(), At("t", float64(v), time.Now())); err != nil {
			panic(err)
		}
		fmt.Println(v)
	}
}

// keeper is a server that stores what comes, as Weir de-duplicates it, and loses connections now and then.
type keeper struct {
	gws.BuiltinEventHandler
	mu       sync.Mutex
	book     *ledger
	rng      *rand.Rand
	sessions map[string]bool
	faithful bool
	reader   sync.WaitGroup
}

func (k *keeper) OnOpen(socket *gws.Conn) { socket.Session().Store("frames", new(uint64)) }

func (k *keeper) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	a := &arrival{raw: message.Data.String()}
	if err := json.Unmarshal(message.Bytes(), a); err != nil {
		panic(err)
	}
	counter, _ := socket.Session().Load("frames")
	frames := counter.(*uint64)
	*frames++
	r := &wire.Receipt{Frame: *frames, Credit: 64}
	k.mu.Lock()
	if k.book.store(a, -1) {
		r.Duplicate = 1
	} else {
		r.Accepted = 1
	}
	k.sessions[a.Session] = true
	lose := !k.faithful && k.rng.IntN(300) == 0
	k.mu.Unlock()
	if lose {
		socket.NetConn().Close()
		return
	}
	_ = socket.WriteMessage(gws.OpcodeText, r.Append(nil))
}

func (k *keeper) serve(t *testing.T) string {
	upgrader := gws.NewUpgrader(k, &gws.ServerOption{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if socket, err := upgrader.Upgrade(w, r); err == nil {
			k.reader.Go(socket.ReadLoop)
		}
	}))
	t.Cleanup(func() { web.Close(); k.reader.Wait() })
	return "ws" + strings.TrimPrefix(web.URL, "http") + "/v1/ingest"
}

// TestDiskBufferOutlivesKills kills the device at random points. What Send took is stored once, whatever happened to
// receipts. Without syncs each life has a session of its own.
func TestDiskBufferOutlivesKills(t *testing.T) {
	kills := 12
	if testing.Short() {
		kills = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	k := &keeper{book: newLedger(), rng: rand.New(rand.NewPCG(seed, 2)), sessions: map[string]bool{}}
	url := k.serve(t)
	path := filepath.Join(t.TempDir(), "buffer")
	next := int64(1)
	taken := map[float64]bool{}
	lives := map[string]bool{}
	for range kills {
		target := url
		if rng.IntN(3) == 0 {
			target = closedPort(t) // offline
		}
		session, last := runUntilKilled(t, target, path, next, 1+rng.IntN(400), time.Duration(rng.IntN(3000))*time.Microsecond)
		if session == "" || lives[session] {
			t.Errorf("session %q is not one of its own", session)
		}
		lives[session] = true
		for v := next; v <= last; v++ {
			taken[float64(v)] = true
		}
		next = last + 1_000 // values of readings that were taken but not printed must not come again
	}
	k.mu.Lock()
	k.faithful = true
	k.mu.Unlock()
	c, err := New(Options{URL: url, Device: "plant1/press1", Buffer: Disk(path, BufferLimits{})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session := c.Session()
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if lives[session] {
		t.Errorf("session %q, which was without syncs, goes on", session)
	}
	lives[session] = true
	if len(taken) < kills {
		t.Fatalf("only %d readings were taken", len(taken))
	}
	for v := range taken {
		if n := k.book.count[v]; n != 1 {
			t.Errorf("reading %v is stored %d times", v, n)
		}
	}
	for v, n := range k.book.count {
		if n > 1 {
			t.Errorf("reading %v is stored %d times", v, n)
		}
	}
	for session := range k.sessions {
		if !lives[session] {
			t.Errorf("session %q came, and is of no life", session)
		}
	}
	for _, problem := range k.book.wrong {
		t.Error(problem)
	}
}

// runUntilKilled runs a device, kills it a moment after it has printed so many readings, and returns its session and the
// last one.
func runUntilKilled(t *testing.T, url, path string, first int64, lines int, moment time.Duration) (session string, last int64) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashURL+"="+url, crashBuffer+"="+path, fmt.Sprintf("%s=%d", crashFirst, first))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	last = first - 1
	scan := bufio.NewScanner(out)
	if scan.Scan() {
		session = scan.Text()
	}
	for scan.Scan() {
		v, err := strconv.ParseInt(scan.Text(), 10, 64)
		if err != nil {
			break // the last line was cut
		}
		if v != last+1 {
			break
		}
		last = v
		if lines--; lines == 0 {
			time.AfterFunc(moment, func() { _ = child.Process.Kill() })
		}
	}
	_ = child.Wait()
	return session, last
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "ws://" + l.Addr().String() + "/v1/ingest"
}
