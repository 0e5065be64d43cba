package push

// rates are the values of max_hz that are granted, apart from 0, which means unlimited. They are few, so
// that subscriptions which ask for about the same share a view. Those below minHz are for points.
var rates = [...]float64{0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}

// Bounds of max_hz, apart from 0.
const (
	minHz = 0.01
	maxHz = 1000
)

func validHz(hz float64) bool { return hz == 0 || hz >= minHz && hz <= maxHz }

// thinned is the rate, at most hz, at which no more than so many rows of a series come within a window of milliseconds. It
// is not valid if that is too rarely.
func thinned(hz float64, points int, windowMS int64) (rate float64, valid bool) {
	rate = float64(points) * 1000 / float64(windowMS)
	if hz > 0 {
		rate = min(rate, hz)
	}
	return rate, rate >= rates[0]
}

// granted is the highest rate that is not above what a subscription asks for.
func granted(hz float64) float64 {
	out := 0.0
	for _, r := range rates {
		if r <= hz {
			out = r
		}
	}
	return out
}
