package device

import (
	"context"
	"errors"
	"fmt"
)

// Flush ends the present batch and waits until all that was sent before has left the buffer, or ctx ends.
func (c *Client) Flush(ctx context.Context) error {
	err := c.patiently(ctx, func() error {
		c.batchMu.Lock()
		defer c.batchMu.Unlock()
		return c.shipLocked()
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	last := c.seq
	c.mu.Unlock()
	for {
		moved, left, err := c.watch(last)
		switch {
		case !left:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch reports whether frames up to seq are left, and gives a channel that closes when that may have changed.
func (c *Client) watch(seq uint64) (moved <-chan struct{}, left bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.failure
	if err == nil && c.ctx.Err() != nil {
		err = ErrClosed
	}
	return c.leavingLocked(), c.queue.holds(seq), err
}

// leaving gives a channel that closes when a frame leaves the buffer or the client ends.
func (c *Client) leaving() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leavingLocked()
}

func (c *Client) leavingLocked() <-chan struct{} {
	if c.moved == nil {
		c.moved = make(chan struct{})
	}
	return c.moved
}

// patiently repeats push until there is room or ctx ends.
func (c *Client) patiently(ctx context.Context, push func() error) error {
	if err := push(); !errors.Is(err, ErrFull) {
		return err
	}
	for {
		moved := c.leaving() // before the attempt, or a frame that leaves in between would be missed
		if err := push(); !errors.Is(err, ErrFull) {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// movedLocked wakes all who wait for a frame to leave.
func (c *Client) movedLocked() {
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}

func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *Client) usable() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.usableLocked()
}

func (c *Client) usableLocked() error {
	if c.failure != nil {
		return c.failure
	}
	if c.closing {
		return ErrClosed
	}
	return nil
}

// UndeliveredError says what Close could not deliver. With a buffer on disk Kept is true: the next client of that
// buffer sends it.
type UndeliveredError struct {
	Frames, Readings int
	Kept             bool
}

func (e *UndeliveredError) Error() string {
	fate := "lost"
	if e.Kept {
		fate = "kept on disk"
	}
	return fmt.Sprintf("%d frames with %d readings have no receipt and are %s", e.Frames, e.Readings, fate)
}

// Close takes no more readings, waits until all are receipted or ctx ends, and ends the connection and all that New
// started. An *UndeliveredError tells what is left; a call after the first returns ErrClosed.
func (c *Client) Close(ctx context.Context) error {
	last, again, ship := c.beginClose()
	if again {
		<-c.done
		return ErrClosed
	}
	c.waitEmpty(ctx, last)
	c.end()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	c.movedLocked()
	err := c.store.close()
	if n := c.queue.len(); n > 0 {
		err = errors.Join(err, &UndeliveredError{Frames: n, Readings: c.queue.readings, Kept: c.o.Buffer.path != ""})
	}
	return errors.Join(ship, err)
}

// beginClose ships what Publish has gathered, and lets nothing follow.
func (c *Client) beginClose() (last uint64, again bool, err error) {
	c.batchMu.Lock()
	defer c.batchMu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	if ship := c.shipLocked(); ship != nil {
		err = fmt.Errorf("device: %d readings of the last batch are lost: %w", len(c.batch), ship)
		c.batch = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	again, c.closing = c.closing, true
	c.movedLocked()
	return c.seq, again, err
}

func (c *Client) waitEmpty(ctx context.Context, last uint64) {
	for {
		moved, left, err := c.watch(last)
		if !left || err != nil {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}
