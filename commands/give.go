package commands

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"

	"weir/wire"
)

// View is a command as operators see it.
type View struct {
	ID          string          `json:"id"`
	Device      string          `json:"device"`
	Name        string          `json:"name"`
	Args        json.RawMessage `json:"args,omitempty"`
	Status      Status          `json:"status"`
	CreatedAt   string          `json:"created_at"`
	CreatedBy   string          `json:"created_by,omitempty"`
	ExpiresAt   string          `json:"expires_at"`
	DeliveredAt string          `json:"delivered_at,omitempty"`
	FinishedAt  string          `json:"finished_at,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"`
	Error       string          `json:"error,omitempty"`
}

func (e *entry) view(now time.Time) View {
	v := View{
		ID: e.ID, Device: e.Device, Name: e.Name, Args: e.Args, Status: e.status, CreatedAt: stamp(e.Created), CreatedBy: e.By,
		ExpiresAt: stamp(e.Expires), Result: e.result.Result, Error: e.result.Error}
	if !e.delivered.IsZero() {
		v.DeliveredAt = stamp(e.delivered)
	}
	switch {
	case e.status.Finished():
		v.FinishedAt = stamp(e.finished)
	case !now.Before(e.Expires):
		v.Status, v.FinishedAt = Expired, stamp(e.Expires)
	}
	return v
}

// List is what is known of a device's commands, the newest first.
func (h *Hub) List(device string) []View {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []View{}
	now := time.Now()
	if b := h.state.boxes[device]; b != nil {
		for _, e := range slices.Backward(b.entries) {
			out = append(out, e.view(now))
		}
	}
	return out
}

// Get is one command of a device.
func (h *Hub) Get(device, id string) (View, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.find(device, id); e != nil {
		return e.view(time.Now()), true
	}
	return View{}, false
}

// Give stores a command and returns it as it then is; known tells that there was one of this id, which is then
// returned instead. The error is an *wire.Error.
func (h *Hub) Give(ctx context.Context, c Command) (v View, known bool, err error) {
	select {
	case <-h.ready:
	default:
		return v, false, wire.NewError(wire.CodeNotReady, "")
	}
	if c.ID == "" {
		c.ID = rand.Text()
	}
	if v, known := h.Get(c.Device, c.ID); known {
		return v, true, nil
	}
	if e := h.full(&c); e != nil {
		return v, false, e
	}
	if e := h.store(ctx, &c); e != nil {
		return v, false, e
	}
	h.metrics.given.Inc()
	v, ok := h.Get(c.Device, c.ID)
	switch now := time.Now(); {
	case ok:
		return v, false, nil
	case !now.Before(c.Expires):
		// It was over before it was read back, and is not held: it would have reached nobody.
		e := entry{Command: c, status: Expired, finished: c.Expires}
		return e.view(now), false, nil
	}
	return v, false, wire.NewError(wire.CodeOverloaded, "") // the last place went to another
}

// full refuses what there is no room for.
func (h *Hub) full(c *Command) *wire.Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.state.boxes[c.Device]; b != nil && b.waiting() >= h.cfg.MaxPerDevice {
		return &wire.Error{Code: wire.CodeLimitDevice, Message: "as many commands wait for this device as may"}
	}
	if !h.state.room(entryBytes + 2*MaxIDBytes + len(c.Device) + len(c.Args)) {
		return wire.NewError(wire.CodeOverloaded, "")
	}
	return nil
}

// store writes a command and waits until this Hub has it.
func (h *Hub) store(ctx context.Context, c *Command) *wire.Error {
	type outcome struct {
		base int64
		err  error
	}
	stored := make(chan outcome, 1)
	h.write(ctx, c.Device, recordOf(c), func(base int64, err error) { stored <- outcome{base, err} })
	select {
	case out := <-stored:
		if out.err != nil {
			return wire.NewError(wire.CodeNotStored, "")
		}
		if err := h.await(ctx, c, out.base); err != nil {
			return wire.NewError(wire.CodeNotStored, "")
		}
		return nil
	case <-ctx.Done():
		return wire.NewError(wire.CodeNotStored, "")
	}
}

// Wait returns a command when it is finished, or as it is when ctx ends.
func (h *Hub) Wait(ctx context.Context, device, id string) (View, bool) {
	h.mu.Lock()
	e := h.find(device, id)
	h.mu.Unlock()
	if e == nil {
		return View{}, false
	}
	select {
	case <-e.over:
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return e.view(time.Now()), true
}
