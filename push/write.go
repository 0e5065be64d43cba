package push

import "net"

const (
	// parcelBytes is about how much one write carries: what comes first should not wait long for what
	// comes after.
	parcelBytes = 64 << 10
	// chunkBytes is how much of a large frame counts as progress.
	chunkBytes = 64 << 10
)

// part is a frame of a write, or what a laggard's frame is to be made of.
type part struct {
	kind   frameKind
	frame  frame
	behind *laggard
	slow   bool // its subscription
	view   uint32
}

// kickLocked starts a writer if there is something to write and none is at work. An idle connection has
// none, and so costs no stack.
func (c *client) kickLocked() {
	if c.writing || c.state == closed || !c.lane.ready() && !c.mayTellLocked() && (c.state != closing || len(c.lane.items) > 0) {
		return
	}
	c.writing = true
	c.hub.wg.Add(1)
	go c.write()
}

// write sends what waits until nothing does. Only one runs per connection, so one parcel is in flight.
func (c *client) write() {
	defer c.hub.wg.Done()
	var few [4]part
	parts := few[:0]
	for {
		c.mu.Lock()
		parts = c.takeLocked(parts[:0])
		if len(parts) == 0 {
			c.writing = false
			c.mu.Unlock()
			return
		}
		bye := c.state == closed
		c.mu.Unlock()
		err := c.transmit(parts)
		if err == nil && !bye {
			continue
		}
		c.hangUp(err)
		return
	}
}

// takeLocked collects the next parcel: the lossless lane first, then the subscriptions in turn, and when
// nothing is left of a closing connection, the close frame.
func (c *client) takeLocked(parts []part) []part {
	if c.state == closed {
		return parts
	}
	size := 0
	for size < parcelBytes {
		it := c.lane.pop()
		if it == nil {
			break
		}
		if it == c.pong {
			c.pong = nil
		}
		kind := frameControl
		if it.counted {
			c.hub.m.losslessBytes.Add(-int64(it.frame.size()))
		} else {
			kind = frameSnapshot
			c.sending = true
			c.hub.m.snapshotBytes.Add(-int64(it.frame.size()))
			it.opens.open, it.opens.place = true, nil
			c.dueLocked(it.opens)
		}
		parts = append(parts, part{kind: kind, frame: it.frame})
		size += it.frame.size()
	}
	own := false
	for size < parcelBytes && c.mayTellLocked() {
		p, ok := c.takeDueLocked()
		if ok {
			parts = append(parts, p)
			size += p.frame.size()
			own = own || p.slow
		}
	}
	if own && c.probes {
		parts = append(parts, part{kind: frameControl, frame: c.probeLocked()})
	}
	// Of a snapshot that is still being made fill tells; the sweeper does not wait beyond cutoff.
	if len(parts) == 0 && c.state == closing && len(c.lane.items) == 0 {
		c.state = closed
		bye := c.bye
		if bye == nil {
			info := closeReasons[c.reason]
			f := closeFrame(info.code, info.reason).in(c.encoding)
			bye = &f
		}
		parts = append(parts, part{kind: frameControl, frame: *bye})
	}
	return parts
}

// takeDueLocked takes what the next subscription in turn has first: a shared frame that waits is older
// than what was gathered after it.
func (c *client) takeDueLocked() (part, bool) {
	s := c.due[0]
	n := copy(c.due, c.due[1:])
	c.due[n] = nil
	c.due = c.due[:n]
	s.queued = false
	if !s.open {
		return part{}, false
	}
	var p part
	switch {
	case s.next != nil:
		p = part{kind: frameShared, frame: *s.next}
		s.next = nil
		c.tellingLocked(s, s.waits)
	case s.behind != nil:
		picked := s.behind.pick()
		p = part{kind: framePrivate, behind: picked.set, slow: s.slow, view: s.view.number}
		if s.offered != picked.at { // another member was offered the view's newest frame first
			s.offered = picked.at
			s.mergedLocked(picked.merged)
		}
		if s.behind = picked.rest; s.behind == nil {
			s.slow = false
			c.hub.m.laggards.Add(-1)
		}
		c.tellingLocked(s, picked.told)
	default:
		return part{}, false
	}
	c.dueLocked(s)
	return p, true
}

// transmit writes a parcel. What was gathered is encoded here, outside all locks, by the first who goes with it.
func (c *client) transmit(parts []part) error {
	for i := range parts {
		p := &parts[i]
		if p.behind != nil {
			p.frame = p.behind.frame(c.hub.m, p.view, c.encoding)
			c.hub.release(p.behind)
			p.behind = nil
		}
		p.frame = c.hub.deflater.squeeze(p.frame)
	}
	c.progress.Store(c.hub.elapsed(c.hub.now()))
	err := c.writeParts(parts)
	c.progress.Store(0)
	if err != nil {
		return err
	}
	for i := range parts {
		p := &parts[i]
		c.hub.m.sent(p.kind, &p.frame)
		p.frame = frame{}
		if p.kind == frameSnapshot {
			c.hub.sentSnapshot(c)
		}
	}
	return nil
}

// writeParts writes small parcels at once and large ones in chunks.
func (c *client) writeParts(parts []part) error {
	size := 0
	for i := range parts {
		size += parts[i].frame.size()
	}
	if small := size <= 2*chunkBytes; small && (len(parts) > 1 || len(parts[0].frame.head) > 0) {
		all := make(net.Buffers, 0, 2*len(parts))
		for i := range parts {
			if f := &parts[i].frame; len(f.head) > 0 {
				all = append(all, f.head)
			}
			all = append(all, parts[i].frame.body)
		}
		_, err := all.WriteTo(c.conn)
		return err
	}
	for i := range parts {
		f := &parts[i].frame
		if err := c.writeChunks(f.head); err != nil {
			return err
		}
		if err := c.writeChunks(f.body); err != nil {
			return err
		}
	}
	return nil
}

// writeChunks notes after each chunk that there was progress.
func (c *client) writeChunks(b []byte) error {
	for len(b) > 0 {
		n, err := c.conn.Write(b[:min(len(b), chunkBytes)])
		if err != nil {
			return err
		}
		c.progress.Store(c.hub.elapsed(c.hub.now()))
		b = b[n:]
	}
	return nil
}

// hangUp ends the sending side. After a close frame the client has a moment to answer, so that it reads
// the frame before the connection is gone; the reading goroutine sees the end.
func (c *client) hangUp(err error) {
	c.mu.Lock()
	if c.state == serving {
		c.reason = endedLost
	}
	c.state = closed
	c.writing = false
	c.clearLocked()
	if c.hungUp != nil {
		defer close(c.hungUp)
	}
	c.mu.Unlock()
	if err != nil {
		_ = c.conn.Close()
		return
	}
	_ = c.conn.SetReadDeadline(c.hub.now().Add(c.limits.closeGrace))
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
