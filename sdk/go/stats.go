package device

import "sync/atomic"

// Stats is a reading of what a client has done since New.
type Stats struct {
	// Sent counts readings that left, each once; Frames the frames they left in; Resent frames that left
	// again.
	Sent, Frames, Resent int64
	// Receipted readings, by what their receipts say.
	Accepted, Duplicate, Late, Rejected int64
	// Dropped readings, and the frames they were in, were given up by DropOldest.
	Dropped, DroppedFrames int64
	// Buffered readings, and the frames they are in, have no receipt. Unsure is how many of these readings were
	// sent.
	Buffered, BufferedFrames, Unsure int64
	// Connects counts connections that opened, DialErrors those that did not.
	Connects, DialErrors int64
	Connected            bool
}

type counters struct {
	sent, frames, resent                atomic.Int64
	accepted, duplicate, late, rejected atomic.Int64
	dropped, droppedFrames              atomic.Int64
	connects, dialErrors                atomic.Int64
}

func (n *counters) drop(readings int) {
	n.dropped.Add(int64(readings))
	n.droppedFrames.Add(1)
}

// Stats reads all counters.
func (c *Client) Stats() Stats {
	n := &c.count
	s := Stats{
		Sent: n.sent.Load(), Frames: n.frames.Load(), Resent: n.resent.Load(),
		Accepted: n.accepted.Load(), Duplicate: n.duplicate.Load(), Late: n.late.Load(), Rejected: n.rejected.Load(),
		Dropped: n.dropped.Load(), DroppedFrames: n.droppedFrames.Load(),
		Connects: n.connects.Load(), DialErrors: n.dialErrors.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Connected = c.online
	s.Buffered, s.BufferedFrames = int64(c.queue.readings), int64(c.queue.len())
	for _, part := range [][]*entry{c.queue.live, c.queue.backlog, c.queue.flight} {
		for _, e := range part {
			if e.again {
				s.Unsure += int64(e.readings)
			}
		}
	}
	return s
}
