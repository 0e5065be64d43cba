package detect

// Counters only rise, and every reading of one is a new maximum. A series whose first readings move one way
// only is judged by its rate of change.
const (
	trendAfter = 50
	trendMoves = 10
	// A series that was taken for a counter and then moves back trendTurns times in trendSpan readings is none;
	// a counter that begins at zero again moves back once in a long while.
	trendTurns = 3
	trendSpan  = 250
)

// trend tells counters from other series. It looks again at a series only when it was wrong.
type trend struct {
	// before is the reading before the newest.
	before float64
	// readings, rises and falls are counted until it is decided; then turns are.
	readings, rises, falls, turns uint8
	on, decided, down             bool
}

// difference is the value to be judged: x itself, or the rate (per second) of a series that only rises or
// only falls. It is not ok if there is no rate: on the first reading of a counter, when it begins at zero
// again, and when no time has passed.
func (d *Detector) difference(t int64, x float64) (y float64, ok bool) {
	c := &d.trend
	if d.flags&flagBegun == 0 {
		return x, true
	}
	if !c.decided {
		c.readings++
		if x > d.raw {
			c.rises++
		} else if x < d.raw {
			c.falls++
		}
		if c.readings < trendAfter {
			return x, true
		}
		c.decided = true
		if min(c.rises, c.falls) > 0 || max(c.rises, c.falls) < trendMoves {
			return x, true
		}
		d.restart(trend{decided: true, on: true, down: c.falls > 0})
	}
	if !c.on {
		return x, true
	}
	return d.rate(t, x)
}

func (d *Detector) rate(t int64, x float64) (float64, bool) {
	c := &d.trend
	if c.readings++; c.readings >= trendSpan {
		c.readings, c.turns = 0, 0
	}
	change := x - d.raw
	if change != 0 && (change < 0) != c.down {
		if c.turns++; c.turns >= trendTurns {
			d.restart(trend{decided: true})
			return x, true
		}
		return 0, false
	}
	elapsed := float64(t) - float64(d.time)
	if !(elapsed > 0) {
		return 0, false
	}
	c.before = d.raw
	// 24 bits: a steady counter must not look restless because of rounding.
	return float64(float32(min(max(change/elapsed*1e6, -1e38), 1e38))), true
}

// restart forgets what was learned of the values, and begins with another reading of what the series is.
func (d *Detector) restart(as trend) {
	*d = Detector{
		time: d.time, peaked: d.peaked, loud: d.loud, pace: d.pace, raw: d.raw,
		flags: d.flags & (flagBegun | flagRaised), trend: as,
	}
}
