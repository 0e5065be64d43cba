package ingest

import "time"

const (
	// A message that has room which others wait for has to come at holdRate, on average since it got the room,
	// once holdGrace is over.
	holdGrace = 2 * time.Second
	holdRate  = 64 << 10 // bytes per second

	// A client may send so many pings and pongs.
	controlsPerSecond = 50
	controlsAtOnce    = 100
)

// dawdles reports whether the message that is coming makes too little use of the room that it has.
func (c *conn) dawdles(now int64) bool {
	since := c.holds.Load()
	held := time.Duration(now-since) * time.Microsecond
	return since != 0 && held > holdGrace && float64(c.came.Load()) < holdRate*held.Seconds()
}

// rate bounds how often a client does something that is answered and does not count as work.
type rate struct {
	perSecond, atOnce uint8

	spent float32 // of atOnce
	at    int64   // µs
}

// allow counts that it has been done n times more.
func (r *rate) allow(n int, now int64) bool {
	r.spent = max(0, r.spent-float32(float64(now-r.at)/1e6)*float32(r.perSecond)) + float32(n)
	r.at = now
	return r.spent <= float32(r.atOnce)
}
