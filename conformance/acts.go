package conformance

import (
	"fmt"
	"net/http"
	"time"

	"weir/wire"
)

const (
	// settled is how many frames are answered as usual between two acts.
	settled = 2
	// smallCredit is the credit that a device is granted to see whether it keeps to it.
	smallCredit = 2
	// refusals is how many attempts to connect are refused to see the back-off.
	refusals = 3
)

// timing is how long things take, from the pace.
type timing struct {
	// grace is how long what the kit has said may be under way, 300 ms with a pace of 5 s.
	grace time.Duration
	// pause is the retry_after_ms that a device is asked for, 2 s; held how long receipts are kept back, 1.5 s.
	pause, held time.Duration
	// storm is the shortest time in which a device with a back-off has made the attempts that are refused, 300 ms.
	storm time.Duration
}

func timingOf(pace time.Duration) timing {
	return timing{grace: pace * 6 / 100, pause: pace * 2 / 5, held: pace * 3 / 10, storm: pace * 6 / 100}
}

// answer is what the kit does with a frame.
type answer struct {
	receipt *wire.Receipt // nil: none
	hold    bool          // the receipt goes out when the act ends
	cut     bool          // the connection is lost
	close   uint16        // the connection is closed
	reason  string
}

// act is one wrong thing that the kit does, beginning with a frame that has come over c. It is called under the lock.
type act struct {
	name string
	// socketOnly acts need a WebSocket.
	socketOnly bool
	begin      func(k *Kit, c *conn, s *seen) answer
}

// stage is where the kit stands with its acts. It is the kit's, under its lock.
type stage struct {
	acts   []act
	calm   int       // frames answered as usual since the last act
	busy   time.Time // the last act is not over before
	refuse int       // attempts to connect to be refused

	refusedAt []time.Time
	left      *Evidence // the device was told to come back, and has not yet
	leftAt    time.Time
	token     string // the credential that was said to have expired
	expired   bool
	stopped   *Evidence // the device was told to stay away
}

func allActs() []act {
	return []act{
		{"lose a receipt with the connection", false, loseReceipt},
		{"ask for a pause", false, askPause},
		{"grant little credit", true, grantLittle},
		{"drain, and refuse the first attempts", true, drain},
		{"close with 4000", true, closeWith(wire.CloseNoProgress, wire.ReasonNoProgress)},
		{"let the token expire", true, expire},
		{"forbid to come back", true, forbid},
	}
}

// play begins the next act with this frame, if it is time for one; ok is false if not.
func (k *Kit) play(c *conn, s *seen) (a answer, ok bool) {
	st := &k.stage
	now := time.Now()
	if st.calm++; st.calm <= settled || now.Before(st.busy) || s.again {
		return answer{}, false
	}
	for len(st.acts) > 0 {
		next := st.acts[0]
		st.acts = st.acts[1:]
		if next.socketOnly && c == nil || next.name == "let the token expire" && c.credential == "" {
			continue
		}
		k.log.Info("act", "name", next.name)
		st.calm, st.busy = 0, now.Add(k.times.grace)
		a := next.begin(k, c, s)
		if len(st.acts) == 0 {
			k.after(k.pace, k.finish)
		}
		return a, true
	}
	k.finish()
	return answer{}, false
}

func (k *Kit) finish() {
	select {
	case <-k.finished:
	default:
		close(k.finished)
	}
}

// loseReceipt takes the frame, and the connection is lost before the receipt.
func loseReceipt(k *Kit, _ *conn, s *seen) answer {
	k.comeBack(s, "the connection was lost")
	return answer{cut: true}
}

// askPause refuses the frame for a while.
func askPause(k *Kit, c *conn, s *seen) answer {
	now := time.Now()
	until := now.Add(k.times.pause)
	k.stage.busy = until.Add(k.times.grace)
	k.frames.owe(s, true)
	if c != nil {
		c.quietFrom, c.quietUntil = now.Add(k.times.grace), until.Add(-k.times.grace/6)
	} else {
		k.quietFrom, k.quietUntil = now.Add(k.times.grace), until.Add(-k.times.grace/6)
	}
	return answer{receipt: &wire.Receipt{
		Credit: credit, RetryAfter: k.times.pause.Milliseconds(), Err: wire.NewError(wire.CodeOverloaded, ""),
	}}
}

