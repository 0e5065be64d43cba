package push

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"weir/auth"
)

// client is one live connection. Its fields are grouped by who may touch them.
type client struct {
	// Fixed.
	hub      *hub
	conn     net.Conn
	encoding encoding
	session  string
	from     netip.Addr
	since    time.Time
	limits   limits
	probes   bool // it answers pings, so that it can be known how far it has read

	// Owned by the goroutine that reads from the connection.
	ear                        ear
	messages, frames, mistakes bucket
	deaf                       bool // what else the client says is not to be heard
	wanted                     wanted
	unwatch                    func() // ends the watch over who's credentials; nil: there is none

	// Guarded by registry.mu.
	place place

	// Guarded by hub.mu.
	subs      subscriptions
	joining   *subscription   // the one whose snapshot is waited for, made, queued or written
	joins     []*subscription // those whose turn to join comes later
	left      bool
	alertMark uint64

	// Written by whoever works, read by the sweeper: when something was last heard from the client, when its last
	// message was, and when the write under way last made progress, as hub.elapsed has it; 0: none is under way.
	heard, said, progress atomic.Int64
	rtt                   atomic.Int64 // how long the newest ping took to be answered, in nanoseconds; 0: none was
	away                  atomic.Bool  // written by the sweeper

	// Guarded by mu. hub.mu may be held while taking it, not the other way round.
	mu      sync.Mutex
	state   state
	reason  closeReason
	lane    lane
	due     []*subscription // those with something to send, in turn
	writing bool            // a goroutine is in write
	sending bool            // a snapshot is being written
	pinged  time.Time       // when the last ping was queued
	answers bool            // it knows app_ping, and is sent it
	asked   int64           // the t of the app_ping that is not answered yet; 0: there is none
	askedAt int64           // when it was sent
	pong    *item           // the pong that is queued, if one is
	cutoff  time.Time       // when a closing connection is cut
	bye     *frame          // the close frame to send, instead of that of the reason
	hungUp  chan struct{}   // closed when the writer has ended, once the reader waits for that
	authBy  time.Time       // until when it has to be known who speaks
	warned  bool            // the end of who's credentials has been announced
	credit  credit
	probe   int64 // when a ping followed rows that had been gathered, until it is answered; 0: none has to be

	// Who speaks, nil until that is known. Set under mu by the reading goroutine, which reads it without.
	who *auth.Principal

	// What who takes up is counted there; nil: nowhere. Set once, before the first subscription.
	account *account
}

// limits are the parts of Config that a client applies.
type limits struct {
	losslessBytes int
	closeGrace    time.Duration
}

type state uint8

const (
	serving state = iota
	closing       // the close frame goes out when nothing else is left
	closed        // it is being sent, or the connection is gone
)

// send queues a frame in the lossless lane. A connection whose lane overflows is closed: it has to begin
// anew.
func (c *client) send(f frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushLocked(&item{frame: f, counted: true})
}

func (c *client) pushLocked(it *item) {
	if c.state != serving {
		return
	}
	it.frame = it.frame.in(c.encoding)
	c.lane.push(it)
	if it.counted {
		c.hub.m.losslessBytes.Add(int64(it.frame.size()))
	}
	if c.lane.bytes > c.limits.losslessBytes {
		c.closeLocked(endedOverflow)
		return
	}
	c.kickLocked()
}

// reserve keeps the place of a subscription's snapshot in the lane. From now on the subscription gathers
// what its view says, and the snapshot goes first.
func (c *client) reserve(s *subscription, told int) *item {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.told = told
	it := &item{empty: true, opens: s}
	if c.state == serving {
		c.lane.push(it)
		s.place = it
	}
	return it
}

// wants reports whether a place is still to be filled: the subscription may have ended or begun anew, and
// the connection may be gone.
func (c *client) wants(it *item) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return it.opens.place == it
}

// fill puts the snapshot into its place, if that is still there.
func (c *client) fill(it *item, f frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if it.opens.place != it {
		return
	}
	it.frame, it.empty = f, false
	c.hub.m.snapshotBytes.Add(int64(f.size()))
	c.kickLocked()
}

