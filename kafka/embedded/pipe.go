package embedded

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeLimit bounds the bytes one direction holds unread; a writer waits while it is full. A direction keeps
// the largest buffer it needed.
const pipeLimit = 256 << 10

// pipe is one direction of a connection: a bounded byte queue. It costs a lock and a copy on either side,
// and a wake-up only if the other side waits.
type pipe struct {
	mu          sync.Mutex
	buf         []byte // buf[off:] is unread
	off         int
	readClosed  bool // the reader is gone: writes fail
	writeClosed bool // the writer is gone: reads end after the rest
	readable    waiter
	writable    waiter
}

func newPipe() *pipe {
	p := new(pipe)
	p.readable.init(&p.mu)
	p.writable.init(&p.mu)
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.readClosed:
			return 0, net.ErrClosed
		case p.readable.expired:
			return 0, os.ErrDeadlineExceeded
		case len(p.buf) > p.off || len(b) == 0:
			return p.takeLocked(b), nil
		case p.writeClosed:
			return 0, io.EOF
		}
		p.readable.waitLocked()
	}
}

func (p *pipe) takeLocked(b []byte) int {
	n := copy(b, p.buf[p.off:])
	p.off += n
	if p.off == len(p.buf) {
		p.off, p.buf = 0, p.buf[:0]
	}
	p.writable.wakeLocked()
	return n
}

func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.writeClosed:
			return n, net.ErrClosed
		case p.readClosed:
			return n, io.ErrClosedPipe
		case p.writable.expired:
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		}
		if room := pipeLimit - (len(p.buf) - p.off); room > 0 {
			m := min(room, len(b))
			p.appendLocked(b[:m])
			n, b = n+m, b[m:]
			p.readable.wakeLocked()
			continue
		}
		p.writable.waitLocked()
	}
}

func (p *pipe) appendLocked(b []byte) {
	if p.off > 0 && len(p.buf)+len(b) > cap(p.buf) {
		p.buf = p.buf[:copy(p.buf, p.buf[p.off:])]
		p.off = 0
	}
	p.buf = append(p.buf, b...)
}

func (p *pipe) closeRead() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readClosed, p.buf, p.off = true, nil, 0
	p.endLocked()
}

func (p *pipe) closeWrite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeClosed = true
	p.endLocked()
}

func (p *pipe) endLocked() {
	p.readable.endLocked()
	p.writable.endLocked()
}

// waiter is the side of a pipe that waits for the other, until a deadline. Its timer is armed only while
// somebody waits, so a deadline set around every request costs nothing when the answer is already there.
type waiter struct {
	cond     sync.Cond
	waiting  int
	deadline time.Time
	expired  bool
	timer    *time.Timer
}

func (w *waiter) init(mu *sync.Mutex) { w.cond.L = mu }

func (w *waiter) waitLocked() {
	if !w.deadline.IsZero() {
		left := time.Until(w.deadline)
		if left <= 0 {
			w.expired = true
			return
		}
		if w.timer == nil {
			w.timer = time.AfterFunc(left, w.fire)
		} else {
			w.timer.Reset(left)
		}
	}
	w.waiting++
	w.cond.Wait()
	w.waiting--
}

func (w *waiter) wakeLocked() {
	if w.waiting > 0 {
		w.cond.Broadcast()
	}
}

// fire wakes those who wait to look at the deadline again: it may have been moved meanwhile.
func (w *waiter) fire() {
	w.cond.L.Lock()
	defer w.cond.L.Unlock()
	w.wakeLocked()
}

func (w *waiter) setDeadline(t time.Time) {
	w.cond.L.Lock()
	defer w.cond.L.Unlock()
	w.deadline = t
	w.expired = !t.IsZero() && !time.Now().Before(t)
	w.wakeLocked()
}

func (w *waiter) endLocked() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.wakeLocked()
}
