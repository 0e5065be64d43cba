package conformance

import (
	"time"

	"weir/wire"
)

const (
	// maxSkew is how far a clock may be off.
	maxSkew = 2 * time.Second
	// far is how far a time is from now that is more likely in another unit than real.
	far = 300 * 24 * time.Hour
)

// times checks the readings' times against the clock. now (µs) is also the time of readings that have none.
func (n *notebook) times(s *seen, f *wire.Frame, now int64, t tally) {
	newest, own := int64(0), false
	for _, b := range f.Batches {
		for _, r := range b.Readings {
			if r.Time == now {
				continue
			}
			if unit := mistaken(r.Time, now); unit != "" {
				t.fail(checkUnits, s.evidence("the time of %s is %s: %s", r.Metric, time.UnixMicro(r.Time).UTC().Format(time.RFC3339), unit))
				return
			}
			if !own || r.Time > newest {
				newest, own = r.Time, true
			}
		}
	}
	if !own {
		return
	}
	t.pass(checkUnits)
	t.pass(checkFuture)
	age := time.Duration(now-newest) * time.Microsecond
	if age < -maxSkew {
		t.fail(checkSkew, s.evidence("the newest reading is %v ahead of this machine's clock", -age.Round(time.Millisecond)))
	}
	// Readings that come late say nothing of the clock; of frames that are on time there are some.
	if !f.Backlog && age < n.minAge {
		n.minAge, n.aged = age, s
	}
}

// mistaken says what may be wrong with a time that is far from now, "" for one that is not.
func mistaken(micros, now int64) string {
	off := func(t float64) time.Duration {
		d := (t - float64(now)) * float64(time.Microsecond)
		if d < 0 {
			d = -d
		}
		if d > float64(1<<62) {
			return 1 << 62
		}
		return time.Duration(d)
	}
	if off(float64(micros)) < far {
		return ""
	}
	for power, factor := 1, 1e3; power <= 3; power, factor = power+1, factor*1e3 {
		if off(float64(micros)*factor) < far || off(float64(micros)/factor) < far {
			return "off by a factor of 1000 or a power of it; a number below 10^11 is in seconds, below 10^14 in ms, below 10^17 in µs, else in ns"
		}
	}
	return "is the clock set? (it may be the time since the device started)"
}
