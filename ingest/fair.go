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

// controlRate bounds the control frames of one connection: each is answered, and none counts as work.
type controlRate struct {
	seen  int     // of the framing's
	spent float64 // of controlsAtOnce
	at    int64   // µs
}

// allow counts the control frames that have come since it was last asked.
func (r *controlRate) allow(f *framing, now int64) bool {
	came := f.controls - r.seen
	if came == 0 {
		return true
	}
	r.spent = max(0, r.spent-float64(now-r.at)/1e6*controlsPerSecond) + float64(came)
	r.seen, r.at = f.controls, now
	return r.spent <= controlsAtOnce
}