// grantLittle says that few frames may be without a receipt, and then keeps receipts back.
func grantLittle(k *Kit, c *conn, s *seen) answer {
	c.limit = smallCredit
	k.stage.busy = time.Now().Add(2*k.times.grace + k.times.held)
	k.after(k.times.grace, func() {
		c.holding = true
		c.limitFrom = max(smallCredit, int(c.frames-c.answered))
		k.after(k.times.held, func() {
			c.release()
			if c.heldFrames > 0 {
				k.tally.pass(checkCredit)
			}
		})
	})
	return answer{receipt: &wire.Receipt{Accepted: s.readings, Credit: smallCredit}}
}

// drain closes as a server that stops, and refuses the first attempts to come back.
func drain(k *Kit, _ *conn, s *seen) answer {
	k.stage.refuse, k.stage.refusedAt = refusals, nil
	k.comeBack(s, "the connection was closed with 1001 draining")
	return answer{close: wire.CloseDraining, reason: wire.ReasonDraining}
}

func closeWith(code uint16, reason string) func(*Kit, *conn, *seen) answer {
	return func(k *Kit, _ *conn, s *seen) answer {
		k.comeBack(s, fmt.Sprintf("the connection was closed with %d %s", code, reason))
		return answer{close: code, reason: reason}
	}
}

func expire(k *Kit, c *conn, _ *seen) answer {
	k.stage.token, k.stage.expired = c.credential, true
	// Without a new credential the device has to stay away: the end is near.
	k.after(2*k.pace, func() {
		if k.stage.expired {
			k.tally.pass(checkReauth)
			k.finish()
		}
	})
	return answer{close: wire.CloseTokenExpired, reason: wire.ReasonTokenExpired}
}

func forbid(k *Kit, _ *conn, s *seen) answer {
	e := s.evidence("the connection was closed with 1008 forbidden, which means: do not come back")
	k.stage.stopped = &e
	return answer{close: wire.CloseRefused, reason: wire.ReasonForbidden}
}

// comeBack notes that the device has to connect again.
func (k *Kit) comeBack(s *seen, why string) {
	e := s.evidence("%s, and the device did not come back", why)
	k.stage.left, k.stage.leftAt = &e, time.Now()
}

// arrive judges an attempt to connect; a status other than 0 refuses it.
func (st *stage) arrive(k *Kit, r *http.Request, now time.Time) (status int) {
	if st.stopped != nil {
		e := *st.stopped
		e.What += ", and the device came back"
		k.tally.fail(checkStop, e)
		return http.StatusForbidden
	}
	if st.refuse > 0 {
		st.refuse--
		st.refusedAt = append(st.refusedAt, now)
		return http.StatusServiceUnavailable
	}
	if n := len(st.refusedAt); n > 0 {
		if took := now.Sub(st.refusedAt[0]); took < k.times.storm {
			k.tally.fail(checkBackoff, Evidence{What: fmt.Sprintf("%d attempts to connect within %v, although each was refused", n+1, took.Round(time.Millisecond))})
		} else {
			k.tally.pass(checkBackoff)
		}
		st.refusedAt = nil
	}
	if st.left != nil {
		k.tally.pass(checkReconnect)
		st.left = nil
	}
	if credential := credentialOf(r); credential != "" {
		st.reauthenticate(k, credential)
	}
	return 0
}

// reauthenticate judges the credential with which a device comes back.
func (st *stage) reauthenticate(k *Kit, credential string) {
	if !st.expired {
		return
	}
	st.expired = false
	if credential == st.token {
		k.tally.fail(checkReauth, Evidence{What: "the connection was closed with 4100 token_expired, and the device came back with the same credential"})
	} else {
		k.tally.pass(checkReauth)
	}
}

// conclude judges what did not come.
func (st *stage) conclude(k *Kit) {
	if st.left != nil && len(st.refusedAt) == 0 && time.Since(st.leftAt) > k.pace {
		k.tally.fail(checkReconnect, *st.left)
	}
	if st.stopped != nil {
		k.tally.pass(checkStop)
	}
}
