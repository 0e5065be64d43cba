package ingest

import "weir/internal/wsframe"

// Take implements wsframe.Receiver.
func (c *conn) Take(kind byte, compressed bool, message []byte) bool {
	if c.mqtt != nil && kind != wsframe.OpBinary {
		c.breaks(notBinary)
	} else {
		c.message(compressed, message)
	}
	return !c.closing.Load()
}

// Control implements wsframe.Receiver.
func (c *conn) Control(opcode byte, payload []byte) bool {
	switch opcode {
	case wsframe.OpPing:
		buf := append(noHeader[:], payload...)
		return c.write(frame(opPong, buf, 0))
	case wsframe.OpPong:
		return true
	}
	c.bidden(payload)
	return false
}

// bidden answers a close frame, and notes whether the client meant to go.
func (c *conn) bidden(payload []byte) {
	code, wrong := wsframe.Goodbye(payload)
	switch {
	case wrong != 0:
		c.Break(wrong)
		return
	case code == 0:
		c.echo([]byte{finalFrame | opClose, 0})
		return
	}
	c.orderly = code == closeNormal || code == closeGoingAway
	if code < 3000 {
		code = closeNormal
	}
	c.echo(closeFrame(code, ""))
}

// Break implements wsframe.Receiver.
func (c *conn) Break(f wsframe.Fault) {
	switch f {
	case wsframe.TooLarge:
		c.breaks(tooLarge)
	case wsframe.NotText:
		c.breaks(notText)
	default:
		c.breaks(badFrame)
	}
}

func (c *conn) echo(frame []byte) {
	if c.closing.CompareAndSwap(false, true) {
		c.farewell(frame)
	}
}
