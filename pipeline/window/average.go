package window

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// AverageKind is a kind of moving average.
type AverageKind uint8

// The kinds of moving average. Simple is the default.
const (
	Simple      AverageKind = iota // mean of the readings in a window of time: Mean
	Exponential                    // forgets with a time constant
	Median                         // of the newest readings: unmoved by a few that are far off
)

var averageKinds = [...]string{"simple", "exponential", "median"}

func (k AverageKind) String() string {
	if int(k) < len(averageKinds) {
		return averageKinds[k]
	}
	return fmt.Sprintf("AverageKind(%d)", uint8(k))
}

// MarshalText writes the kind's name.
func (k AverageKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText takes a kind's name; an empty one is simple.
func (k *AverageKind) UnmarshalText(text []byte) error {
	for i, name := range averageKinds {
		if string(text) == name || len(text) == 0 {
			*k = AverageKind(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a kind of average: simple, exponential or median", text)
}

// AverageSpec says which moving average a series has. Parameters that are zero have defaults, which
// WithDefaults fills in; parameters of another kind must be zero.
type AverageSpec struct {
	Kind AverageKind `yaml:"kind"`
	// Window is how far back, in source time, a simple average looks (default 1m), and a median too, if set.
	Window time.Duration `yaml:"window"`
	// Tau is the time constant of an exponential average (default 1m): the weight of a reading falls to
	// 1/e in that time.
	Tau time.Duration `yaml:"tau"`
	// Samples is how many of the newest readings a median looks at: by default 5, or with a Window as many
	// as there are in it, but never more than MaxMedianSamples.
	Samples int `yaml:"samples"`
}

// defaultSamples of a median ignores two readings in a row that are far off.
const defaultSamples = 5

// WithDefaults returns s with what its kind needs.
func (s AverageSpec) WithDefaults() AverageSpec {
	switch s.Kind {
	case Simple:
		if s.Window == 0 {
			s.Window = DefaultConfig().Window
		}
	case Exponential:
		if s.Tau == 0 {
			s.Tau = time.Minute
		}
	case Median:
		if s.Samples == 0 && s.Window == 0 {
			s.Samples = defaultSamples
		} else if s.Samples == 0 {
			s.Samples = MaxMedianSamples
		}
	}
	return s
}

// Validate names the field that is wrong. Zero parameters are right: they have defaults.
func (s AverageSpec) Validate() error {
	if int(s.Kind) >= len(averageKinds) {
		return errors.New("kind: must be simple, exponential or median")
	}
	if s.Kind != Median && s.Samples != 0 {
		return errors.New("samples: only for kind median")
	}
	if s.Kind != Exponential && s.Tau != 0 {
		return errors.New("tau: only for kind exponential")
	}
	if s.Kind == Exponential && s.Window != 0 {
		return errors.New("window: not for kind exponential, which has tau")
	}
	if s.Window != 0 {
		if err := (Config{Window: s.Window}).Validate(); err != nil {
			return err
		}
	}
	if s.Tau != 0 && (s.Tau < MinWindow || s.Tau > MaxWindow) {
		return errors.New("tau: must be between 1ms and 24h")
	}
	if s.Samples < 0 || s.Samples > MaxMedianSamples {
		return fmt.Errorf("samples: must be between 1 and %d", MaxMedianSamples)
	}
	return nil
}

// Average is the moving average of one series, of any kind. The zero value is empty and ready. All calls
// take the same valid AverageSpec, with its defaults filled in; state that another one made is dropped when
// the kinds differ and refused by Unmarshal in any case. It is not safe for concurrent use.
type Average struct {
	mean  Mean
	other *otherAverage // of the kinds but Simple; nil before the first reading
}

type otherAverage struct {
	kind        AverageKind
	exponential exponential
	median      median
}

// Add takes the reading v at source time t (µs) and returns the average as of the newest reading, or NaN
// when there is none that is a finite number. A v that is not finite is left out.
func (a *Average) Add(t int64, v float64, spec *AverageSpec) float64 {
	if spec.Kind == Simple {
		return a.mean.add(t, v, spec.Window.Microseconds())
	}
	if a.other == nil || a.other.kind != spec.Kind {
		*a = Average{other: &otherAverage{kind: spec.Kind}}
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return a.Value(spec)
	}
	if spec.Kind == Exponential {
		return a.other.exponential.add(t, v, spec.Tau.Microseconds())
	}
	return a.other.median.add(t, v, spec.Samples, spec.Window.Microseconds())
}

// Value is the average as of the newest reading, or NaN when there is none.
func (a *Average) Value(spec *AverageSpec) float64 {
	switch {
	case spec.Kind == Simple:
		return a.mean.Average()
	case a.other == nil || a.other.kind != spec.Kind:
		return math.NaN()
	case spec.Kind == Exponential:
		return a.other.exponential.value()
	}
	return a.other.median.value()
}

// averageLayout is the first byte of a marshalled Average.
const averageLayout = 1

// MarshalAppend appends the state to dst. It has no length of its own: Unmarshal takes exactly these bytes.
//
//	layout byte, kind byte, window (µs), tau (µs), samples uvarint, state by kind
func (a *Average) MarshalAppend(dst []byte, spec *AverageSpec) []byte {
	dst = appendSpec(dst, spec)
	switch {
	case spec.Kind == Simple:
		return a.mean.MarshalAppend(dst)
	case a.other == nil || a.other.kind != spec.Kind:
		return dst
	case spec.Kind == Exponential:
		return a.other.exponential.marshalAppend(dst)
	}
	return a.other.median.marshalAppend(dst)
}

func appendSpec(dst []byte, spec *AverageSpec) []byte {
	dst = append(dst, averageLayout, byte(spec.Kind))
	dst = binary.AppendUvarint(dst, uint64(spec.Window.Microseconds()))
	dst = binary.AppendUvarint(dst, uint64(spec.Tau.Microseconds()))
	return binary.AppendUvarint(dst, uint64(spec.Samples))
}

// Unmarshal replaces a by the state in b, after which it answers as the marshalled Average would have. State
// of another kind or with other parameters than spec's is ErrState, as is a malformed one, and leaves a
// unchanged.
func (a *Average) Unmarshal(b []byte, spec *AverageSpec) error {
	var buf [32]byte
	want := appendSpec(buf[:0], spec)
	if len(b) < len(want) || string(b[:len(want)]) != string(want) {
		return ErrState
	}
	b = b[len(want):]
	var out Average
	if spec.Kind == Simple {
		if err := out.mean.Unmarshal(b); err != nil {
			return err
		}
		*a = out
		return nil
	}
	out.other = &otherAverage{kind: spec.Kind}
	r := reader{b: b}
	if spec.Kind == Exponential {
		out.other.exponential.unmarshal(&r)
	} else {
		out.other.median.unmarshal(&r)
	}
	if !r.done() || len(out.other.median.samples) > spec.Samples && spec.Kind == Median {
		return ErrState
	}
	*a = out
	return nil
}
