package detect

// Head names the part of a [Detector] that had the say about a reading.
type Head uint8

// The heads. HeadNone is the head of a reading nothing is to be said of.
const (
	HeadNone Head = iota
	// HeadNovelty: the series has not been near this combination of value, slope and time of day.
	HeadNovelty
	// HeadDeviation: the value lies far from the recent mean, measured by the recent spread.
	HeadDeviation
	// HeadStuck: a series that varies repeats one value.
	HeadStuck
	// HeadFlat: a series that varies has all but stopped varying.
	HeadFlat
	// HeadShift: the series has moved to another level and stays there.
	HeadShift
)

var headNames = [...]string{"none", "novelty", "deviation", "stuck", "flat", "shift"}

func (h Head) String() string {
	if int(h) < len(headNames) {
		return headNames[h]
	}
	return "unknown"
}
