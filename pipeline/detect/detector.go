package detect

import (
	"math"
	"time"

	"weir/telemetry"
)

// Constants of Detector, one set for every series. docs/detector.md tells where they come from.
const (
	// fastGain and slowGain are those of the two averages whose difference is the slope; driftGain that of
	// the average distance from the profile.
	fastGain  = 0.3
	slowGain  = 0.05
	driftGain = 0.2
	// noveltyUnit is the novelty, summed over the planes, that is an alert: two or three cells off in one.
	noveltyUnit = 0.075
	// noveltyWarmup readings (unhurried ones) are learned before novelty says anything; up to a few times noveltyTrust it is
	// believed in part only, because everything is new to a young series.
	noveltyWarmup = 60
	noveltyTrust  = 200
	// fadeGain is the share of habituation that a reading takes away; it lasts for about a thousand.
	fadeGain = 0.001
	// habituation is by how much a fully novel reading, and alertHabit by how much an alert, raises the bar.
	habituation = 0.0225
	alertHabit  = 0.1
	// awayLevel is the deviation, in scales, at which severity reaches AlertScore; at twice that the head
	// raises an alert, if it has not done so lately: each excursion raises the bar by excursionHabit.
	awayLevel      = 4
	excursionHabit = 3
	// negligible is the span of a series, as a share of its magnitude, below which novelty counts in proportion.
	negligible = 0.01
	// echo is for how many readings after a peak only a higher one raises an alert; then the peak fades.
	echo     = 100
	echoFade = 0.95
	// unhurried (s) is how far apart readings are that count in full for how well a series is known, and for how fast its
	// habits fade. Closer ones count by their distance: sixty readings in a minute say no more of what a series does in a
	// day than one, and everything is new to a series that is a minute old.
	unhurried = 60
	// backwards readings in a row that are older than the newest say that the clock was set back.
	backwards = 20
)

// Detector judges the readings of one series and learns them. The zero value is ready. It is a flat value
// without pointers and not safe for concurrent use.
type Detector struct {
	// Times are µs of source time: of the newest reading, of the newest peak, and since when the alert is quiet.
	time, peaked, loud int64
	// pace is the usual time (µs) between readings.
	pace float64
	// raw is the newest reading as it came.
	raw float64
	// origin is the first value judged; values below are differences from it, last is the newest.
	origin, last float64
	fast, slow   float64
	drift        float64
	// The habits and the peak of what raises alerts.
	noveltyHabit, alertsHabit, excursions, peak float64

	spread  spread
	calm    calm
	level   plateau
	profile profile
	seen    occupancy

	// age counts the values judged by how much they count (unhurried); n counts all; offset is a hint for Params.local.
	age    float64
	n      uint32
	offset uint16
	late   uint8
	flags  uint8
	trend  trend
}

// Flags of a Detector.
const (
	flagBegun  = 1 << iota // time and raw are known
	flagRaised             // an alert is open
	flagAway               // the newest value was an excursion
	flagTold               // the calm has been reported
	flagsEnd
)

// Observe judges the value x at source time t (µs) by what came before it, and learns it. A value that is not
// finite, a copy of the newest reading, and a reading older than the newest change nothing and score 0.
func (d *Detector) Observe(p *Params, t int64, x float64) Verdict {
	if !p.enabled {
		return Verdict{Lo: math.NaN(), Hi: math.NaN()}
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return d.unchanged(p)
	}
	x = min(max(x, -largest), largest)
	if !d.accept(t, x) {
		return d.unchanged(p)
	}
	y, ok := d.difference(t, x)
	elapsed := d.advance(t, x)
	if !ok {
		return d.unchanged(p)
	}
	return d.judge(p, t, y, elapsed)
}

// accept tells whether a reading is to be judged. Readings older than the newest are not, unless there are
// so many in a row that the device's clock must have been set back.
func (d *Detector) accept(t int64, x float64) bool {
	if d.flags&flagBegun == 0 {
		return true
	}
	if t < d.time {
		if d.late++; d.late < backwards {
			return false
		}
		d.peaked, d.loud = min(d.peaked, t), min(d.loud, t)
	}
	d.late = 0
	return t != d.time || x != d.raw
}

// advance takes a reading as the newest and returns the time since the one before (s), 0 if it is unknown.
func (d *Detector) advance(t int64, x float64) float64 {
	step := 0.0
	if d.flags&flagBegun != 0 && t > d.time {
		step = float64(t) - float64(d.time)
		if d.pace == 0 {
			d.pace = step
		}
		d.pace += slowGain * (min(step, 10*d.pace) - d.pace)
	}
	d.time, d.raw = t, x
	d.flags |= flagBegun
	return step / 1e6
}

