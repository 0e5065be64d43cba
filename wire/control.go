package wire

import (
	"encoding/json"
	"fmt"

	"weir/telemetry"
)

// ControlKind says what a control record asks for, or tells of.
type ControlKind string

// ControlDeleteDevice in weir.readings asks that everything known of a device be forgotten; in weir.updates it tells
// that its series, up to Version, are no more.
const ControlDeleteDevice ControlKind = "delete_device"

// Control is a record of weir.readings or weir.updates that holds no batch. It begins with a byte that no batch begins
// with, so that whoever knows batches only refuses it, and goes on as JSON.
type Control struct {
	Kind   ControlKind `json:"kind"`
	Device string      `json:"device"`
	// Time is when it was asked for, in microseconds, By by whom.
	Time int64  `json:"time,omitempty"`
	By   string `json:"by,omitempty"`
	// Version is that of the command in weir.readings; set in weir.updates only.
	Version telemetry.Version `json:"version,omitempty"`
}

// controlMark is a field number that Protocol Buffers do not have.
const controlMark = 0

// IsControl reports whether the value of a record is a Control.
func IsControl(b []byte) bool { return len(b) > 0 && b[0] == controlMark }

// AppendControl appends the record of c.
func AppendControl(dst []byte, c *Control) []byte {
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("wire: encode control: %v", err)) // texts and numbers only
	}
	return append(append(dst, controlMark), text...)
}

// DecodeControl reads a record for which IsControl holds. A kind that is not known is no error.
func DecodeControl(b []byte) (Control, error) {
	var c Control
	if !IsControl(b) {
		return c, fmt.Errorf("decode control: %w: no mark", ErrRecord)
	}
	if err := json.Unmarshal(b[1:], &c); err != nil {
		return c, fmt.Errorf("decode control: %w: %w", ErrRecord, err)
	}
	return c, nil
}
