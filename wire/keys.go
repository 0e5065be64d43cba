package wire

// Keys of weir.latest. A record with a key and no value removes what the key names.
const (
	seriesPrefix = "s/"
	alertPrefix  = "a/"
	// MarkerKey is the key of a partition's Marker.
	MarkerKey = "m"
)

// LatestKind is what a key of weir.latest names.
type LatestKind uint8

const (
	// LatestUnknown: a key this version does not know; skip the record.
	LatestUnknown LatestKind = iota
	// LatestSeries: the value is an UpdateBatch of one row, the newest of a series.
	LatestSeries
	// LatestAlert: the value is an open alert.
	LatestAlert
	// LatestMarker: the value is the partition's Marker.
	LatestMarker
)

// SeriesKey is the key of the newest update of a series.
func SeriesKey(series string) string { return seriesPrefix + series }

// AlertKey is the key of an open alert.
func AlertKey(id string) string { return alertPrefix + id }

// ParseLatestKey tells what key names, and for a series or an alert its name.
func ParseLatestKey(key []byte) (kind LatestKind, name string) {
	if string(key) == MarkerKey {
		return LatestMarker, ""
	}
	if len(key) <= len(seriesPrefix) {
		return LatestUnknown, ""
	}
	switch string(key[:len(seriesPrefix)]) {
	case seriesPrefix:
		return LatestSeries, string(key[len(seriesPrefix):])
	case alertPrefix:
		return LatestAlert, string(key[len(alertPrefix):])
	}
	return LatestUnknown, ""
}
