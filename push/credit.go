package push

import (
	"fmt"

	"weir/wire"
)

// maxCredit is how many frames more than were sent a client may take at a time.
const maxCredit = 1000

// credit is how many frames of updates a client takes. One that has never said so takes all there are. Guarded by
// client.mu.
type credit struct {
	asked   bool
	granted int64 // in total
	sent    int64 // frames of updates, of all subscriptions
}

// grant lets a client be sent frames of updates up to a total. What waits meanwhile gathers as it does for every client
// that is behind.
func (c *client) grant(total int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if total < c.credit.granted || total > c.credit.sent+maxCredit {
		return &wire.Error{
			Code: wire.CodeCreditInvalid, Path: "payload.frames",
			Message: fmt.Sprintf("frames was %d, and %d were sent: it cannot be lower, nor more than %d ahead", c.credit.granted, c.credit.sent, maxCredit),
		}
	}
	c.credit.asked, c.credit.granted = true, total
	c.kickLocked()
	return nil
}

// mayTellLocked reports whether there are updates for the client that it takes.
func (c *client) mayTellLocked() bool {
	return len(c.due) > 0 && c.probe == 0 && (!c.credit.asked || c.credit.sent < c.credit.granted)
}

// raisesCredit takes a message that grants more than was granted, and does not count it among those that may come too fast:
// a client that grants a frame for each that it has painted sends as many as it gets frames. One that is dropped would leave it
// waiting for good, and those that are not would leave nothing for what else it says. There are no more of these than
// frames were sent, and maxCredit.
func (c *client) raisesCredit(msg *wire.ClientMessage) bool {
	if msg.Type != wire.TypeCredit {
		return false
	}
	c.mu.Lock()
	more := msg.Credit.Frames > c.credit.granted
	c.mu.Unlock()
	return more && c.grant(msg.Credit.Frames) == nil
}
