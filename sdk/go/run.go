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
	waits := backoff.NewExponentialBackOff()
	// Full jitter: a factor of 1 draws between nothing and twice the interval.
	waits.InitialInterval, waits.MaxInterval = c.o.Retry.First/2, c.o.Retry.Max/2
	waits.RandomizationFactor, waits.Multiplier = 1, 2
	waits.Reset()
	for failed := 1; ; failed++ {
		away, progress, err := c.attempt()
		if c.ctx.Err() != nil {
			return
		}
		if progress {
			waits.Reset()
			failed = 0
		}
		if err := c.hopeless(err, failed); err != nil {
			c.fail(err)
			return
		}
		// Who is told how long to stay away still spreads out.
		if !c.idle(away + waits.NextBackOff()) {
			return
		}
	}
}

// hopeless is why not to try again, or nil.
func (c *Client) hopeless(err error, failed int) error {
	switch action := actionOf(err); {
	case action == wire.ActionStop, action == wire.ActionToken && c.o.TokenSource == nil:
		return err
	case c.o.Retry.Attempts > 0 && failed >= c.o.Retry.Attempts:
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

// idle waits, and reports whether the client goes on.
func (c *Client) idle(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case away := <-c.cut:
			timer.Reset(away)
		case <-c.ctx.Done():
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

// appendAuth appends the message that carries a credential.
func appendAuth(dst []byte, token string) []byte {
	dst = append(dst, `{"type":"auth","payload":{"token":`...)
	dst = appendQuoted(dst, token)
	return append(dst, "}}"...)
}

// draining is the server's announcement that it stops.
func (s *session) drain(payload json.RawMessage) {
	s.draining = true
	var d struct {
		After  int64 `json:"reconnect_after_ms"`
		Jitter int64 `json:"jitter_ms"`
	}
	if json.Unmarshal(payload, &d) != nil {
		return
	}
	most := cutWait.Milliseconds()
	wait := min(max(0, d.After), most)
	if d.Jitter > 0 {
		wait += rand.Int64N(min(d.Jitter, most))
	}
	s.away = time.Duration(min(wait, most)) * time.Millisecond
}
