package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func connPair(t testing.TB) (client, server *conn) {
	client, server = newConnPair(func(*conn) {})
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestConnectionCarriesBytesInOrderBothWays(t *testing.T) {
	a, b := connPair(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	sent, back := sha256.New(), sha256.New()
	got, gotBack := sha256.New(), sha256.New()
	const total = 8 << 20
	send := func(c *conn, sum io.Writer, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		for n := 0; n < total; {
			chunk := make([]byte, min(1+rnd.IntN(400_000), total-n))
			for i := range chunk {
				chunk[i] = byte(rnd.Uint32())
			}
			sum.Write(chunk)
			if m, err := c.Write(chunk); err != nil || m != len(chunk) {
				t.Errorf("write: %d, %v", m, err)
				return
			}
			n += len(chunk)
		}
	}
	done := make(chan struct{}, 3)
	go func() { send(a, sent, 1); done <- struct{}{} }()
	go func() { send(b, back, 2); done <- struct{}{} }()
	go func() { io.CopyN(gotBack, a, total); done <- struct{}{} }()
	buf := make([]byte, 70_000)
	for n := 0; n < total; {
		m, err := b.Read(buf[:1+rnd.IntN(len(buf))])
		must(t, err)
		got.Write(buf[:m])
		n += m
	}
	for range 3 {
		<-done
	}
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) || !bytes.Equal(back.Sum(nil), gotBack.Sum(nil)) {
		t.Fatal("bytes differ")
	}
}

func TestDeadlineEndsAWaitAndCanBeMoved(t *testing.T) {
	a, b := connPair(t)
	buf := make([]byte, 8)
	a.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	var timeout net.Error
	if _, err := a.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("read: %v", err)
	}
	a.SetReadDeadline(time.Time{})
	b.Write([]byte("x"))
	if n, err := a.Read(buf); n != 1 || err != nil {
		t.Fatalf("read after the deadline was lifted: %d, %v", n, err)
	}
	errs := make(chan error)
	go func() { // waits without a deadline, then gets one that has passed
		_, err := a.Read(buf)
		errs <- err
	}()
	a.SetDeadline(time.Now().Add(-time.Second))
	if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("waiting read: %v", err)
	}
	b.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
	n, err := b.Write(make([]byte, 2*pipeLimit))
	if n != pipeLimit || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("write into a full pipe: %d, %v", n, err)
	}
}

func TestClosingEndsBothSides(t *testing.T) {
	a, b := connPair(t)
	a.Write([]byte("rest"))
	errs := make(chan error)
	go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
	a.Close()
	if err := <-errs; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("own read: %v", err)
	}
	if got, err := io.ReadAll(b); string(got) != "rest" || err != nil {
		t.Fatalf("peer read %q, %v", got, err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("peer write: %v", err)
	}
}

func TestNoPortIsOpened(t *testing.T) {
	before := sockets(t)
	b := open(t, Options{Dir: t.TempDir()})
	r := rawClient(t, b)
	must(t, r.createTopic("a", 1, nil))
	fill(t, r, "a", 0, 0, 10, 0)
	if after := sockets(t); len(after) > len(before) {
		t.Fatalf("sockets of this process: %v, before: %v", after, before)
	}
}

// sockets are this process's open sockets of any kind.
func sockets(t *testing.T) (out []string) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc")
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			out = append(out, to)
		}
	}
	return out
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	l := newListener() // nobody accepts
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.dial(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if l.open() != 0 {
		t.Fatal("the connection was not given back")
	}
}
