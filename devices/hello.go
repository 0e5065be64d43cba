package devices

import (
	"context"
	"encoding/json"

	"weir/auth"
	"weir/wire"
)

// helloPath is what the paths of a hello's fields begin with.
const helloPath = "payload"

// Hello takes what a device says of itself: {"device", "metadata"?, "will"?}. Metadata replaces what was known, and
// so does the will that of the connection, which WithConn has put into ctx; null takes it back. A refusal leaves
// both as they were.
func (r *Registry) Hello(ctx context.Context, p *auth.Principal, device string, payload json.RawMessage) *wire.Error {
	var meta *Meta
	var will *Will
	var hasWill bool
	if len(payload) > 0 && !isNull(payload) {
		err := eachField(payload, helloPath, func(name, path string, v json.RawMessage) (err *wire.Error) {
			switch name {
			case "device":
				return nil // is known
			case "metadata":
				meta, err = DecodeMeta(v, path)
				return err
			case "will":
				hasWill = true
				will, err = r.decodeWill(device, v, path)
				return err
			}
			return wire.NewError(wire.CodeFieldUnknown, path)
		})
		if err != nil {
			return err
		}
	}
	if meta != nil {
		w := setting{device: device, meta: meta, by: p.Subject, expected: anyVersion, paced: true}
		if _, _, err := r.setMeta(ctx, w); err != nil {
			return err
		}
	}
	c := connOf(ctx)
	if c == nil {
		return nil
	}
	if !c.Attach(device) {
		return refuse(wire.CodeLimitDevice, "payload.device", "the connection speaks for too many devices")
	}
	if hasWill {
		c.SetWill(device, will)
	}
	return nil
}
