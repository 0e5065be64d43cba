package ingest

import "sync"

// outboxBytes bounds what waits for one device to take it, besides receipts.
const outboxBytes = 64 << 10

// outbox holds messages that others than the reader have for a device, until the writer takes them. The zero value
// is an empty one.
type outbox struct {
	mu     sync.Mutex
	frames []byte
	closed bool
}

// put is false when there is no room, or nobody takes anything any more.
func (o *outbox) put(message []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || len(o.frames)+len(message) > outboxBytes {
		return false
	}
	o.frames = textFrame(o.frames, message)
	return true
}

// take moves what is there to buf.
func (o *outbox) take(buf []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	buf = append(buf, o.frames...)
	o.frames = nil
	return buf
}

func (o *outbox) waiting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.frames) > 0
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.frames = true, nil
}

// post sends a message from any goroutine, soon and without blocking. It is false when the device leaves too many
// unread, or has gone. What is still unsent when the connection ends is lost.
func (c *conn) post(message []byte) bool {
	if !c.mail.put(message) {
		return false
	}
	c.signal()
	return true
}
