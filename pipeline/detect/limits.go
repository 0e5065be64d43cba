package detect

import (
	"errors"
	"time"
)

// AlertScore is the score at which an alert is raised.
const AlertScore = 0.5

// An alert ends when holdReadings in a row were quiet and holdTime of source time has passed without a
// severe one. The first suits slow series, where a single quiet reading proves little; the second fast
// ones, where twenty readings pass before a person could look.
const (
	holdReadings = 20
	holdTime     = 10 * time.Second
)

// What the heads have in common.
const (
	// gain of the averages; early it is 1/n, so that the first hundred readings count alike.
	gain = 0.01
	// warmup readings are learned before the first is judged.
	warmup = 30
	// floor of the scale, as a share of the usual magnitude.
	floor = 0.03
	// clip bounds what one reading can teach, in scales, so that a fault does not become the norm at once.
	clip = 10
	// largest magnitude that is told apart: the square of a difference must stay finite.
	largest = 1e150
)

// ErrState is returned by Unmarshal for bytes that no Detector wrote.
var ErrState = errors.New("detect: malformed state")
