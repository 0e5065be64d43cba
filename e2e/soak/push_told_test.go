//go:build soak

package soak

import (
	"errors"
	"fmt"
	"slices"

	device "weir/sdk/go"
	"weir/telemetry"
)

// told is what a client, in Go or in Node, has been told, and what it counts.
type told struct {
	Name  string `json:"name"`
	State string `json:"state"`
	// Fault is the first thing that was wrong.
	Fault    string                    `json:"fault"`
	Known    map[string]uint64         `json:"known"` // value by series of counts
	Versions map[string]device.Version `json:"versions"`
	Heard    map[transition]int        `json:"heard"`
	Said     map[string][]said         `json:"said"` // by room, in the order it came
	Gaps     int64                     `json:"gaps"`
	// Resets is how often the chain began anew after the first time.
	Resets   int64 `json:"resets"`
	Resumes  int64 `json:"resumes"`
	Rows     int64 `json:"rows"`
	Readings int64 `json:"readings"`
	Cuts     int64 `json:"cuts"`
	// Late: the client was started in the middle, and joined its rooms for the newest messages.
	Late bool `json:"-"`
	// Follows are the patterns it has subscribed to.
	Follows []telemetry.Pattern `json:"-"`
}

// patternsOf are those of a way.
func patternsOf(w way) (out []telemetry.Pattern) {
	for _, text := range w.Patterns {
		p, err := telemetry.ParsePattern(text)
		if err != nil {
			panic(err) // of the soak's own making
		}
		out = append(out, p)
	}
	return out
}

// transition is one of an alert.
type transition struct {
	id, series string
	version    device.Version
}

// UnmarshalText reads "version id series".
func (t *transition) UnmarshalText(text []byte) error {
	_, err := fmt.Sscan(string(text), &t.version, &t.id, &t.series)
	return err
}

// said is a message of a room: the n-th that was sent to it.
type said struct {
	ID      string `json:"id"`
	Version int64  `json:"version"`
	N       int    `json:"n"`
}

// truth is what every client must have been told.
type truth struct {
	counts   map[string]uint64 // by series
	versions map[string]device.Version
	alerts   map[transition]bool
	messages map[string][]said // by room, in the order of their versions
}

// has reports whether the client is as far as devices and senders, as to what it sees.
func (t *told) has(want *truth) error {
	if t.Fault != "" {
		return nil // told by compare
	}
	if len(t.Known) == 0 {
		return errors.New("has no counts")
	}
	for series, known := range t.Known {
		if n, counted := want.counts[series]; counted && known != n {
			return fmt.Errorf("%s: has %d of %d", series, known, n)
		}
	}
	for room := range t.Said {
		got, all := t.Said[room], want.messages[room]
		switch {
		case len(all) == 0:
		case !t.Late && len(got) < len(all):
			return fmt.Errorf("%s: has %d messages of %d", room, len(got), len(all))
		case len(got) == 0 || got[len(got)-1].Version < all[len(all)-1].Version:
			return fmt.Errorf("%s: has %d messages, and not the newest", room, len(got))
		}
	}
	return nil
}

func (t *told) compare(want *truth) error {
	if t.Fault != "" {
		return errors.New(t.Fault)
	}
	if t.Gaps > 0 {
		return fmt.Errorf("%d gaps", t.Gaps)
	}
	for series, version := range t.Versions {
		if version != want.versions[series] {
			return fmt.Errorf("%s: at version %d, the snapshot has %d", series, version, want.versions[series])
		}
	}
	for series := range want.versions {
		follows := slices.ContainsFunc(t.Follows, func(p telemetry.Pattern) bool { return p.Match(series) })
		if _, sees := t.Versions[series]; follows && !sees {
			return fmt.Errorf("%s: in the snapshot, and not told", series)
		}
	}
	for room, messages := range t.Said {
		all := want.messages[room]
		if t.Late { // what was there before it joined
			all = all[min(max(0, len(all)-len(messages)), max(0, len(all)-soakHistory)):]
		}
		if err := compareRoom(messages, all); err != nil {
			return fmt.Errorf("%s: %w", room, err)
		}
	}
	if t.Resets > 0 {
		return nil // what it heard of alerts before is not known
	}
	for a, times := range t.Heard {
		if !want.alerts[a] || times != 1 {
			return fmt.Errorf("alert %s of %s, version %d: heard %d times, and in the log it is: %v", a.id, a.series, a.version, times, want.alerts[a])
		}
	}
	if t.Late {
		return nil
	}
	for a := range want.alerts {
		if _, sees := t.Versions[a.series]; sees && t.Heard[a] == 0 {
			return fmt.Errorf("alert %s of %s, version %d: not heard", a.id, a.series, a.version)
		}
	}
	return nil
}

// compareRoom compares what a member of a room was told with what its senders' receipts say.
func compareRoom(got, want []said) error {
	for i, m := range got {
		switch {
		case i > 0 && m.Version <= got[i-1].Version:
			return fmt.Errorf("message %+v after %+v", m, got[i-1])
		case i >= len(want):
			return fmt.Errorf("message %+v, of which there is no receipt, after all", m)
		case m != want[i]:
			return fmt.Errorf("message %d is %+v, and by the receipts %+v", i, m, want[i])
		}
	}
	if len(got) < len(want) {
		return fmt.Errorf("%d messages of %d", len(got), len(want))
	}
	return nil
}
