package ingest

import "weir/wire"

// unpack is a compressed message as it was before the client compressed it. What cannot be unpacked is returned as it came,
// with the refusal. It may wait for room; then the connection may have to end.
func (c *conn) unpack(data []byte) ([]byte, *wire.Error) {
	limit := c.srv.cfg.MaxFrameBytes
	if c.in.framing.most > 0 {
		limit = c.in.framing.most
	}
	c.srv.metrics.compressedWS.Inc()
	unpacked, refusal := c.srv.inflaters.inflate(encodingMessage, data, limit, c.roomToUnpack)
	if refusal == nil {
		return unpacked, nil
	}
	if c.ctx.Err() == nil && !c.typedRate.allow(1, nowMicros()) {
		c.breaks(manyMessages) // each takes as long as the largest message
	}
	return data, refusal
}

// roomToUnpack waits for room, unless the message has had it since it was announced.
func (c *conn) roomToUnpack() *wire.Error {
	if c.in.held > 0 {
		return nil
	}
	bytes := int64(c.srv.cfg.MaxFrameBytes)
	if c.srv.pending.try(bytes) {
		c.in.hold(bytes)
		return nil
	}
	if err := c.in.wait(bytes); err != nil {
		c.idle()
		<-c.ctx.Done()
		return wire.NewError(wire.CodeOverloaded, "")
	}
	return nil
}
