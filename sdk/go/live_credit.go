package device

import "weir/wire"

// credit is how many frames of updates the server may send. What has not been used when a connection is lost goes with the
// client to the next.
type credit struct {
	granted int64 // on this connection; what the protocol's message tells
	told    int64 // -1: nothing has been
	got     int64 // frames that came
}

// Grant lets the server send that many more frames of updates, with LiveOptions.ManualCredit: an endpoint that paints
// grants one when it has painted, and none while nobody looks. At most 1,000 may be ahead; what is granted beyond is lost.
func (l *Live) Grant(frames int) {
	if frames <= 0 || !l.o.ManualCredit {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.credit.grant(int64(min(frames, maxCredit)))
	l.signal()
}

func (c *credit) grant(frames int64) { c.granted = min(c.granted+frames, c.got+maxCredit) }

// begin starts the count of a new connection, on which window frames may be ahead.
func (c *credit) begin(window int64) { *c = credit{granted: window, told: -1} }

// unused is what the server may still send.
func (c *credit) unused() int64 { return max(0, c.granted-c.got) }

// due is the message that tells what was granted, or nil. Of a window half is saved up, so that not every frame is answered.
func (c *credit) due(window int) []byte {
	if c.granted == c.told || c.told >= 0 && c.granted-c.told < int64(window+1)/2 {
		return nil
	}
	c.told = c.granted
	return (&wire.Credit{Frames: c.granted}).Append(nil)
}
