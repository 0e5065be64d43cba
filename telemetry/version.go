package telemetry

// Version orders the readings of a series: the offset of the record in weir.readings that holds the
// reading, and the reading's index inside it. It is deterministic on replay, grows per series, and stays
// below 2^53, hence exact in JavaScript, for 2^41 records a partition.
type Version int64

// IndexBits is how many low bits of a Version hold the index inside the record.
const IndexBits = 12

// NoVersion is the Since of the first Update of a series.
const NoVersion Version = -1

// VersionOf builds the version of the reading at index (0 ≤ index < MaxReadingsPerRecord) of the record
// at offset.
func VersionOf(offset int64, index int) Version {
	return Version(offset<<IndexBits | int64(index))
}

// Offset is the offset of the record in weir.readings.
func (v Version) Offset() int64 { return int64(v) >> IndexBits }

// Index is the position of the reading inside its record.
func (v Version) Index() int { return int(v & (MaxReadingsPerRecord - 1)) }
