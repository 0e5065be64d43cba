//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// program is a process that is started again whenever it ends.
type program struct {
	name    string
	command func() *exec.Cmd
	log     string // file

	kills, ends atomic.Int64 // by the test, by itself
	busy        atomic.Bool  // a fault is at work on it

	away      chan time.Duration // how long to stay away after the kill that follows
	finishing atomic.Bool
	running   atomic.Bool
	done      chan struct{} // it has ended for good

	mu    sync.Mutex
	cmd   *exec.Cmd
	last  error // how the latest process ended
	count int
}

// launch starts a program and keeps it running until finish, or the end of the test.
func launch(t *testing.T, p *program) *program {
	t.Helper()
	p.away, p.done = make(chan time.Duration, 1), make(chan struct{})
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	t.Cleanup(func() {
		p.finishing.Store(true)
		p.signal(syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.name, tail(p.log, 40))
		}
	})
	return p
}

func (p *program) run(started chan<- error) {
	defer close(p.done)
	for {
		cmd, err := p.start()
		if started != nil {
			started <- err
			started = nil
		}
		if err != nil {
			p.last = err
			return
		}
		p.running.Store(true)
		err = cmd.Wait()
		p.running.Store(false)
		p.mu.Lock()
		p.last = err
		p.mu.Unlock()
		select {
		case away := <-p.away:
			time.Sleep(away)
			if p.finishing.Load() {
				return
			}
			continue
		default:
		}
		if p.finishing.Load() {
			return
		}
		p.ends.Add(1)
		time.Sleep(500 * time.Millisecond)
	}
}

func (p *program) start() (*exec.Cmd, error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = log, log
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.cmd = cmd
	p.count++
	return cmd, nil
}

// signal ignores that the process may have ended.
func (p *program) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(sig)
	}
}

func (p *program) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// kill ends the process without warning; it comes back after so long.
func (p *program) kill(away time.Duration) {
	select {
	case p.away <- away:
		p.kills.Add(1)
		p.signal(syscall.SIGKILL)
	default: // it is away already
	}
}

// revived waits until the process is back.
func (p *program) revived() error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if len(p.away) == 0 && p.running.Load() {
			return nil
		}
	}
	return errors.New(p.name + " does not come back")
}

// finish asks it to end and waits until it has. The error is how it ended.
func (p *program) finish(limit time.Duration) error {
	p.finishing.Store(true)
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.last
	case <-time.After(limit):
		return fmt.Errorf("%s has not ended within %v", p.name, limit)
	}
}

// server is a `weir serve`.
type server struct {
	*program
	addr string
	data string
}

// serve starts one with the arguments, on a port that stays the same.
func serve(t *testing.T, name, addr string, env []string, args ...string) *server {
	t.Helper()
	return serveIn(t, t.TempDir(), name, addr, env, args...)
}

// serveIn starts one whose data and log are in dir. It ends with this process, so that another may go on there.
func serveIn(t *testing.T, dir, name, addr string, env []string, args ...string) *server {
	t.Helper()
	data := filepath.Join(dir, name)
	binary := weirBinary(t)
	s := &server{addr: addr, data: data}
	s.program = launch(t, &program{name: name, log: data + ".log", command: func() *exec.Cmd {
		cmd := exec.Command(binary, append([]string{"serve", "--listen", addr, "--data", data}, args...)...)
		cmd.Env = append(os.Environ(), env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd
	}})
	return s
}

// checkServerLogs finds in the logs of a directory what must not happen whatever breaks.
func checkServerLogs(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Errorf("no logs: %v", err)
	}
	for _, file := range logs {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(body)) {
			if strings.Contains(line, "panic") || strings.Contains(line, "fatal error") || strings.Contains(line, "deleted unread") {
				t.Errorf("%s: %s", filepath.Base(file), line)
			}
		}
	}
}

func (s *server) ready(ctx context.Context) error {
	_, err := s.get(ctx, "/readyz", "")
	return err
}

// get asks a server, as the holder of a token.
func (s *server) get(ctx context.Context, path, token string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var body strings.Builder
	buffer := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buffer)
		body.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s %.200s", path, response.Status, body.String())
	}
	return body.String(), nil
}

// metric sums up the values of a metric over its labels; it fails when there is none.
func (s *server) metric(ctx context.Context, token, name string) (float64, error) {
	text, err := s.get(ctx, "/metrics", token)
	if err != nil {
		return 0, err
	}
	return sumOf(text, name)
}

func sumOf(exposition, name string) (sum float64, err error) {
	found := false
	for line := range strings.Lines(exposition) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+value, true
	}
	if !found {
		return 0, errors.New("no metric " + name)
	}
	return sum, nil
}

// eventually polls a condition, because what it waits for happens in another process.
func eventually(t *testing.T, limit time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var why error // of the newest check that had its time
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if why == nil || ctx.Err() == nil {
			why = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %s: %v", limit, what, why)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var nextPort atomic.Int64

// freeAddress is on a loopback port that no connection of this machine takes by itself while nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := 20_000 + (int64(os.Getpid())*37+nextPort.Add(1))%10_000
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

func tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
