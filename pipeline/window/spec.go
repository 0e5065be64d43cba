package window

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/telemetry"
)

// Kind is a kind of window.
type Kind uint8

// The kinds of windows. Tumbling is the default.
const (
	Tumbling Kind = iota // one after another: [0, size), [size, 2·size), …
	Hopping              // of the same size, one beginning at every multiple of every
	Sliding              // (t−size, t] at every reading
	Session              // readings less than a gap apart
)

var kinds = [...]string{"tumbling", "hopping", "sliding", "session"}

func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// MarshalText writes the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText takes a kind's name; an empty one is tumbling.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kinds {
		if string(text) == name || len(text) == 0 {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a kind of window: tumbling, hopping, sliding or session", text)
}

// Bounds of Spec.
const (
	MaxSize      = 31 * 24 * time.Hour
	MaxFunctions = 16
	DefaultGrace = 10 * time.Second
	// MaxPanes is how many panes may make a window, and how many of them a window may wait for stragglers.
	MaxPanes = 64
)

// Spec declares a window. Durations are whole microseconds; where there is a default, zero stands for it.
type Spec struct {
	// Name is used in the names of results; by default the size, as 1m or 1h30m, and session for sessions.
	Name string `yaml:"name"`
	Kind Kind   `yaml:"kind"`
	// Size of the window in source time; not for sessions, which end when the readings do.
	Size time.Duration `yaml:"size"`
	// Every is the distance between the beginnings of hopping windows, at most Size.
	Every time.Duration `yaml:"every"`
	// Gap without readings ends a session.
	Gap time.Duration `yaml:"gap"`
	// Grace is how long, in the event time of the device, a window waits after its end for readings that come
	// out of order: by default 10 s, or MaxPanes panes if that is less. Sliding windows do not wait.
	Grace *time.Duration `yaml:"grace"`
	// Functions are what to tell of the readings: count, sum, mean, min, max, range, stddev, first, last, and
	// quantiles like p50 or p99.9.
	Functions []string `yaml:"functions"`
	// As is the template of the metrics that hold the results: by default {metric}.{window}.{fn}.
	As string `yaml:"as"`
}

const defaultAs = "{metric}.{window}.{fn}"

// Validate names the field that is wrong.
func (s *Spec) Validate() error {
	if err := s.validateTimes(); err != nil {
		return err
	}
	if err := s.validateGrace(); err != nil {
		return err
	}
	if len(s.Functions) == 0 || len(s.Functions) > MaxFunctions {
		return fmt.Errorf("functions: must be 1 to %d", MaxFunctions)
	}
	for i, name := range s.Functions {
		if _, err := parseFunction(name); err != nil {
			return fmt.Errorf("functions[%d]: %w", i, err)
		}
		for _, before := range s.Functions[:i] {
			if before == name {
				return fmt.Errorf("functions[%d]: %q is there already", i, name)
			}
		}
	}
	return s.validateNames()
}

func (s *Spec) validateTimes() error {
	if int(s.Kind) >= len(kinds) {
		return errors.New("kind: must be tumbling, hopping, sliding or session")
	}
	if s.Kind != Hopping && s.Every != 0 {
		return errors.New("every: only for kind hopping")
	}
	if s.Kind != Session && s.Gap != 0 {
		return errors.New("gap: only for kind session")
	}
	if s.Kind == Session {
		if s.Size != 0 {
			return errors.New("size: not for kind session, which ends after a gap")
		}
		return between("gap", s.Gap, MinWindow, 24*time.Hour)
	}
	if err := between("size", s.Size, MinWindow, MaxSize); err != nil {
		return err
	}
	if s.Kind != Hopping {
		return nil
	}
	if err := between("every", s.Every, MinWindow, s.Size); err != nil {
		return err
	}
	if panes := s.Size / s.pane(); panes > MaxPanes {
		return fmt.Errorf("every: size and every have a common divisor of %v only, which makes %d panes; at most %d are kept", s.pane(), panes, MaxPanes)
	}
	return nil
}

func (s *Spec) validateGrace() error {
	if s.Grace == nil {
		return nil
	}
	if s.Kind == Sliding {
		if *s.Grace != 0 {
			return errors.New("grace: not for kind sliding, which tells of a reading when it comes")
		}
		return nil
	}
	return between("grace", *s.Grace, 0, min(MaxPanes*s.pane(), MaxSize))
}

func (s *Spec) validateNames() error {
	if err := telemetry.CheckMetric(s.name()); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if strings.ContainsAny(s.name(), "{}") {
		return errors.New("name: must not hold braces")
	}
	as := s.As
	if as == "" {
		as = defaultAs
	}
	if len(s.Functions) > 1 && !strings.Contains(as, "{fn}") {
		return errors.New("as: must hold {fn}, or the results of several functions have the same name")
	}
	plain := strings.NewReplacer("{metric}", "m", "{window}", "w", "{fn}", "f").Replace(as)
	if strings.ContainsAny(plain, "{}") {
		return errors.New("as: may hold {metric}, {window} and {fn}, and no other braces")
	}
	if err := telemetry.CheckMetric(plain); err != nil {
		return fmt.Errorf("as: %w", err)
	}
	return nil
}

func between(field string, d, lo, hi time.Duration) error {
	if d < lo || d > hi {
		return fmt.Errorf("%s: must be between %v and %v", field, lo, hi)
	}
	if d%time.Microsecond != 0 {
		return fmt.Errorf("%s: must be whole microseconds", field)
	}
	return nil
}

// pane is the width of the panes of a valid Spec, or the gap of a session.
func (s *Spec) pane() time.Duration {
	switch s.Kind {
	case Hopping:
		a, b := s.Size, s.Every
		for b != 0 {
			a, b = b, a%b
		}
		return a
	case Sliding:
		return (s.Size / paneShare).Truncate(time.Microsecond)
	case Session:
		return s.Gap
	}
	return s.Size
}

func (s *Spec) grace() time.Duration {
	switch {
	case s.Kind == Sliding:
		return 0
	case s.Grace != nil:
		return *s.Grace
	}
	return min(DefaultGrace, MaxPanes*s.pane())
}

func (s *Spec) name() string {
	if s.Name != "" {
		return s.Name
	}
	if s.Kind == Session {
		return "session"
	}
	name := s.Size.String()
	if strings.HasSuffix(name, "m0s") {
		name = strings.TrimSuffix(name, "0s")
	}
	if strings.HasSuffix(name, "h0m") {
		name = strings.TrimSuffix(name, "0m")
	}
	return name
}
