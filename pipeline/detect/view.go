package detect

// View is what a detector has learned of its series, for people. Where Rate is set, values are changes per second.
type View struct {
	// Readings were judged; the first of them only teach.
	Readings uint32 `json:"readings"`
	// Rate: the series is taken for a counter, and judged by its rate.
	Rate bool `json:"rate"`
	// Raised: an alert is open. Quiet is since when (µs of source time) nothing has spoken for it.
	Raised bool  `json:"raised"`
	Quiet  int64 `json:"quiet_since_ts,omitempty"`
	// Pace is the usual time between readings in µs.
	Pace float64 `json:"pace_us"`
	// Usual is the recent mean, Scale what deviations are measured in.
	Usual float64 `json:"usual"`
	Scale float64 `json:"scale"`
	// Level is the mean over a long time.
	Level float64 `json:"level"`
	// Calm is for how many readings the series has hardly moved, LongestCalm how long that lasted at most so far.
	Calm        uint32  `json:"calm"`
	LongestCalm float64 `json:"longest_calm"`
	// Novelty and Alerts raise the bar: what was new, or alerted, often is less so.
	Novelty float64 `json:"novelty_habit"`
	Alerts  float64 `json:"alerts_habit"`
	// Weekday and Weekend are what is usual at each local hour of the day; null where nothing is known.
	Weekday [dayHours]*float64 `json:"weekday"`
	Weekend [dayHours]*float64 `json:"weekend"`
}

// View tells what the detector has learned.
func (d *Detector) View() View {
	v := View{
		Readings: d.n, Rate: d.trend.on, Raised: d.flags&flagRaised != 0, Pace: d.pace,
		Usual: d.origin + d.spread.mean, Scale: d.spread.scale(), Level: d.origin + d.level.mean,
		Calm: d.calm.length, LongestCalm: d.calm.longest, Novelty: d.noveltyHabit, Alerts: d.alertsHabit,
	}
	if v.Raised {
		v.Quiet = d.loud
	}
	for i, n := range d.profile.count {
		if n == 0 {
			continue
		}
		usual := d.origin + float64(d.profile.mean[i])
		if i < dayHours {
			v.Weekday[i] = &usual
		} else {
			v.Weekend[i-dayHours] = &usual
		}
	}
	return v
}
