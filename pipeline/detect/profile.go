package detect

const (
	// profileGain lets a cell of the profile follow its last dozen readings.
	profileGain = 0.075
	dayTypes    = 2
	dayHours    = 24
	profileSize = dayTypes * dayHours
	// profileFull is the count from which a cell's gain no longer depends on it.
	profileFull = 14
)

// profile is the usual value by weekday or weekend and hour of day, as a difference from the series' first
// value: so 32 bits are enough for a large value that moves little.
type profile struct {
	mean  [profileSize]float32
	count [profileSize]uint8
}

// cell is where local time (s) falls; the epoch was a Thursday.
func profileCell(local int64) int {
	day := floorDiv(local, 86400)
	hour := int((local - day*86400) / 3600)
	weekday := (day + 4) % 7
	if weekday < 0 {
		weekday += 7
	}
	if weekday == 0 || weekday == 6 {
		return dayHours + hour
	}
	return hour
}

// residual is how far x lies from what is usual at this hour, or on the other type of day if this one is
// unknown, and 0 if both are; then x is learned.
func (p *profile) residual(cell int, x float64) float64 {
	other := cell + dayHours
	if other >= profileSize {
		other -= profileSize
	}
	r := 0.0
	switch {
	case p.count[cell] > 0:
		r = x - float64(p.mean[cell])
	case p.count[other] > 0:
		r = x - float64(p.mean[other])
	}
	p.count[cell] = min(p.count[cell]+1, profileFull)
	gain := max(profileGain, 1/float64(p.count[cell]))
	mean := float64(p.mean[cell])
	mean += gain * (min(max(x, -largestProfile), largestProfile) - mean)
	p.mean[cell] = float32(mean)
	return r
}

// largestProfile keeps the means within 32 bits.
const largestProfile = 1e38
