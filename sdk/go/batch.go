package device

import "time"

// Publish adds a reading to the present batch, which leaves when it is full or Batch.Delay old. A zero time is now.
// The error says that the reading is invalid, or that the batch was full and the buffer had no room for it: then
// the reading was not taken.
func (c *Client) Publish(metric string, value float64, at time.Time) error {
	if at.IsZero() {
		at = time.Now()
	}
	r := At(metric, value, at)
	if err := check(&r); err != nil {
		return err
	}
	c.batchMu.Lock()
	defer c.batchMu.Unlock()
	if len(c.batch) >= c.o.Batch.Readings {
		if err := c.shipLocked(); err != nil {
			return err
		}
	}
	if err := c.usable(); err != nil {
		return err
	}
	c.batch = append(c.batch, r)
	switch {
	case len(c.batch) >= c.o.Batch.Readings:
		// When there is no room now, the next reading or the timer tries again.
		if err := c.shipLocked(); err != nil {
			c.armLocked()
		}
	case len(c.batch) == 1:
		c.armLocked()
	}
	return nil
}

// armLocked lets the batch leave when it is old enough.
func (c *Client) armLocked() {
	if c.timer == nil {
		c.timer = time.AfterFunc(c.o.Batch.Delay, c.shipDue)
		return
	}
	c.timer.Reset(c.o.Batch.Delay)
}

func (c *Client) shipDue() {
	c.batchMu.Lock()
	defer c.batchMu.Unlock()
	if err := c.shipLocked(); err != nil && c.usable() == nil {
		c.armLocked()
	}
}

// shipLocked moves the batch into the buffer, without waiting for room.
func (c *Client) shipLocked() error {
	if len(c.batch) == 0 {
		return nil
	}
	if _, err := c.push(c.batch); err != nil {
		return err
	}
	c.batch = c.batch[:0]
	if c.timer != nil {
		c.timer.Stop()
	}
	return nil
}