// offer hands a subscription its view's frame. A connection that is up with the view gets the shared
// bytes. If an earlier frame still waits for the socket, the rows are merged into the set of those who fell behind when this
// one did, which goes out when the socket is free.
func (c *client) offer(s *subscription, f *flush) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != serving {
		return nil
	}
	switch {
	case s.offered == f.number: // it has gone with a set that another member of its cohort had been offered this for
	case s.behind == nil && s.next == nil && c.probe == 0:
		s.next, s.waits = f.frame(c.encoding), f.told
	case s.behind == nil:
		s.behind = f.gather(c.hub, s.told)
		c.hub.m.laggards.Add(1)
		if c.probe == 0 { // or it has been behind all the time
			s.figures.stalls++
			c.hub.m.fellBehind.Inc()
		}
		fallthrough
	default:
		s.slow = s.slow || !c.dueToRunLocked()
		merged, err := s.behind.take(f)
		s.mergedLocked(merged)
		if err != nil {
			return err
		}
	}
	s.told, s.offered = len(f.view.dictionary), f.number
	c.dueLocked(s)
	c.kickLocked()
	return nil
}

// dueLocked puts a subscription in line for the socket.
func (c *client) dueLocked(s *subscription) {
	if s.open && !s.queued && (s.next != nil || s.behind != nil) {
		s.queued = true
		c.due = append(c.due, s)
	}
}

// restart drops what a subscription has waiting and announces that it begins anew.
func (c *client) restart(s *subscription, announcement frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(s)
	c.pushLocked(&item{frame: announcement, counted: true})
}

// forget drops what a subscription that has ended has waiting.
func (c *client) forget(s *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(s)
}

// dropLocked empties a subscription. Its snapshot, should one be in the lane, leaves it.
func (c *client) dropLocked(s *subscription) {
	s.open = false
	s.next = nil
	if it := s.place; it != nil {
		s.place = nil
		c.lane.remove(it)
		c.hub.m.snapshotBytes.Add(-int64(it.frame.size()))
		c.kickLocked() // what waited behind it
	}
	if s.behind != nil {
		s.behind.leave()
		s.behind, s.slow = nil, false
		c.hub.m.laggards.Add(-1)
	}
}

// laggard makes an empty set, with one holder.
func (h *hub) laggard() *laggard {
	l := h.laggards.Get().(*laggard)
	l.holders.Store(1)
	return l
}

// release is for a holder of a set who needs it no more. It is taken back from the last.
func (h *hub) release(l *laggard) {
	if l.holders.Add(-1) > 0 {
		return
	}
	l.unmake(h.m)
	h.m.laggingRows.Add(-int64(l.len()))
	l.clear()
	h.laggards.Put(l)
}

// close ends the connection with the reason's code, after what is in flight. What waits is dropped,
// except when draining: then it goes first.
func (c *client) close(r closeReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(r)
}

func (c *client) closeLocked(r closeReason) {
	if c.state != serving {
		return
	}
	c.state = closing
	c.reason = r
	c.cutoff = c.hub.now().Add(c.limits.closeGrace)
	if r != endedDraining {
		c.clearLocked()
	}
	c.kickLocked()
}

// expel ends the connection of a client that does what it must not. The reading goroutine calls it.
func (c *client) expel(r closeReason) {
	c.deaf = true
	c.close(r)
}

// closeWith ends the connection with a close frame of its own: an answer to the client's, or what is wrong
// with what it sent. A connection that is closing already says what it wanted to say.
func (c *client) closeWith(bye frame, r closeReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == serving {
		c.bye = &bye
		c.closeLocked(r)
	}
	if c.state == closing {
		c.clearLocked() // it will not be read
	}
	if c.state == closing || c.writing {
		c.hungUp = make(chan struct{})
		c.kickLocked()
	}
}

// waitHungUp waits until the close frame is written, if one is to be. The sweeper cuts a connection that
// does not take it. What the client sent meanwhile is read, or the close frame could be lost.
func (c *client) waitHungUp() {
	c.mu.Lock()
	hungUp := c.hungUp
	c.mu.Unlock()
	if hungUp != nil {
		<-hungUp
		discard(c.conn)
	}
}

// clearLocked drops everything that waits.
func (c *client) clearLocked() {
	c.hub.m.losslessBytes.Add(-int64(c.lane.bytes))
	items := c.lane.items
	c.lane = lane{}
	for _, it := range items {
		if it.opens != nil {
			c.dropLocked(it.opens)
		}
	}
	c.pong = nil
	for _, s := range c.due {
		s.queued = false
		c.dropLocked(s)
	}
	c.due = nil
}

// ended notes that the connection is gone, and why if nobody said so before.
func (c *client) ended(r closeReason) closeReason {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == serving {
		c.reason = r
	}
	c.state = closed
	c.clearLocked()
	return c.reason
}
