package rule

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"weir/telemetry"
)

// Rule is a Spec, compiled. It is immutable and shared by all series that it is for.
type Rule struct {
	name     string
	hash     uint64
	kind     Kind
	severity telemetry.Severity

	watches                              source
	value                                Value
	above, below, clearAbove, clearBelow float64
	minScore                             float64
	heads                                []string
	raise, clear                         *condition // of Expr; clear may be nil

	// Durations are in microseconds.
	hold, keep  int64
	flapCount   int // 0: flapping is off
	flapPeriod  int64
	labels      []text
	annotations []text
	inhibitedBy []string
}

// Compile checks the rule and prepares it. Its error joins a FieldError for everything that is wrong.
func (s *Spec) Compile() (*Rule, error) {
	err := s.check()
	labels, labelErr := compileTexts("labels", s.Labels, MaxLabelBytes)
	annotations, annotationErr := compileTexts("annotations", s.Annotations, MaxAnnotationBytes)
	raise, raiseErr := compileCondition("raise", s.Raise)
	clear, clearErr := compileCondition("clear", s.Clear)
	if err := errors.Join(err, raiseErr, clearErr, labelErr, annotationErr); err != nil {
		return nil, err
	}
	r := &Rule{
		name: s.Name, kind: s.Kind, severity: s.Severity, value: s.Value,
		minScore: s.MinScore, heads: slices.Clone(s.Heads), raise: raise, clear: clear,
		hold: s.For.Microseconds(), keep: s.KeepFiringFor.Microseconds(),
		labels: labels, annotations: annotations, inhibitedBy: slices.Clone(s.InhibitedBy),
	}
	r.above, r.below, r.clearAbove, r.clearBelow = s.levels()
	if r.severity == "" {
		r.severity = telemetry.Warning
	}
	if r.value == "" {
		r.value = Last
	}
	if !s.Flapping.Off {
		r.flapCount, r.flapPeriod = s.Flapping.Count, s.Flapping.Period.Microseconds()
		if r.flapCount == 0 {
			r.flapCount = DefaultFlapCount
		}
		if r.flapPeriod == 0 {
			r.flapPeriod = DefaultFlapPeriod.Microseconds()
		}
	}
	r.watches = sourceOf(r.kind, r.value)
	r.hash = r.fingerprint(s)
	return r, nil
}

// Name is unique among the rules of a series.
func (r *Rule) Name() string { return r.name }

// Kind is what the condition looks at.
func (r *Rule) Kind() Kind { return r.kind }

// Severity of the rule's alerts.
func (r *Rule) Severity() telemetry.Severity { return r.severity }

// Hash tells rules apart by all that has an influence on state: not by labels, annotations and inhibition, which may
// change under an open alert.
func (r *Rule) Hash() uint64 { return r.hash }

func (r *Rule) fingerprint(s *Spec) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%q %q %q %q %v %v %v %v %v %q %q %q %d %d %d %d",
		r.name, r.kind, r.severity, r.value, r.above, r.below, r.clearAbove, r.clearBelow, r.minScore, r.heads,
		s.Raise, s.Clear, r.hold, r.keep, r.flapCount, r.flapPeriod)
	return h.Sum64()
}

// ID names an alert by its partition and a hash (FNV-1a, 128 bits) of what raised it, so that a replay gives it the
// same name.
func ID(partition int, rule, series string, raised telemetry.Version) string {
	h := fnv.New128a()
	var sum [16]byte
	_, _ = h.Write([]byte(rule + "\x00" + series + "\x00"))
	_, _ = h.Write(binary.BigEndian.AppendUint64(sum[:0], uint64(raised)))
	return strconv.Itoa(partition) + "-" + hex.EncodeToString(h.Sum(sum[:0]))
}
