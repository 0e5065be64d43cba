package backtest

import (
	"cmp"
	"slices"
	"strings"

	"weir/wire"
)

// maxExample bounds the message of an example, in bytes.
const maxExample = 300

// LetterTotal sums the records that would have gone to the dead letters with a code.
type LetterTotal struct {
	Code    string `json:"code"`
	Records int64  `json:"records"`
	// Example is the first of them that is of a device that takes part.
	Example *Letter `json:"example,omitempty"`
}

// Letter is a record that could not be applied, and why.
type Letter struct {
	Device string `json:"device"`
	// Path is where in the record; empty: all of it.
	Path    string `json:"path"`
	Message string `json:"message"`
	// Time is the processing time (µs).
	Time int64 `json:"time_us"`
}

// letters count dead letters by code. There are few codes, and of each one example is kept.
type letters map[string]*LetterTotal

// take counts a letter. One that is not to be shown is no example.
func (l letters) take(letter *wire.DeadLetter, now int64, shown bool) {
	total := l[letter.Code]
	if total == nil {
		total = &LetterTotal{Code: letter.Code}
		l[letter.Code] = total
	}
	total.Records++
	if shown && total.Example == nil {
		message, _, _ := strings.Cut(letter.Message, "\n") // a stack follows
		message = strings.ToValidUTF8(message[:min(len(message), maxExample)], "")
		total.Example = &Letter{letter.Device, letter.Path, message, now}
	}
}

func (l letters) totals() []LetterTotal {
	out := make([]LetterTotal, 0, len(l))
	for _, total := range l {
		out = append(out, *total)
	}
	slices.SortFunc(out, func(a, b LetterTotal) int { return cmp.Compare(a.Code, b.Code) })
	return out
}
