//go:build soak

package soak

import (
	"weir/wire"
)

// streamPlans are the declared pipelines that a stream changes between. None: the pipeline's defaults stay.
var streamPlans []string

func planControl(text string, now int64) *wire.Control {
	return &wire.Control{Kind: wire.ControlPlan, Time: now, By: "soak", Text: text}
}
