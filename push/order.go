package push

import (
	"math"

	"weir/telemetry"
	"weir/wire"
)

// order says which of two series is the first: the one with the greater rank, and of equal ones the one whose name comes
// first. Clients can do the same with the rows they have.
type order struct {
	text string
	rank func(*telemetry.Update) rank
}

// rank is compared number by number.
type rank [3]float64

// lowest is the part of a rank that comes last: of a value that is unknown.
var lowest = math.Inf(-1)

// newOrder reads what wire.ParseOrder accepts; "" is the worst first.
func newOrder(text string) *order {
	if text == "" {
		text = wire.OrderWorst
	}
	o, known := wire.ParseOrder(text)
	if !known {
		panic("push: order " + text + " was not checked")
	}
	if o.Worst {
		return &order{text, worst}
	}
	sign, of := -1.0, columnNumbers[wire.Columns()[o.Column]]
	if o.Descending {
		sign = 1
	}
	return &order{text, func(u *telemetry.Update) rank { return rank{orLowest(sign * of(u))} }}
}

// worst ranks by state, by score, and by how far the value is from what was expected, in widths of the band.
func worst(u *telemetry.Update) rank {
	away := lowest
	if u.N > 0 {
		away = orLowest(math.Abs(u.Last-u.Avg) / (u.Hi - u.Lo))
	}
	return rank{float64(u.State), orLowest(u.Score), away}
}

func orLowest(v float64) float64 {
	if math.IsNaN(v) {
		return lowest
	}
	return v
}

func (r *rank) compare(other *rank) int {
	for i := range r {
		switch {
		case r[i] > other[i]:
			return 1
		case r[i] < other[i]:
			return -1
		}
	}
	return 0
}
