package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weir/wire"
)

const (
	// firstCredit is how many frames fly before the first receipt of a lane has told the server's credit.
	firstCredit = 16
	// steady is how long a connection must have lasted for the next wait to be a short one.
	steady = 30 * time.Second
	// cutWait is the longest wait that a server may ask for.
	cutWait = time.Hour
)

// errInterrupted is the end of a connection by Interrupt.
var errInterrupted = errors.New("interrupted")

// run connects, and connects again, until the client is closed or must give up.
func (c *Client) run() {
	defer close(c.done)
	defer c.work.Wait()
	waits := c.o.Retry.waits()
	for failed := 1; ; failed++ {
		away, progress, err := c.attempt()
		if c.ctx.Err() != nil {
			return
		}
		if progress {
			waits.Reset()
			failed = 0
		}
		if err := c.o.Retry.hopeless(err, failed, c.o.TokenSource != nil); err != nil {
			c.fail(err)
			return
		}
		// Who is told how long to stay away still spreads out.
		if !stayAway(c.ctx, away+waits.NextBackOff(), c.cut) {
			return
		}
	}
}

// waits draws the times between attempts.
func (r Retry) waits() *backoff.ExponentialBackOff {
	waits := backoff.NewExponentialBackOff()
	// Full jitter: a factor of 1 draws between nothing and twice the interval.
	waits.InitialInterval, waits.MaxInterval = r.First/2, r.Max/2
	waits.RandomizationFactor, waits.Multiplier = 1, 2
	waits.Reset()
	return waits
}

// hopeless is why not to try again after so many failures, or nil. renewable: a fresh token can be had.
func (r Retry) hopeless(err error, failed int, renewable bool) error {
	switch action := actionOf(err); {
	case action == wire.ActionStop, action == wire.ActionToken && !renewable:
		return err
	case r.Attempts > 0 && failed >= r.Attempts:
		return fmt.Errorf("%d attempts in a row failed: %w", failed, err)
	}
	return nil
}

func (c *Client) fail(err error) {
	c.log.Error("given up", "error", err)
	c.mu.Lock()
	c.failure = fmt.Errorf("device: given up: %w", err)
	c.movedLocked()
	c.mu.Unlock()
}

// stayAway waits, anew for as long as what comes from cut says, and reports whether ctx goes on.
func stayAway(ctx context.Context, d time.Duration, cut <-chan time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case away := <-cut:
			timer.Reset(away)
		case <-ctx.Done():
			return false
		}
	}
}

// attempt opens one connection and uses it until it is lost. away is how long to stay away at least; progress says
// that the server was there and took part.
func (c *Client) attempt() (away time.Duration, progress bool, err error) {
	token, err := c.token(c.ctx)
	if err != nil {
		err = fmt.Errorf("get a token: %w", err)
	}
	var l *link
	if err == nil {
		l, err = c.dialAside(c.ctx, token)
	}
	if err != nil {
		if c.ctx.Err() == nil {
			c.count.dialErrors.Add(1)
			c.log.Debug("not connected", "reason", err)
			c.tell(Connection{Err: err, Dialled: false})
		}
		var dial *DialError
		if errors.As(err, &dial) {
			away = dial.RetryAfter
		}
		return away, false, err
	}
	s := newSession(c, l)
	err = s.use(token)
	if c.ctx.Err() == nil {
		c.log.Debug("connection lost", "reason", err)
	}
	c.tell(Connection{Err: err, Dialled: true})
	return s.away, l.progress || time.Since(s.began) >= steady, err
}

func (c *Client) token(ctx context.Context) (string, error) {
	if c.o.TokenSource == nil {
		return c.o.Token, nil
	}
	return c.o.TokenSource(ctx)
}

func (c *Client) tell(e Connection) {
	if c.o.OnConnection != nil {
		c.o.OnConnection(e)
	}
}

// authMessage carries a credential.
func authMessage(token string) []byte { return (&wire.Auth{Token: token}).Append(nil) }

// draining is the server's announcement that it stops.
func (s *session) drain(payload json.RawMessage) {
	s.draining = true
	var d wire.Draining
	if json.Unmarshal(payload, &d) != nil {
		return
	}
	s.away = awayFor(&d)
}

// awayFor draws how long a server that stops wants to be left alone.
func awayFor(d *wire.Draining) time.Duration {
	most := cutWait.Milliseconds()
	wait := min(max(0, d.ReconnectAfterMS), most)
	if d.JitterMS > 0 {
		wait += rand.Int64N(min(d.JitterMS, most))
	}
	return time.Duration(min(wait, most)) * time.Millisecond
}
