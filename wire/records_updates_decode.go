package wire

import (
	"slices"

	"weir/telemetry"
)

// updateReader holds a record's columns while they are read.
type updateReader struct {
	columns [updatesFields]column
	seen    uint
	emit    int64
	rows    int
}

// DecodeUpdateBatch reads a record of weir.updates and appends its updates to dst. intern, if not nil, makes
// the strings of series names; it must not keep its argument. After an error, which wraps ErrRecord, dst is
// returned as it was.
func DecodeUpdateBatch(b []byte, dst []telemetry.Update, intern func([]byte) string) ([]telemetry.Update, error) {
	var r updateReader
	if what := r.fields(b); what != "" {
		return dst, updatesError(what)
	}
	if intern == nil {
		intern = func(name []byte) string { return string(name) }
	}
	out := slices.Grow(dst, r.rows)[:len(dst)+r.rows]
	rows := out[len(dst):]
	var before deltas
	for i := range rows {
		if !r.row(&rows[i], &before) {
			return dst, updatesError("a column that is short or cannot be read")
		}
	}
	for _, c := range r.columns {
		if len(c) > 0 {
			return dst, updatesError("a column that is long")
		}
	}
	names := protoReader{rest: b}
	for i := 0; i < len(rows); {
		if f, _ := names.next(); f.field == updatesSeries {
			rows[i].Series = intern(f.bytes)
			i++
		}
	}
	return out, nil
}

// fields finds the columns and counts the rows. It returns what is wrong, or nothing.
func (r *updateReader) fields(b []byte) string {
	p := protoReader{rest: b}
	for len(p.rest) > 0 {
		f, ok := p.next()
		switch {
		case !ok:
			return "a field that cannot be read"
		case f.field >= updatesFields:
			continue
		case (f.field == updatesEmit) != (f.wire == wireVarint), f.field != updatesEmit && f.wire != wireBytes:
			return "a field of another type"
		case f.field == updatesEmit:
			r.emit = int64(f.number)
		case f.field == updatesSeries:
			r.rows++
		case r.seen&(1<<f.field) != 0:
			return "a column in two parts"
		case len(f.bytes) > 0:
			r.seen |= 1 << f.field
			r.columns[f.field] = f.bytes
		}
	}
	// These columns tell the number of rows by their length; to compare it here bounds what is allocated.
	for _, field := range []int{updatesLast, updatesAvg, updatesLo, updatesHi, updatesScore} {
		if len(r.columns[field]) != 8*r.rows {
			return "columns of different lengths"
		}
	}
	if len(r.columns[updatesState]) != r.rows {
		return "columns of different lengths"
	}
	return ""
}

// row takes the next entry of each column.
func (r *updateReader) row(u *telemetry.Update, before *deltas) bool {
	var bad bool
	uvarint := func(field int) uint64 {
		v, ok := r.columns[field].uvarint()
		bad = bad || !ok
		return v
	}
	float := func(field int) float64 {
		v, ok := r.columns[field].float()
		bad = bad || !ok
		return v
	}
	before.version += unzigzag(uvarint(updatesVersion))
	before.first += unzigzag(uvarint(updatesFirst))
	before.ingest += unzigzag(uvarint(updatesIngest))
	state := r.columns[updatesState][0]
	r.columns[updatesState] = r.columns[updatesState][1:]
	*u = telemetry.Update{
		Version:    telemetry.Version(before.version),
		Since:      telemetry.Version(before.version - int64(uvarint(updatesSpan))),
		N:          uvarint(updatesN),
		FirstTime:  before.first,
		LastTime:   before.first + int64(uvarint(updatesDuration)),
		Last:       float(updatesLast),
		Avg:        float(updatesAvg),
		Lo:         float(updatesLo),
		Hi:         float(updatesHi),
		State:      telemetry.State(state & 15),
		Worst:      telemetry.State(state >> 4),
		Score:      float(updatesScore),
		IngestTime: before.ingest,
		EmitTime:   r.emit,
	}
	if r.seen&(1<<updatesLate) != 0 {
		u.Late = uvarint(updatesLate)
	}
	if r.seen&(1<<updatesInvalid) != 0 {
		u.Invalid = uvarint(updatesInvalid)
	}
	u.Min, u.Max, u.Sum = u.Last, u.Last, u.Last
	if u.N > 1 {
		u.Min, u.Max, u.Sum = float(updatesMin), float(updatesMax), float(updatesSum)
	}
	return !bad
}
