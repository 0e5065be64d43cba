package ingest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"time"
)

// incoming is what a connection is read from. It follows the frames, and holds back the last byte of a header
// that announces a large message until there is room for it: assembly allocates what a header announces. So a client
// that only announces costs nothing beyond the server's budget. It is the reader's.
//
// What has been taken is given back when the message has been dealt with. No message waits for room while one
// before it, on the same connection, has some: a header is looked at again only when all before it is done.
type incoming struct {
	c     *conn
	ahead []byte // read from the socket and not yet handed on

	framing  framing
	held     int64 // of the server's budget
	controls rate
}

// newIncoming goes on where net/http stopped: clients may send frames along with their request. Its reader is
// not kept: its 4 KiB would stay with every idle connection.
func newIncoming(c *conn, read *bufio.Reader) incoming {
	in := incoming{c: c, controls: rate{perSecond: controlsPerSecond, atOnce: controlsAtOnce}}
	if n := read.Buffered(); n > 0 {
		early, _ := read.Peek(n) // all of it is there
		in.ahead = bytes.Clone(early)
	}
	return in
}

// Read reads into p what assembly is to have: at least one byte, or there is an error.
func (in *incoming) Read(p []byte) (int, error) {
	n, err := in.fill(p)
	if n == 0 {
		return 0, err
	}
	n, err = in.follow(p[:n], err)
	in.heard(n)
	came := int(in.framing.controls)
	in.framing.controls = 0
	if came > 0 && !in.controls.allow(came, nowMicros()) {
		in.c.breaks(manyControls)
		return 0, net.ErrClosed
	}
	return n, err
}

func (in *incoming) fill(p []byte) (int, error) {
	if len(in.ahead) == 0 {
		return in.c.net.Read(p)
	}
	n := copy(p, in.ahead)
	if in.ahead = in.ahead[n:]; len(in.ahead) == 0 {
		in.ahead = nil
	}
	return n, nil
}

// follow hands on what of p may be, at least one byte.
func (in *incoming) follow(p []byte, failed error) (int, error) {
	for {
		n, wants := in.framing.advance(p, in.c.srv.cfg.MaxFrameBytes)
		broken := in.framing.broken
		if wants == 0 && broken == lawful {
			return n, failed
		}
		if n > 0 {
			in.ahead = append(bytes.Clone(p[n:]), in.ahead...)
			return n, nil // the socket fails again
		}
		if broken == lawful && in.framing.most > 0 {
			broken = earlyLarge // all that came before has been heard, and nobody has said who they are
		}
		if broken != lawful {
			in.c.breaks(broken)
			return 0, net.ErrClosed
		}
		if err := in.take(wants); err != nil {
			return 0, err
		}
		in.framing.grant()
	}
}

// heard notes that the client is there, and since when the message that is coming has been. That of the next
// message counts from where the one before is done.
func (in *incoming) heard(bytes int) {
	now := nowMicros()
	if in.held > 0 {
		in.c.came.Add(int64(bytes))
	}
	in.c.lastHeard.Store(now)
	switch {
	case !in.framing.inMessage():
		in.c.began.Store(0)
	case in.c.began.Load() == 0:
		in.c.began.Store(now)
	}
}

// take waits for room, until the connection or the server is to end. A connection that the server drains has
// the receipts it is owed, and then ends.
func (in *incoming) take(bytes int64) error {
	c := in.c
	if c.srv.pending.try(bytes) {
		in.hold(bytes)
		return nil
	}
	c.busy.Store(true)
	err := in.wait(bytes)
	c.idle()
	if err != nil {
		<-c.ctx.Done()
	}
	return err
}

// wait is for a connection that is marked as busy.
func (in *incoming) wait(bytes int64) error {
	c, s := in.c, in.c.srv
	asked := time.Now()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	defer context.AfterFunc(s.stopped, cancel)()
	err := s.pending.take(ctx, bytes)
	s.metrics.blockedPending.Add(time.Since(asked).Seconds())
	if err != nil {
		return fmt.Errorf("wait for room: %w", err)
	}
	in.hold(bytes)
	return nil
}

func (in *incoming) hold(bytes int64) {
	in.held = bytes
	in.c.came.Store(0)
	in.c.holds.Store(nowMicros())
}

// giveBack ends what the message needed room for.
func (in *incoming) giveBack() {
	if in.held > 0 {
		in.c.srv.pending.giveBack(in.held)
		in.held = 0
		in.c.holds.Store(0)
	}
}
