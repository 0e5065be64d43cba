package push

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"time"

	"weir/wire"
)

// elapsed is the time since the hub was made, in nanoseconds, and never 0. Unlike that of the wall clock its course does
// not change when somebody sets the clock.
func (h *hub) elapsed(now time.Time) int64 { return int64(now.Sub(h.born)) + 1 }

// pingFrame carries the time, so that the answer tells how far behind the client is.
func pingFrame(at int64) frame {
	return controlFrame(opPing, binary.BigEndian.AppendUint64(nil, uint64(at)))
}

// knowsPings notes that the client speaks app_ping: a browser answers pings also for a page that has stopped.
func (c *client) knowsPings() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = true
}

// askLocked sends app_ping to who knows it. What the newest one has not been answered with is waited for no more.
func (c *client) askLocked(now time.Time) {
	if !c.answers || c.who == nil {
		return
	}
	c.asked = now.UnixMicro()
	c.askedAt = c.hub.elapsed(now)
	ping := wire.Ping{Payload: append(strconv.AppendInt([]byte(`{"t":`), c.asked, 10), '}')}
	c.pushLocked(&item{frame: textFrame(ping.Append(nil)), counted: true})
}

// answered takes the payload of an app_pong. Of one that answers nothing the connection has been heard, and that is all.
func (c *client) answered(payload []byte) {
	var told struct {
		T int64 `json:"t"`
	}
	if json.Unmarshal(payload, &told) != nil {
		return
	}
	at := c.hub.elapsed(c.hub.now())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked == 0 || told.T != c.asked {
		return
	}
	c.asked = 0
	c.rtt.Store(at - c.askedAt)
	c.hub.m.appPingTime.Update(time.Duration(at - c.askedAt).Seconds())
}

// silentSinceLocked is since when nothing has come that shows that somebody is there: of who knows app_ping a message, of
// others any frame. A stream of events has none, and is never silent.
func (c *client) silentSinceLocked() int64 {
	switch {
	case c.encoding == asEvents:
		return c.hub.elapsed(c.hub.now())
	case c.answers:
		return c.said.Load()
	}
	return c.heard.Load()
}

// stray notes whether the client is away, and reports whether that is new.
func (c *client) stray(away bool) bool {
	if c.away.Swap(away) == away {
		return false
	}
	if away {
		c.hub.m.away.Add(1)
	} else {
		c.hub.m.away.Add(-1)
	}
	return true
}
