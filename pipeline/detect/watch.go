package detect

import "math"

const (
	// still is the step, as a share of the usual one, up to which a series counts as calm.
	still = 0.02
	// A calm is reported when it lasts calmTimes as long as the longest one and at least calmLeast readings,
	// in a series that has moved calmMoves times before.
	calmTimes = 4
	calmLeast = 60
	calmMoves = 200
	// A new level is reported when the slow average has been levelFar scales of the old one away for
	// levelLasts readings. A level is known after levelWarmup readings.
	levelFar    = 3
	levelLasts  = 100
	levelWarmup = 300
	levelGain   = 0.002
)

// calm watches for a series that stops moving.
type calm struct {
	// step is the usual change between readings, longest the longest calm so far; it is forgotten slowly.
	step, longest float64
	// moves counts changes, length the readings of the present calm, same those that repeat one value.
	moves, length, same uint32
}

// observe returns how long the present calm is as a multiple of what is worth a report.
func (c *calm) observe(change float64) float64 {
	if change > still*c.step {
		c.longest = max(0.99*c.longest, float64(c.length))
		c.length, c.same = 0, 0
		c.moves = min(c.moves+1, calmMoves)
		if c.moves > warmup {
			change = min(change, clip*c.step) // one leap must not make all that follows look calm
		}
		c.step += max(gain, 1/float64(c.moves)) * (change - c.step)
		return 0
	}
	c.length = min(c.length+1, math.MaxUint32-1)
	if change == 0 {
		c.same = min(c.same+1, math.MaxUint32-1)
	}
	if c.moves < calmMoves {
		return 0
	}
	return float64(c.length) / max(calmLeast, calmTimes*c.longest)
}

// plateau watches for a series that moves to another level and stays.
type plateau struct {
	mean, variance float64
	n              uint16
	// away counts readings in a row on one side, with its sign.
	away int16
}

// observe returns how far, as a multiple of levelFar, the new level is away on the reading on which it is
// certain, else 0. recent is the average of the last readings, minimum the least scale.
func (l *plateau) observe(y, recent, minimum float64) float64 {
	scale := math.Sqrt(l.variance) + minimum
	far := (recent - l.mean) / max(scale, math.SmallestNonzeroFloat64)
	if l.n >= levelWarmup && math.Abs(far) > levelFar {
		side := int16(1)
		if far < 0 {
			side = -1
		}
		if l.away*side < 0 {
			l.away = 0
		}
		if l.away += side; l.away*side < levelLasts {
			return 0
		}
		l.mean, l.away = recent, 0
		return min(math.Abs(far)/levelFar, 1e6)
	}
	l.away = 0
	if l.n < 1/levelGain {
		l.n++
	}
	g := max(levelGain, 1/float64(l.n))
	diff := y - l.mean
	if l.n >= levelWarmup {
		// What is on its way to another level must not widen the old one.
		diff = min(max(diff, -levelFar*scale), levelFar*scale)
	}
	step := g * diff
	l.mean += step
	l.variance = (1 - g) * (l.variance + diff*step)
	return 0
}

// watch runs the heads that look at how a series behaves over time. It returns the severity, as a multiple
// of the alert level, and the head on the one reading on which there is something to report.
func (d *Detector) watch(p *Params, y float64, first bool) (float64, Head) {
	if first {
		d.level.mean = y
		return 0, HeadNone
	}
	quiet := d.calm.observe(math.Abs(y - d.last))
	shift := d.level.observe(y, d.slow, floor*d.spread.magnitude)
	if quiet < 1 {
		d.flags &^= flagTold
	} else if d.flags&flagTold == 0 {
		head, on := HeadFlat, p.heads.Flat
		if d.calm.same == d.calm.length {
			head, on = HeadStuck, p.heads.Stuck
		}
		if on {
			d.flags |= flagTold
			return quiet, head
		}
	}
	if shift >= 1 && p.heads.Shift {
		return shift, HeadShift
	}
	return 0, HeadNone
}
