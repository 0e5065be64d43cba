package sim

import (
	"time"

	"weir/telemetry"
)

// Source is what one device measures.
type Source interface {
	// Device is the device's path.
	Device() string
	// Step returns what is due at now. It is called by one goroutine, with times that do not go back.
	Step(now time.Time) Step
}

// Step is what a device does next.
type Step struct {
	// Readings make one frame; there may be none. They are valid until the next Step.
	Readings []telemetry.Reading
	// Next is when to call again, at once if it has passed. Zero says that the source has ended.
	Next time.Time
	// Disconnect, if above zero, makes the device drop its connection without farewell and stay away for
	// that long.
	Disconnect time.Duration
	// Skipped counts readings that were due but are lost, because Step was called too late.
	Skipped int
}

// memory is how far back a source keeps readings for a device that cannot send them.
const memory = 30 * time.Second
