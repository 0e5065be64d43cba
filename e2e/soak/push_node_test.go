//go:build soak

package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// nodeViewers are the clients of sdk/ts in a process of Node's, which checks all they are told. It is ordered about, and
// answers, in lines of JSON: see sdk/ts/test/soak.
type nodeViewers struct {
	n       int
	process *exec.Cmd
	ended   chan struct{}

	mu     sync.Mutex // guards the following, and writes
	orders io.WriteCloser
	serial int
	asked  map[int]chan nodeAnswer

	closing atomic.Bool // it is to end
}

// errNodeKilled says that the process was killed with the order: whether it was carried out is not known.
var errNodeKilled = errors.New("the clients of sdk/ts were killed")

// nodeOrder is what a Node process is told to do. Of the fields, each order has its own.
type nodeOrder struct {
	Do      string   `json:"do"`
	Ref     int      `json:"ref,omitempty"` // of the answer; 0: none is wanted
	Client  int      `json:"client"`
	MS      int64    `json:"ms,omitempty"`
	Room    string   `json:"room,omitempty"`
	Type    string   `json:"type,omitempty"`
	Payload any      `json:"payload,omitempty"`
	Servers []string `json:"servers,omitempty"`
	Token   string   `json:"token,omitempty"`
	Clients []way    `json:"clients,omitempty"`
}

type nodeAnswer struct {
	Ref     int     `json:"ref"`
	Error   string  `json:"error"`
	ID      string  `json:"id"`
	Version int64   `json:"version"`
	Clients []*told `json:"clients"`
}

// startNode starts the process; that it ends before the test does, or writes what is no answer, fails the test.
func (p *pushSoak) startNode() *nodeViewers {
	p.Helper()
	log, err := os.OpenFile(filepath.Join(p.work, "node.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.Fatal(err)
	}
	defer log.Close()
	v := &nodeViewers{ended: make(chan struct{}), asked: map[int]chan nodeAnswer{}}
	v.process = exec.Command("node", "../../sdk/ts/test/soak/viewers.mjs")
	v.process.Stderr, v.process.SysProcAttr = log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if v.orders, err = v.process.StdinPipe(); err != nil {
		p.Fatal(err)
	}
	answers, err := v.process.StdoutPipe()
	if err != nil {
		p.Fatal(err)
	}
	if err := v.process.Start(); err != nil {
		p.Fatalf("start the clients of sdk/ts: %v", err)
	}
	go func() {
		defer close(v.ended)
		err := errors.Join(v.read(answers), v.process.Wait())
		if !v.closing.Load() {
			p.Errorf("the clients of sdk/ts ended: %v\n%s", err, tail(log.Name(), 40))
		}
	}()
	p.Cleanup(func() {
		v.closing.Store(true)
		_ = v.orders.Close()
		select {
		case <-v.ended:
		case <-time.After(10 * time.Second):
			_ = v.process.Process.Kill()
			<-v.ended
			p.Error("the clients of sdk/ts do not end")
		}
	})
	return v
}

func (v *nodeViewers) read(answers io.Reader) error {
	lines := bufio.NewScanner(answers)
	lines.Buffer(nil, 256<<20)
	for lines.Scan() {
		var a nodeAnswer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return fmt.Errorf("%w: %.300s", err, lines.Bytes())
		}
		v.mu.Lock()
		asked := v.asked[a.Ref]
		delete(v.asked, a.Ref)
		v.mu.Unlock()
		if asked == nil {
			return fmt.Errorf("nobody has asked for %.300s", lines.Bytes())
		}
		asked <- a
	}
	return lines.Err()
}

// tell orders what has no answer.
func (v *nodeViewers) tell(o nodeOrder) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, err = v.orders.Write(append(line, '\n')); err != nil && v.closing.Load() {
		return errNodeKilled
	}
	return err
}

// ask orders something and waits for the answer.
func (v *nodeViewers) ask(ctx context.Context, o nodeOrder) (nodeAnswer, error) {
	answer := make(chan nodeAnswer, 1)
	v.mu.Lock()
	v.serial++
	o.Ref = v.serial
	v.asked[o.Ref] = answer
	v.mu.Unlock()
	if err := v.tell(o); err != nil {
		return nodeAnswer{}, err
	}
	select {
	case a := <-answer:
		if a.Error != "" {
			return a, errors.New(a.Error)
		}
		return a, nil
	case <-v.ended:
		return nodeAnswer{}, errNodeKilled
	case <-ctx.Done():
		return nodeAnswer{}, fmt.Errorf("%s: %w", o.Do, ctx.Err())
	}
}

// begin makes the clients, which watch and are in their rooms when it returns.
func (v *nodeViewers) begin(ctx context.Context, servers []string, token string, ways []way) error {
	v.n = len(ways)
	_, err := v.ask(ctx, nodeOrder{Do: "begin", Servers: servers, Token: token, Clients: ways})
	return err
}

func (v *nodeViewers) report(ctx context.Context) ([]*told, error) {
	a, err := v.ask(ctx, nodeOrder{Do: "report"})
	if err == nil && len(a.Clients) != v.n {
		err = fmt.Errorf("%d of %d clients of sdk/ts report", len(a.Clients), v.n)
	}
	return a.Clients, err
}