func (d *Detector) judge(p *Params, t int64, v, elapsed float64) Verdict {
	first := d.n == 0
	if first {
		d.origin = v
	}
	if d.n < math.MaxUint32 {
		d.n++
	}
	y := v - d.origin
	share := 1.0
	if !first {
		share = min(elapsed/unhurried, 1)
	}
	d.age += share
	fade := 1 - fadeGain*share
	novelty := 0.0
	if p.heads.Novelty {
		novelty = p.sensitivity * d.novelty(p, t, y, fade)
	}
	away := p.sensitivity * d.spread.away(y)
	out := Verdict{Novelty: novelty, Deviation: away, State: telemetry.OK}
	out.Lo, out.Hi = d.band(p, elapsed)
	severity, head := 0.0, HeadNone
	if p.heads.Deviation {
		severity = away / awayLevel
		if severity > quietLevel {
			head = HeadDeviation
		}
	}
	bar, cause := novelty, HeadNovelty
	if e := d.excursion(p, away, fade); e > bar {
		bar, cause = e, HeadDeviation
	}
	d.alertsHabit *= fade
	bar /= 1 + alertHabit*d.alertsHabit
	fire := d.echo(t, bar)
	if fire && bar > severity {
		severity, head = bar, cause
	}
	if s, h := d.watch(p, y, first); s > 0 {
		// A report of these heads is made once, so it needs no echo.
		fire, severity, head = true, max(severity, s), h
	}
	if first {
		d.last = y
	}
	d.spread.learn(y, v)
	d.last = y
	out.Score, out.Head = squash(severity), head
	d.life(t, bar, fire, &out)
	if d.n <= warmup {
		out.State = telemetry.Warming
	}
	return out
}

// novelty is how far the reading lies from all that the series has done, 1 at the alert level.
func (d *Detector) novelty(p *Params, t int64, y, fade float64) float64 {
	residual := d.profile.residual(profileCell(p.local(t, &d.offset)), y)
	early := 1 / float64(d.n)
	d.fast += max(fastGain, early) * (y - d.fast)
	d.slow += max(slowGain, early) * (y - d.slow)
	d.drift += max(driftGain, early) * (residual - d.drift)
	f := [features]float64{byValue: y, bySlope: d.fast - d.slow, byFast: d.fast, byResidual: residual, byDrift: d.drift}
	if d.n == 1 {
		d.seen.begin(&f)
	}
	last := d.last
	constant := d.n > 1 && d.seen.axes[byValue].span() == 0
	sum := d.seen.visit(&f, last)
	if d.age < noveltyWarmup {
		return 0
	}
	if constant && sum > 0 {
		sum = planes // the first change there is: novel, but not by any number of spans
	}
	if small := negligible * d.spread.magnitude; d.seen.axes[byValue].span() < small {
		sum *= d.seen.axes[byValue].span() / small
	}
	s := d.age / (d.age + noveltyTrust) * sum / noveltyUnit
	out := s / (1 + habituation*d.noveltyHabit)
	d.noveltyHabit = fade*d.noveltyHabit + min(s, 1)
	return out
}

// excursion is what the deviation head says about raising an alert: 1 at the alert level.
func (d *Detector) excursion(p *Params, away, fade float64) float64 {
	d.excursions *= fade
	e := away / (2 * awayLevel)
	was := d.flags & flagAway
	d.flags &^= flagAway
	if e >= 1 {
		d.flags |= flagAway
		if was == 0 {
			d.excursions++
		}
	}
	if !p.heads.Deviation {
		return 0
	}
	return e / (1 + excursionHabit*max(d.excursions-1, 0))
}

// echo tells whether bar raises an alert: it must reach 1 and pass the last peak, unless that is long ago.
func (d *Detector) echo(t int64, bar float64) bool {
	fire := bar >= 1 && bar > d.peak
	switch {
	case bar >= d.peak:
		d.peak, d.peaked = bar, t
	case float64(t)-float64(d.peaked) > d.duration(echo):
		d.peak *= echoFade
	}
	return fire
}

// duration is the time (µs) that n readings of this series take, and at least a time in which a person
// could look.
func (d *Detector) duration(n float64) float64 {
	return max(n*d.pace, float64(holdTime/time.Microsecond))
}

// life turns what was found into the life of an alert. It is open until holdReadings' time has passed in
// which no head said as much as half of the alert level.
func (d *Detector) life(t int64, bar float64, fire bool, out *Verdict) {
	if fire {
		d.alertsHabit++
	}
	if out.Score >= AlertScore {
		out.State = telemetry.Anomalous
	}
	if fire || bar >= quietLevel || d.flags&flagTold != 0 {
		d.loud = t
	}
	switch raised := d.flags&flagRaised != 0; {
	case fire && !raised:
		d.flags |= flagRaised
		out.Onset = true
	case raised && float64(t)-float64(d.loud) > d.duration(holdReadings):
		d.flags &^= flagRaised
		out.Clear = true
	}
	if d.flags&flagRaised != 0 {
		out.State = telemetry.Alerting
	}
}

// quietLevel is the share of the alert level below which a reading counts as quiet.
const quietLevel = 0.5

// band is what was expected of the reading.
func (d *Detector) band(p *Params, elapsed float64) (lo, hi float64) {
	if d.spread.n < warmup {
		return math.NaN(), math.NaN()
	}
	reach := awayLevel / p.sensitivity * d.spread.scale()
	lo, hi = d.origin+d.spread.mean-reach, d.origin+d.spread.mean+reach
	if d.trend.on {
		return d.trend.before + lo*elapsed, d.trend.before + hi*elapsed
	}
	return lo, hi
}

// unchanged is the verdict on a reading that is not judged.
func (d *Detector) unchanged(p *Params) Verdict {
	out := Verdict{State: telemetry.OK}
	out.Lo, out.Hi = d.band(p, d.pace/1e6)
	switch {
	case d.n <= warmup:
		out.State = telemetry.Warming
	case d.flags&flagRaised != 0:
		out.State = telemetry.Alerting
	}
	return out
}

// squash maps a multiple of the alert level to [0, 1): 1 to AlertScore, towards 1 without reaching it.
func squash(s float64) float64 {
	const below1 = 1 - 1.0/(1<<53)
	return min(s/(1+s), below1)
}
