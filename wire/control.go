package wire

import (
	"encoding/json"
	"fmt"

	"weir/telemetry"
)

// ControlKind says what a control record asks for, or tells of.
type ControlKind string

const (
	// ControlDeleteDevice in weir.readings asks that everything known of a device be forgotten; in weir.updates it tells
	// that its series, up to Version, are no more.
	ControlDeleteDevice ControlKind = "delete_device"
	// ControlTick advances the processing time of a partition to Time. Its owner writes one when a timer is due.
	ControlTick ControlKind = "tick"
	// ControlPlan puts the declared pipelines in Text into force for a partition.
	ControlPlan ControlKind = "plan"
	// ControlAlert does something to an alert of Device.
	ControlAlert ControlKind = "alert"
	// ControlSilence makes, changes or ends a silence; it is written to every partition.
	ControlSilence ControlKind = "silence"
	// ControlPartial brings readings of members of a group, already summed up, to the group's Device.
	ControlPartial ControlKind = "partial"
)

// Control is a record of weir.readings or weir.updates that holds no batch. It begins with a byte that no batch begins
// with, so that whoever knows batches only refuses it, and goes on as JSON. A kind is added, never changed.
type Control struct {
	Kind   ControlKind `json:"kind"`
	Device string      `json:"device,omitempty"`
	// Time is when it was asked for, in microseconds, By by whom.
	Time int64  `json:"time,omitempty"`
	By   string `json:"by,omitempty"`
	// Version is that of the command in weir.readings; set in weir.updates only.
	Version telemetry.Version `json:"version,omitempty"`

	// Text is the file of a plan.
	Text    string                  `json:"text,omitempty"`
	Alert   *telemetry.AlertCommand `json:"alert,omitempty"`
	Silence *telemetry.Silence      `json:"silence,omitempty"`
	Partial *Partial                `json:"partial,omitempty"`
}

// Partial is what one partition contributes to some windows of a group.
type Partial struct {
	// Source is the partition, Version that of the record there which made it send: both together tell a repetition.
	Source  int               `json:"source"`
	Version telemetry.Version `json:"version"`
	// As is the group as the plan has it, Group the series that holds the first of its functions, Windows are contents as
	// package pipeline/window encodes them.
	As      string   `json:"as"`
	Group   string   `json:"group"`
	Windows [][]byte `json:"windows"`
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
