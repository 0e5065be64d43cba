package wire

import (
	"fmt"

	"weir/telemetry"
	"weir/wire/weirpb"
)

// AppendUpdateBatch appends us, emitted at emit (microseconds), as the value of a record of weir.updates.
// The time of emission is the record's: EmitTime of the updates is not stored.
func AppendUpdateBatch(dst []byte, emit int64, us []telemetry.Update) []byte {
	m := weirpb.UpdateBatch{EmitTime: emit}
	var version, first, ingest int64
	var late, invalid bool
	for i := range us {
		u := &us[i]
		m.Series = append(m.Series, u.Series)
		m.VersionDelta = append(m.VersionDelta, int64(u.Version)-version)
		m.Span = append(m.Span, uint64(u.Version-u.Since))
		m.N = append(m.N, u.N)
		m.Late = append(m.Late, u.Late)
		m.Invalid = append(m.Invalid, u.Invalid)
		late, invalid = late || u.Late > 0, invalid || u.Invalid > 0
		m.FirstTimeDelta = append(m.FirstTimeDelta, u.FirstTime-first)
		m.Duration = append(m.Duration, uint64(u.LastTime-u.FirstTime))
		m.Last = append(m.Last, u.Last)
		m.Min = append(m.Min, u.Min)
		m.Max = append(m.Max, u.Max)
		m.Sum = append(m.Sum, u.Sum)
		m.Avg = append(m.Avg, u.Avg)
		m.Lo = append(m.Lo, u.Lo)
		m.Hi = append(m.Hi, u.Hi)
		m.State = append(m.State, byte(u.State)|byte(u.Worst)<<4)
		m.Score = append(m.Score, u.Score)
		m.IngestTimeDelta = append(m.IngestTimeDelta, u.IngestTime-ingest)
		version, first, ingest = int64(u.Version), u.FirstTime, u.IngestTime
	}
	if !late {
		m.Late = nil
	}
	if !invalid {
		m.Invalid = nil
	}
	return appendMessage(dst, &m)
}

// DecodeUpdateBatch reads a record of weir.updates and appends its updates to dst. intern, if not nil, makes
// the strings of series names.
func DecodeUpdateBatch(b []byte, dst []telemetry.Update, intern func([]byte) string) ([]telemetry.Update, error) {
	var m weirpb.UpdateBatch
	if err := m.UnmarshalVT(b); err != nil {
		return dst, fmt.Errorf("decode updates: %w", err)
	}
	n := len(m.Series)
	for _, l := range []int{
		len(m.VersionDelta), len(m.Span), len(m.N), len(m.FirstTimeDelta), len(m.Duration), len(m.Last), len(m.Min),
		len(m.Max), len(m.Sum), len(m.Avg), len(m.Lo), len(m.Hi), len(m.State), len(m.Score), len(m.IngestTimeDelta),
	} {
		if l != n {
			return dst, fmt.Errorf("decode updates: %w: columns of lengths %d and %d", ErrRecord, n, l)
		}
	}
	if len(m.Late) != n && len(m.Late) > 0 || len(m.Invalid) != n && len(m.Invalid) > 0 {
		return dst, fmt.Errorf("decode updates: %w: column late or invalid is short", ErrRecord)
	}
	var version, first, ingest int64
	for i, series := range m.Series {
		if intern != nil {
			series = intern([]byte(series))
		}
		version += m.VersionDelta[i]
		first += m.FirstTimeDelta[i]
		ingest += m.IngestTimeDelta[i]
		u := telemetry.Update{
			Series: series, Version: telemetry.Version(version), Since: telemetry.Version(version - int64(m.Span[i])),
			N: m.N[i], FirstTime: first, LastTime: first + int64(m.Duration[i]),
			Last: m.Last[i], Min: m.Min[i], Max: m.Max[i], Sum: m.Sum[i],
			Avg: m.Avg[i], Lo: m.Lo[i], Hi: m.Hi[i], Score: m.Score[i],
			State: telemetry.State(m.State[i] & 15), Worst: telemetry.State(m.State[i] >> 4),
			IngestTime: ingest, EmitTime: m.EmitTime,
		}
		if len(m.Late) > 0 {
			u.Late = m.Late[i]
		}
		if len(m.Invalid) > 0 {
			u.Invalid = m.Invalid[i]
		}
		dst = append(dst, u)
	}
	return dst, nil
}
