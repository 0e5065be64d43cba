package ingest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"weir/auth"
	"weir/commands"
	"weir/ingest/mqtt"
	"weir/wire"
)

// maxAttached is for how many devices one connection gets commands.
const maxAttached = 16

// attach has the device's commands sent down the connection: of the device that it names in its request or a message,
// or of the only one that its principal may write. It is the reader's.
func (c *conn) attach(device string) {
	s := c.srv
	if s.commands == nil || c.mqtt != nil || device == "" || len(c.attached) >= maxAttached {
		return
	}
	if slices.ContainsFunc(c.attached, func(a attachment) bool { return a.device == device }) {
		return
	}
	detach := s.commands.Attach(device, func(command *commands.Command) bool {
		if c.post(command.AppendMessage(nil)) {
			return true
		}
		// It leaves its messages unread: what it did not get comes again when it has connected anew.
		c.giveUp(tooSlow)
		return false
	})
	c.attached = append(c.attached, attachment{strings.Clone(device), detach})
}

// attachment is how to get no more commands of a device.
type attachment struct {
	device string
	detach func()
}

func (c *conn) detachAll() {
	for _, a := range c.attached {
		a.detach()
	}
	c.attached = nil
}

// commandResults stores what devices answer.
type commandResults struct{ commands mqtt.Commands }

// CommandResult implements CommandResults. It waits until the result is stored.
func (r commandResults) CommandResult(ctx context.Context, _ *auth.Principal, device string, payload json.RawMessage) *wire.Error {
	id, result, err := commands.DecodeResult(payload)
	if err != nil {
		return wire.AsError(err)
	}
	if id == "" {
		return wire.NewError(wire.CodeFieldMissing, "payload.id")
	}
	stored := make(chan error, 1)
	r.commands.Result(ctx, device, id, result, func(err error) { stored <- err })
	select {
	case err := <-stored:
		if err != nil {
			return wire.AsError(err)
		}
		return nil
	case <-ctx.Done():
		return wire.NewError(wire.CodeNotStored, "")
	}
}
