package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// kind is the physics of a metric: a usual level and, as shares of it, how far it swings through its day,
// how noisy it is, how far it wanders, and how large its steps are.
type kind struct {
	name                       string
	level                      float64
	swing, noise, wander, step float64
}

var kinds = []kind{
	{name: "temperature", level: 62, swing: 0.06, noise: 0.003, wander: 0.01},
	{name: "pressure", level: 4.2, swing: 0.02, noise: 0.008, wander: 0.01, step: 0.05},
	{name: "vibration", level: 2.8, swing: 0.03, noise: 0.06, wander: 0.02},
	{name: "current", level: 18, swing: 0.08, noise: 0.02, step: 0.08},
	{name: "flow", level: 140, swing: 0.05, noise: 0.015, wander: 0.02, step: 0.04},
	{name: "humidity", level: 45, swing: 0.1, noise: 0.005, wander: 0.03},
	{name: "speed", level: 1480, swing: 0.01, noise: 0.002, step: 0.03},
	{name: "level", level: 73, swing: 0.15, noise: 0.004, wander: 0.02},
}

// metricName is the i-th metric's: the kinds in turn, numbered from the second round on.
func metricName(i int) string {
	name := kinds[i%len(kinds)].name
	if round := i / len(kinds); round > 0 {
		return fmt.Sprintf("%s%d", name, round+1)
	}
	return name
}

// stepEvery is the mean time between two steps of a metric that has them.
const stepEvery = 3 * time.Minute

// signal is one healthy metric: level × (1 + sine + wandering + steps + noise). Its day lasts minutes, so
// that somebody who watches sees it.
type signal struct {
	kind
	rng      *rand.Rand
	day      float64 // s
	phase    float64 // rad
	wandered float64
	stepped  float64
	nextStep time.Duration
	last     time.Duration
}

func newSignal(k kind, rng *rand.Rand) *signal {
	s := &signal{kind: k, rng: rng, day: 120 + 240*rng.Float64(), phase: 2 * math.Pi * rng.Float64()}
	s.level *= 0.9 + 0.2*rng.Float64()
	s.nextStep = exponential(rng, stepEvery)
	return s
}

// at is the value at the time since the start; times must not go back.
func (s *signal) at(since time.Duration) float64 {
	dt := (since - s.last).Seconds()
	s.last = since
	// An Ornstein-Uhlenbeck process that forgets in a minute and has the standard deviation wander.
	keep := math.Exp(-dt / 60)
	s.wandered = s.wandered*keep + s.wander*math.Sqrt(1-keep*keep)*s.rng.NormFloat64()
	for since >= s.nextStep {
		s.stepped = s.step * (2*s.rng.Float64() - 1)
		s.nextStep += exponential(s.rng, stepEvery)
	}
	day := s.swing * math.Sin(2*math.Pi*since.Seconds()/s.day+s.phase)
	return s.level * (1 + day + s.wandered + s.stepped + s.noise*s.rng.NormFloat64())
}

// exponential draws a time with the given mean, at least a second.
func exponential(rng *rand.Rand, mean time.Duration) time.Duration {
	return time.Second + time.Duration(rng.ExpFloat64()*float64(mean-time.Second))
}
