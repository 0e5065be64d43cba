package detect

import "math"

// spread measures how far a value lies from an exponentially weighted mean, in units of
//
//	scale = standard deviation + floor × mean magnitude
//
// with the variance by Welford's update in West's exponentially weighted form.
type spread struct {
	mean, variance float64
	// magnitude is the mean of |value|, not of the difference from the origin.
	magnitude float64
	n         uint8
}

func (s *spread) scale() float64 { return math.Sqrt(s.variance) + floor*s.magnitude }

// away is the distance of y from the mean in scales, 0 while the spread is unknown.
func (s *spread) away(y float64) float64 {
	if s.n < warmup || y == s.mean {
		return 0
	}
	// From a scale of zero (only zeros so far) any change is as far as can be.
	const far = 1e6
	return min(math.Abs(y-s.mean)/max(s.scale(), math.SmallestNonzeroFloat64), far)
}

// learn takes in y, which as a value is v; a distance counts for no more than clip standard deviations.
func (s *spread) learn(y, v float64) {
	g := gain
	diff := y - s.mean
	if s.n >= warmup {
		if reach := clip * math.Sqrt(s.variance); reach > 0 {
			diff = min(max(diff, -reach), reach)
		}
	}
	if s.n < 1/gain {
		s.n++
		g = 1 / float64(s.n)
	}
	step := g * diff
	s.magnitude += g * (math.Abs(v) - s.magnitude)
	s.mean += step
	s.variance = (1 - g) * (s.variance + diff*step)
}
