package rule

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"weir/telemetry"
)

// Bounds of silences.
const (
	MaxSilences     = 1024 // in one partition, those that have not begun included
	MaxSilenceRules = 100
	maxSilenceBy    = 2048     // of who made it, in bytes
	maxComment      = 1 << 10  // bytes
	maxSilenceBytes = 60 << 10 // of the marshalled form
)

// ErrTooManySilences refuses another one.
var ErrTooManySilences = errors.New("too many silences")

// Silences are those of a partition. The zero value has none.
type Silences struct {
	list []silence // by id
}

type silence struct {
	telemetry.Silence
	pattern telemetry.Pattern
}

// Put adds a silence, or replaces the one with its id: ending one moves its Until. Those that ended before now
// (processing time, µs) are dropped.
func (s *Silences) Put(x telemetry.Silence, now int64) error {
	p, err := checkSilence(&x)
	if err != nil {
		return err
	}
	s.expire(now)
	i, found := s.find(x.ID)
	switch {
	case found:
		s.list[i] = silence{x, p}
	case x.Until <= now:
	case len(s.list) >= MaxSilences:
		return fmt.Errorf("%w: at most %d", ErrTooManySilences, MaxSilences)
	default:
		s.list = slices.Insert(s.list, i, silence{x, p})
	}
	return nil
}

func checkSilence(x *telemetry.Silence) (telemetry.Pattern, error) {
	p, err := telemetry.ParsePattern(x.Series)
	var c checker
	c.that(x.ID != "" && len(x.ID) <= MaxNameBytes, "id", "has to be 1 to %d bytes", MaxNameBytes)
	c.that(utf8.ValidString(x.ID), "id", "is not text")
	if err != nil {
		c.that(false, "series", "%v", err)
	}
	c.that(len(x.Rules) <= MaxSilenceRules, "rules", "more than %d", MaxSilenceRules)
	for i, name := range x.Rules {
		// A name that no rule has does no harm.
		c.that(name != "" && len(name) <= 4*MaxNameBytes, fmt.Sprintf("rules[%d]", i), "has to be 1 to %d bytes", 4*MaxNameBytes)
	}
	for i, severity := range x.Severities {
		c.that(slices.Contains([]telemetry.Severity{telemetry.Info, telemetry.Warning, telemetry.Critical}, severity),
			fmt.Sprintf("severities[%d]", i), "%q is none of info, warning, critical", clip(string(severity), MaxNameBytes))
	}
	c.that(len(x.Severities) <= MaxSilenceRules, "severities", "more than %d", MaxSilenceRules)
	c.that(x.From <= x.Until, "until", "is before from")
	c.that(len(x.By) <= maxSilenceBy, "by", "longer than %d bytes", maxSilenceBy)
	c.that(len(x.Comment) <= maxComment, "comment", "longer than %d bytes", maxComment)
	if len(c.errs) == 0 {
		c.that(len(marshalSilence(nil, x)) <= maxSilenceBytes, "rules", "the silence is longer than %d bytes", maxSilenceBytes)
	}
	return p, errors.Join(c.errs...)
}

func (s *Silences) find(id string) (int, bool) {
	return slices.BinarySearchFunc(s.list, id, func(x silence, id string) int { return cmp.Compare(x.ID, id) })
}

// expire drops the silences that ended at or before now (processing time, µs).
func (s *Silences) expire(now int64) {
	s.list = slices.DeleteFunc(s.list, func(x silence) bool { return x.Until <= now })
}

func inForce(x *telemetry.Silence, now int64) bool { return x.From <= now && now < x.Until }

// Covers are the ids of the silences in force at now (processing time, µs) that are about the alert, sorted.
func (s *Silences) Covers(a *telemetry.Alert, now int64) []string {
	var ids []string
	for i := range s.list {
		x := &s.list[i]
		if inForce(&x.Silence, now) &&
			(len(x.Rules) == 0 || slices.Contains(x.Rules, a.Rule)) &&
			(len(x.Severities) == 0 || slices.Contains(x.Severities, a.Severity)) &&
			x.pattern.Match(a.Series) {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

const silenceLayout = 1

// MarshalAppend appends the silence with the id to dst, or reports false if there is none: a layout byte, and the
// silence as JSON. They are few and written by people; a layout of their own would save nothing. Each is marshalled
// by itself, for all together would be too long for a record.
func (s *Silences) MarshalAppend(dst []byte, id string) ([]byte, bool) {
	i, found := s.find(id)
	if !found {
		return dst, false
	}
	return marshalSilence(dst, &s.list[i].Silence), true
}

func marshalSilence(dst []byte, x *telemetry.Silence) []byte {
	b := bytes.NewBuffer(append(dst, silenceLayout))
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false) // six bytes for one
	if err := e.Encode(x); err != nil {
		panic("rule: a silence cannot be written: " + err.Error()) // strings and integers only
	}
	return b.Bytes()
}

// Unmarshal puts the silence with the id, which MarshalAppend wrote, in place of the one that is there. It may be over
// or one of more than MaxSilences: it was taken once. On an error s is unchanged.
func (s *Silences) Unmarshal(id string, b []byte) error {
	if len(b) == 0 || b[0] != silenceLayout {
		return ErrState
	}
	var x telemetry.Silence
	if err := json.Unmarshal(b[1:], &x); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	p, err := checkSilence(&x)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if x.ID != id {
		return ErrState
	}
	s.Remove(id)
	i, _ := s.find(id)
	s.list = slices.Insert(s.list, i, silence{x, p})
	return nil
}

// Remove drops the silence with the id, if there is one.
func (s *Silences) Remove(id string) {
	if i, found := s.find(id); found {
		s.list = slices.Delete(s.list, i, i+1)
	}
}
