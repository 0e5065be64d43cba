//go:build realkafka

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is one `weir serve`.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	addr string
	log  lockedBuffer
	done chan struct{}
}

// serve starts the binary with the roles on a free loopback port and waits until it is ready.
func serve(t *testing.T, name, roles, brokers string) *process {
	t.Helper()
	binary := os.Getenv("WEIR_BIN")
	if binary == "" {
		t.Fatal("WEIR_BIN is not set: run `make test-kafka`, or build with `make build` and set it to bin/weir")
	}
	p := &process{t: t, name: name, addr: freeAddress(t), done: make(chan struct{})}
	p.cmd = exec.Command(binary, "serve", "--roles", roles, "--kafka-brokers", brokers, "--listen", p.addr,
		"--data", t.TempDir(), "--insecure-open")
	// Short enough that a test need not wait a minute until a dead owner's partitions move.
	p.cmd.Env = append(os.Environ(), "WEIR_PIPELINE__SESSION_TIMEOUT=6s", "WEIR_ADMIN_LISTEN=off")
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.log.tail(60))
		}
	})
	p.waitReady(30 * time.Second)
	return p
}

// signal ignores that the process may have ended.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

func (p *process) waitReady(limit time.Duration) {
	p.t.Helper()
	eventually(p.t, limit, p.name+" is ready", func() error {
		select {
		case <-p.done:
			p.t.Fatalf("%s ended before it was ready:\n%s", p.name, p.log.tail(60))
		default:
		}
		_, err := p.get("/readyz")
		return err
	})
}

func (p *process) get(path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+path, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s %s", path, response.Status, body.String())
	}
	return body.String(), nil
}

// ownedPartitions is how many partitions a pipeline owns: the gauges of a partition exist while it is owned.
func (p *process) ownedPartitions() int {
	body, err := p.get("/metrics")
	if err != nil {
		return 0
	}
	return strings.Count(body, "weir_pipeline_devices{partition=")
}

// eventually polls a condition, because what it waits for happens in another process.
func eventually(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = check(); last == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s: %v", limit, what, last)
		case <-tick.C:
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) tail(lines int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := strings.Split(strings.TrimRight(b.buf.String(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
