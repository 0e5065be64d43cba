package detect

import (
	"math"

	"weir/telemetry"
)

// Constants of Deviation: one set for every series.
const (
	// gain of the averages; early it is 1/n, so that the first hundred readings count alike.
	gain = 0.01
	// warmup readings are learned before the first is judged.
	warmup = 30
	// floor of the scale, as a share of the usual magnitude: a change by less than level×floor of the
	// usual value (18 %) is never an alert, however steady the series was.
	floor = 0.03
	// level is the deviation, in scales, that is an alert. Six standard deviations are far outside what
	// noise does, with normal or heavier tails.
	level = 6
	// clip bounds what one reading can teach, in scales, so that a fault does not become the norm at once.
	clip = 10
	// largest magnitude that is told apart: the square of a difference must stay finite.
	largest = 1e150
)

// Deviation measures how far a reading lies from an exponentially weighted mean, in units of
//
//	scale = standard deviation + floor × mean magnitude
//
// The variance follows Welford's update in West's exponentially weighted form (Finch, "Incremental
// calculation of weighted mean and variance", 2009). The score is z/(z+level) for a deviation of z scales,
// hence AlertScore at mean ± level×scale, which is the band. The zero value is ready.
type Deviation struct {
	mean, variance float64
	// magnitude is the mean of |x|.
	magnitude float64
	hold      hold
	// n counts readings up to 1/gain, after which nothing depends on it.
	n uint8
}

// Observe implements Detector.
func (d *Deviation) Observe(t int64, v float64) Verdict {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return d.unchanged()
	}
	v = min(max(v, -largest), largest)
	if d.n < warmup {
		d.learn(v, math.Inf(1))
		return Verdict{Lo: math.NaN(), Hi: math.NaN(), State: telemetry.Warming}
	}
	scale := d.scale()
	out := d.hold.judge(t, severity(math.Abs(v-d.mean), scale))
	out.Lo, out.Hi = d.mean-level*scale, d.mean+level*scale
	d.learn(v, clip*scale)
	return out
}

// learn takes v into the averages, moved towards the mean until no more than reach away from it.
func (d *Deviation) learn(v, reach float64) {
	g := gain
	if d.n < 1/gain {
		d.n++
		g = 1 / float64(d.n)
	}
	diff := v - d.mean
	// A scale of zero says that only zeros were seen; then there is nothing to measure reach by.
	if reach > 0 {
		diff = min(max(diff, -reach), reach)
	}
	step := g * diff
	d.magnitude += g * (math.Abs(d.mean+diff) - d.magnitude)
	d.mean += step
	d.variance = (1 - g) * (d.variance + diff*step)
}

func (d *Deviation) scale() float64 { return math.Sqrt(d.variance) + floor*d.magnitude }

// unchanged is the verdict on a value that is no value.
func (d *Deviation) unchanged() Verdict {
	if d.n < warmup {
		return Verdict{Lo: math.NaN(), Hi: math.NaN(), State: telemetry.Warming}
	}
	scale := d.scale()
	out := Verdict{Lo: d.mean - level*scale, Hi: d.mean + level*scale, State: telemetry.OK}
	if d.hold.raised {
		out.State = telemetry.Alerting
	}
	return out
}

// severity maps a deviation to [0, 1): AlertScore at level scales, towards 1 without reaching it. From a
// scale of zero (only zeros so far) any change is as severe as can be.
func severity(deviation, scale float64) float64 {
	if deviation == 0 {
		return 0
	}
	const below1 = 1 - 1.0/(1<<53)
	return min(deviation/(deviation+level*scale), below1)
}
