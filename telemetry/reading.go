package telemetry

// Limits of a device's input. They bound what one record can hold and what one name can cost.
const (
	// MaxReadingsPerRecord is how many readings one record of weir.readings may hold: the index of a
	// reading has IndexBits bits of its Version.
	MaxReadingsPerRecord = 1 << IndexBits
	// MaxPathBytes bounds a device path, and a series path (device/metric) by the same number.
	MaxPathBytes = 255
	// MaxPathSegments bounds the depth of a series path.
	MaxPathSegments = 16
)

// Reading is one sample of one metric of one device.
type Reading struct {
	// Metric is the last segment of the series path, for example "temperature".
	Metric string
	// Time is the source time in microseconds since the Unix epoch.
	Time int64
	// Value is finite: NaN and infinities are refused at the edge.
	Value float64
}

// Batch is what one device sent in one frame: the unit of acknowledgement and of de-duplication.
type Batch struct {
	// Device is a path such as "plant1/line3/press7"; its first segment is the tenant.
	Device string
	// Session is picked by the device once per boot. With it, (Device, Session, Seq) identifies the
	// batch and a resend is recognised; without it nothing but Weir's own retries is de-duplicated.
	Session string
	// Seq numbers the batches of a session. It has a meaning only when Session is not empty.
	Seq uint64
	// Ingest is when the batch reached Weir, in microseconds since the Unix epoch.
	Ingest int64
	// Readings holds at most MaxReadingsPerRecord readings.
	Readings []Reading
}
