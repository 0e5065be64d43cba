package push

// rates are the values of max_hz that are granted, apart from 0, which means unlimited. They are few, so
// that subscriptions which ask for about the same share a view.
var rates = [...]float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}

// Bounds of max_hz, apart from 0.
const (
	minHz = 0.01
	maxHz = 1000
)

func validHz(hz float64) bool { return hz == 0 || hz >= minHz && hz <= maxHz }

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
