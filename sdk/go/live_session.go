package device

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"weir/wire"
)

// liveSession is the use of one connection. All of it belongs to run.
type liveSession struct {
	l *Live
	k *liveLink

	timer    *time.Timer
	open     bool          // the server has said welcome, and OnConnection knows
	pinged   time.Duration // when, since the connection was opened
	renewing bool
	expiring bool // OnExpiring is to be told
	expires  time.Time
}

// use sends and waits until the connection is lost, which is an error, or the Live ends.
func (s *liveSession) use(token string) (away time.Duration, err error) {
	s.l.count.connects.Add(1)
	ctx, stop := context.WithCancel(s.l.ctx)
	defer stop()
	if s.l.o.TokenInMessage && token != "" {
		err = s.k.tell(authMessage(token))
	}
	for err == nil {
		err = s.step(ctx, &away)
	}
	s.k.close(s.l.ctx.Err() != nil)
	interrupted := errors.Is(err, errInterrupted)
	// A write can fail because the server has just closed: then the reader knows why.
	var closed *ClosedError
	if !interrupted && errors.As(s.k.err, &closed) {
		err = s.k.err
	}
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.groundLocked()
	if s.k.away > 0 && !interrupted {
		return s.k.away, &drainedError{err}
	}
	return away, err
}

// step does what is due, and waits for what comes next.
func (s *liveSession) step(ctx context.Context, away *time.Duration) error {
	was := s.open
	messages, again, err := s.due(ctx)
	if err != nil {
		return err
	}
	if s.open && !was {
		s.l.tell(Connection{Open: true})
	}
	if s.expiring {
		s.expiring = false
		if s.l.o.OnExpiring != nil {
			s.l.o.OnExpiring(s.expires)
		}
	}
	for _, m := range messages {
		if err := s.k.tell(m); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	wait, err := s.alive()
	if err != nil {
		return err
	}
	if again > 0 {
		wait = min(wait, again)
	}
	s.timer.Reset(wait)
	select {
	case <-s.k.closed:
		return s.k.err
	case t := <-s.l.fresh:
		return s.renewed(t)
	case <-s.timer.C:
	case <-s.l.wake:
	case *away = <-s.l.cut:
		return errInterrupted
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// alive fails when the server is silent for two heartbeats, and says when to look again.
func (s *liveSession) alive() (wait time.Duration, err error) {
	beat := s.l.o.Heartbeat
	s.l.mu.Lock()
	if s.k.heartbeat > 0 {
		beat = s.k.heartbeat
	}
	s.l.mu.Unlock()
	silent, _ := s.k.silence()
	if silent >= 2*beat {
		return 0, fmt.Errorf("the server was silent for %v", silent.Round(time.Millisecond))
	}
	wait = 2*beat - silent
	now := time.Since(s.k.opened)
	if !s.open {
		if now >= 2*beat {
			return 0, fmt.Errorf("no welcome within %v", 2*beat)
		}
		return min(wait, 2*beat-now), nil
	}
	if now-s.pinged >= beat {
		s.pinged = now
		ping := wire.Ping{Payload: []byte(`{"t":` + strconv.FormatInt(now.Microseconds(), 10) + `}`)}
		if err := s.k.tell(ping.Append(nil)); err != nil {
			return 0, fmt.Errorf("ping: %w", err)
		}
	}
	return max(0, min(wait, s.pinged+beat-now)), nil
}

// due takes the messages that are to be sent now, and how long until more may be, 0: not by time.
func (s *liveSession) due(ctx context.Context) (messages [][]byte, again time.Duration, err error) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.k.fault != nil {
		return nil, 0, s.k.fault
	}
	if s.k.renew {
		s.k.renew, s.expires = false, s.k.expires
		s.expiring = true
		s.renew(ctx)
	}
	if !s.k.greeted {
		return nil, 0, nil
	}
	if !s.open {
		s.open = true
		s.begin()
	}
	if l.o.Credit > 0 || l.o.ManualCredit {
		messages = appendMessage(messages, l.credit.due(l.o.Credit))
	}
	for _, id := range l.gone {
		messages = append(messages, (&wire.Unsubscribe{ID: id}).Append(nil))
	}
	// What was asked before is said before: a room may be left and joined again.
	messages = append(messages, l.out...)
	l.gone, l.out = nil, nil
	messages = appendMessage(messages, l.ackDueLocked())
	l.pace.sent(len(messages)) // these do not wait
	now := time.Now()
	for _, due := range []func(time.Time) ([][]byte, time.Duration){l.subscriptionsDueLocked, l.roomsDueLocked, l.sendsDueLocked} {
		more, wait := due(now)
		messages, again = append(messages, more...), sooner(again, wait)
	}
	return messages, again, nil
}

func appendMessage(list [][]byte, m []byte) [][]byte {
	if m == nil {
		return list
	}
	return append(list, m)
}

// begin is called under the lock when a server has said welcome.
func (s *liveSession) begin() {
	l := s.l
	l.state = LiveOpen
	s.pinged = -time.Hour // so that the way to the server is measured at once
	window := int64(l.o.Credit)
	if l.o.ManualCredit {
		window = l.credit.unused()
	}
	l.credit.begin(window)
	l.ackTold = 0
	l.pace.begin(l.o.MessageRate, time.Now())
}

// renew asks the token source for a credential for this connection. ctx ends with it.
func (s *liveSession) renew(ctx context.Context) {
	if s.renewing || s.l.o.TokenSource == nil {
		return
	}
	s.renewing = true
	s.l.work.Go(func() {
		token, err := s.l.o.TokenSource(ctx)
		select {
		case s.l.fresh <- freshToken{asked: s.k, token: token, err: err}:
		case <-ctx.Done():
		}
	})
}

func (s *liveSession) renewed(t freshToken) error {
	if t.asked != s.k {
		return nil // this connection began with a token of its own
	}
	s.renewing = false
	if t.err != nil {
		// The server will close with token_expired; then the source is asked again.
		s.l.log.Warn("no new token", "error", t.err)
		return nil //nolint:nilerr // told; the connection goes on for as long as it may
	}
	if err := s.k.tell(authMessage(t.token)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// groundLocked forgets a connection.
func (l *Live) groundLocked() {
	l.current = nil
	clear(l.leaving)
	clear(l.byID)
	clear(l.byView)
	l.out, l.gone = nil, nil
	lose(&l.asks.stats)
	lose(&l.asks.rooms)
	for _, s := range l.subs {
		s.groundLocked()
	}
	for _, r := range l.rooms {
		r.groundLocked()
	}
	for _, s := range l.sends {
		s.sent = false
	}
}
