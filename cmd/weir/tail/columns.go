package tail

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// column is one of a row's, as a table and as a line of JSON shows it. What is unknown, or is of no readings, is "-" or nil.
type column struct {
	name   string
	header string
	width  int // negative: aligned to the left
	shown  bool
	text   func(u *telemetry.Update) string
	value  func(u *telemetry.Update) any
}

// ofReadings are columns of the merged readings, which there may be none of.
func ofReadings(name, header string, shown bool, get func(u *telemetry.Update) float64) column {
	return column{
		name, header, 11, shown,
		func(u *telemetry.Update) string {
			if u.N == 0 {
				return "-"
			}
			return number(get(u))
		},
		func(u *telemetry.Update) any {
			if u.N == 0 {
				return nil
			}
			return known(get(u))
		},
	}
}

func asOfVersion(name, header string, shown bool, get func(u *telemetry.Update) float64) column {
	return column{
		name, header, 11, shown,
		func(u *telemetry.Update) string { return number(get(u)) },
		func(u *telemetry.Update) any { return known(get(u)) },
	}
}

func count(name, header string, shown bool, get func(u *telemetry.Update) uint64) column {
	return column{
		name, header, 6, shown,
		func(u *telemetry.Update) string { return strconv.FormatUint(get(u), 10) },
		func(u *telemetry.Update) any { return get(u) },
	}
}

func state(name, header string, shown bool, get func(u *telemetry.Update) telemetry.State) column {
	return column{
		name, header, -9, shown,
		func(u *telemetry.Update) string { return get(u).String() },
		func(u *telemetry.Update) any { return get(u).String() },
	}
}

func moment(name, header string, none func(u *telemetry.Update) bool, get func(u *telemetry.Update) int64) column {
	return column{
		name, header, -12, false,
		func(u *telemetry.Update) string {
			if none(u) {
				return "-"
			}
			return time.UnixMicro(get(u)).Format(clockFormat)
		},
		func(u *telemetry.Update) any {
			if none(u) {
				return nil
			}
			return get(u)
		},
	}
}

// all are the columns in the order of a row; those without a text stand elsewhere in a table.
var all = func() []column {
	empty := func(u *telemetry.Update) bool { return u.N == 0 }
	never := func(*telemetry.Update) bool { return false }
	score := column{
		"score", "SCORE", 5, true,
		func(u *telemetry.Update) string { return score(u.Score) },
		func(u *telemetry.Update) any { return known(u.Score) },
	}
	return []column{
		{name: "version", value: func(u *telemetry.Update) any { return u.Version }},
		{name: "since", value: func(u *telemetry.Update) any { return u.Since }},
		count("n", "N", true, func(u *telemetry.Update) uint64 { return u.N }),
		count("late", "LATE", false, func(u *telemetry.Update) uint64 { return u.Late }),
		count("invalid", "INVAL", false, func(u *telemetry.Update) uint64 { return u.Invalid }),
		moment("first_ts", "FIRST", empty, func(u *telemetry.Update) int64 { return u.FirstTime }),
		{name: "last_ts", value: moment("", "", empty, func(u *telemetry.Update) int64 { return u.LastTime }).value},
		ofReadings("last", "LAST", true, func(u *telemetry.Update) float64 { return u.Last }),
		ofReadings("min", "MIN", true, func(u *telemetry.Update) float64 { return u.Min }),
		ofReadings("max", "MAX", true, func(u *telemetry.Update) float64 { return u.Max }),
		ofReadings("sum", "SUM", false, func(u *telemetry.Update) float64 { return u.Sum }),
		asOfVersion("avg", "AVG", true, func(u *telemetry.Update) float64 { return u.Avg }),
		asOfVersion("lo", "LO", false, func(u *telemetry.Update) float64 { return u.Lo }),
		asOfVersion("hi", "HI", false, func(u *telemetry.Update) float64 { return u.Hi }),
		state("state", "STATE", true, func(u *telemetry.Update) telemetry.State { return u.State }),
		score,
		state("worst", "WORST", false, func(u *telemetry.Update) telemetry.State { return u.Worst }),
		moment("ingest_ts", "INGESTED", never, func(u *telemetry.Update) int64 { return u.IngestTime }),
		moment("emit_ts", "EMITTED", never, func(u *telemetry.Update) int64 { return u.EmitTime }),
	}
}()

// choose returns the columns with those names, and those that every row has; without names all.
func choose(names []string) ([]column, error) {
	set, unknown := wire.ParseColumns(names)
	if unknown >= 0 {
		return nil, fmt.Errorf("--fields: there is no %q; there are %s", names[unknown], strings.Join(wire.Columns()[1:], ", "))
	}
	var chosen []column
	for _, name := range set.Names()[1:] {
		for _, c := range all {
			if c.name == name {
				chosen = append(chosen, c)
			}
		}
	}
	return chosen, nil
}

// appendField appends a field of a JSON object with its comma.
func appendField(dst []byte, name string, value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("null") // a number that is not finite
	}
	return append(append(append(append(dst, `,"`...), name...), `":`...), text...)
}
