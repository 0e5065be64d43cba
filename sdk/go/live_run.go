package device

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// freshToken is what the token source gave for the connection that asked.
type freshToken struct {
	asked *liveLink
	token string
	err   error
}

// run connects, and connects again, until the Live is closed or must give up.
func (l *Live) run() {
	defer close(l.done)
	defer l.work.Wait()
	waits := l.o.Retry.waits()
	for failed := 1; ; failed++ {
		away, progress, err := l.attempt()
		if l.ctx.Err() != nil {
			l.finish(ErrClosed)
			return
		}
		if progress {
			waits.Reset()
			failed = 0
		}
		if why := l.o.Retry.hopeless(err, failed, l.o.TokenSource != nil); why != nil {
			l.log.Error("given up", "error", why)
			l.finish(fmt.Errorf("live: given up: %w", why))
			return
		}
		l.setState(LiveWaiting)
		var draining *drainedError
		if !errors.As(err, &draining) {
			away += waits.NextBackOff() // who is told how long to stay away still spreads out
		}
		if !stayAway(l.ctx, away, l.cut) {
			l.finish(ErrClosed)
			return
		}
		l.setState(LiveConnecting)
	}
}

// drainedError is the end of a connection to a server that has said when to come back, at random already.
type drainedError struct{ error }

func (e *drainedError) Unwrap() error { return e.error }

func (l *Live) setState(s LiveState) {
	l.mu.Lock()
	l.state = s
	l.mu.Unlock()
}

// finish ends subscriptions, rooms and all who wait.
func (l *Live) finish(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state, l.failure = LiveEnded, why
	for _, s := range l.subs {
		s.endLocked(why)
	}
	for _, r := range l.rooms {
		r.endLocked(why)
	}
	for _, s := range l.sends {
		s.end(0, why)
	}
	l.subs, l.rooms, l.sends = nil, nil, nil
}

// attempt opens one connection and uses it until it is lost. away is how long to stay away at least; progress says that
// the server was there and took part.
func (l *Live) attempt() (away time.Duration, progress bool, err error) {
	token, err := l.token(l.ctx)
	var k *liveLink
	if err != nil {
		err = fmt.Errorf("get a token: %w", err)
	} else {
		k, err = l.dial(l.ctx, token)
	}
	if err != nil {
		if l.ctx.Err() == nil {
			l.count.dialErrors.Add(1)
			l.log.Debug("not connected", "reason", err)
			l.tell(Connection{Err: err})
		}
		var dial *DialError
		if errors.As(err, &dial) {
			away = dial.RetryAfter
		}
		return away, false, err
	}
	s := liveSession{l: l, k: k, timer: time.NewTimer(time.Hour)}
	defer s.timer.Stop()
	away, err = s.use(token)
	if l.ctx.Err() == nil {
		l.log.Debug("connection lost", "reason", err)
	}
	l.tell(Connection{Dialled: true, Err: err})
	return away, k.used || time.Since(k.opened) >= steady, err
}

func (l *Live) token(ctx context.Context) (string, error) {
	if l.o.TokenSource == nil {
		return l.o.Token, nil
	}
	return l.o.TokenSource(ctx)
}

func (l *Live) tell(e Connection) {
	if l.o.OnConnection != nil {
		l.o.OnConnection(e)
	}
}
