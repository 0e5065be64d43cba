package device

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/wire"
)

// session is the use of one connection. All of it belongs to the client's run.
type session struct {
	*Client
	*link

	began    time.Time
	away     time.Duration // how long to stay away afterwards
	lanes    [lanes]laneState
	mute     bool  // the server has not yet taken the credential that was sent as a message
	draining bool  // no frame is sent any more
	asked    int64 // what heard was when the server was last pinged

	head     []byte
	renewing bool // the token source is being asked
}

// laneState is what the server allows a lane: it may refuse the backlog for long and take all that is live.
type laneState struct {
	credit int       // how many frames may be in flight; of the live lane: in both
	pause  time.Time // no frame is sent before
}

func newSession(c *Client, l *link) *session {
	s := &session{Client: c, link: l, began: time.Now(), asked: -1}
	for i := range s.lanes {
		s.lanes[i].credit = firstCredit
	}
	return s
}

// use sends and takes messages until the connection is lost, which is an error, or the client ends.
func (s *session) use(token string) (err error) {
	s.count.connects.Add(1)
	ctx, stop := context.WithCancel(s.ctx)
	defer func() {
		s.setOnline(false)
		s.close(s.ctx.Err() != nil)
		s.takeAll(ctx) // receipts that came with the end
		s.mu.Lock()
		s.queue.ground()
		s.mu.Unlock()
		stop()
		// A write can fail because the server has just closed: then the reader knows why.
		var closed *ClosedError
		if !errors.Is(err, errInterrupted) && errors.As(s.err, &closed) {
			err = s.err
		}
	}()
	if err := s.open(token); err != nil {
		return err
	}
	s.log.Debug("connected")
	s.tellOpen()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake, err := s.pump(time.Now())
		if err != nil {
			return err
		}
		timer.Reset(time.Until(wake))
		select {
		case <-s.ready:
			s.takeAll(ctx)
		case <-s.closed:
			return s.err
		case r := <-s.results:
			if err := s.finished(r); err != nil {
				return err
			}
		case <-timer.C:
		case <-s.wake:
		case s.away = <-s.cut:
			return errInterrupted
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

func (s *session) setOnline(online bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.online = online
}

func (s *session) tellOpen() { s.Client.tell(Connection{Open: true}) }

// open says who the device is, and decides the lanes of what has waited.
func (s *session) open(token string) error {
	if s.o.TokenInMessage && token != "" {
		s.mute = true
		if err := s.link.tell(authMessage(token)); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.online = true
	s.greet = s.hello != nil
	deadline := int64(0)
	if s.o.BacklogAfter > 0 {
		deadline = s.began.Add(-s.o.BacklogAfter).UnixMilli()
	}
	// The store first: what may be sent must have its lane for good.
	first, aged, last := s.queue.plan(deadline)
	if aged > 0 {
		if err := s.store.decide(first, aged, backlog); err != nil {
			return err
		}
		first = aged + 1
	}
	if last >= first && last > 0 {
		if err := s.store.decide(first, last, live); err != nil {
			return err
		}
	}
	s.queue.decide(aged)
	return nil
}

// pump sends what may be sent now, and returns when to look again unless something comes before.
func (s *session) pump(now time.Time) (wake time.Time, err error) {
	if wake, err = s.alive(now); err != nil {
		return wake, err
	}
	if s.mute {
		return wake, nil
	}
	if err := s.sendHello(); err != nil {
		return wake, err
	}
	for !s.draining {
		e, body, err := s.launch(now)
		if err != nil {
			return wake, err
		}
		if e == nil {
			return s.resumes(now, wake), nil
		}
		if err := s.send(e, body); err != nil {
			return wake, err
		}
		wake = earlier(wake, now.Add(s.o.ReceiptTimeout))
	}
	return wake, nil
}

// alive fails when the server is silent for too long, and pings it before that.
func (s *session) alive(now time.Time) (wake time.Time, err error) {
	silent, heard := s.silence()
	wake = now.Add(s.o.KeepAlive - silent)
	if silent >= 2*s.o.KeepAlive {
		return wake, fmt.Errorf("the server was silent for %v", silent.Round(time.Second))
	}
	if silent >= s.o.KeepAlive {
		wake = wake.Add(s.o.KeepAlive)
		if heard != s.asked {
			s.asked = heard
			if err := s.ping(); err != nil {
				return wake, fmt.Errorf("ping: %w", err)
			}
		}
	}
	if s.mute {
		due := s.began.Add(s.o.ReceiptTimeout)
		if !now.Before(due) {
			return wake, fmt.Errorf("no answer to the credentials within %v", s.o.ReceiptTimeout)
		}
		wake = earlier(wake, due)
	}
	// Only this goroutine changes what is in flight.
	if len(s.queue.flight) > 0 {
		due := s.queue.flight[0].sent.Add(s.o.ReceiptTimeout)
		if !now.Before(due) {
			return wake, fmt.Errorf("no receipt within %v", s.o.ReceiptTimeout)
		}
		wake = earlier(wake, due)
	}
	return wake, nil
}

func (s *session) sendHello() error {
	s.mu.Lock()
	message, due := s.hello, s.greet
	s.greet = false
	s.mu.Unlock()
	if !due {
		return nil
	}
	if err := s.link.tell(message); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// resumes is when a pause ends that ends before wake.
func (s *session) resumes(now, wake time.Time) time.Time {
	for i := range s.lanes {
		if pause := s.lanes[i].pause; now.Before(pause) {
			wake = earlier(wake, pause)
		}
	}
	return wake
}

// next is the frame to send, or nil when there is none, or no lane that has one may send: live before backlog.
func (s *session) next(now time.Time) *entry {
	if len(s.queue.flight) >= min(s.lanes[live].credit, spread) {
		return nil
	}
	for _, of := range []lane{live, backlog} {
		if p := &s.lanes[of]; now.Before(p.pause) || s.queue.flying(of) >= p.credit {
			continue
		}
		if e := s.queue.next(of); e != nil {
			return e
		}
	}
	return nil
}

// launch moves the next frame into flight, or returns nil when none may be sent.
func (s *session) launch(now time.Time) (*entry, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.next(now)
	if e == nil {
		return nil, nil, nil
	}
	if seq, ok := s.store.unsettled(); ok && e.seq > seq && e.seq-seq >= spread {
		// A crash now must not bring back a number that the server has forgotten by then.
		if err := s.store.settle(); err != nil {
			return nil, nil, err
		}
	}
	body, err := s.store.read(e)
	if err != nil {
		return nil, nil, err
	}
	s.queue.launch(e, s.frames+1, now)
	return e, body, nil
}

func (s *session) send(e *entry, body []byte) error {
	s.head = s.enc.head(s.head[:0], e)
	if _, err := s.link.send(s.enc.opcode(), s.head, body); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if e.again {
		s.count.resent.Add(1)
		return nil
	}
	s.mu.Lock()
	e.again = true
	s.mu.Unlock()
	s.count.frames.Add(1)
	s.count.sent.Add(int64(e.readings))
	return nil
}

func (s *session) takeAll(ctx context.Context) {
	for _, m := range s.messages() {
		s.take(ctx, m)
	}
}

// take does what a message of the server asks for. ctx ends with the connection.
func (s *session) take(ctx context.Context, m message) {
	if m.receipt != nil {
		s.progress = true
		s.receipt(m.receipt, time.Now())
		return
	}
	switch m.kind {
	case wire.TypeAuthenticated:
		s.mute, s.progress = false, true
	case wire.TypeTokenExpiring:
		s.renew(ctx)
	case wire.TypeDraining:
		s.drain(m.payload)
	case typeCommand:
		s.command(m.payload)
	case wire.TypeError:
		s.log.Warn("the server reports an error", "error", string(m.payload))
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
