package wire

import (
	"slices"
	"strconv"

	"weir/telemetry"
)

// columns names the fields of a row, in order.
var columns = []string{
	"i", "version", "since", "n", "late", "invalid", "first_ts", "last_ts", "last", "min", "max", "sum",
	"avg", "lo", "hi", "state", "score", "worst", "ingest_ts", "emit_ts",
}

const columnsJSON = `["i","version","since","n","late","invalid","first_ts","last_ts","last","min","max",` +
	`"sum","avg","lo","hi","state","score","worst","ingest_ts","emit_ts"]`

// Columns names the fields of a row, in order.
func Columns() []string { return slices.Clone(columns) }

// AppendRow appends u as a row of the series with index i, and a comma before it if dst ends with a row.
// Of an update that summarises no readings the fields first_ts to sum are null; so are avg, lo and hi while
// they are unknown.
func AppendRow(dst []byte, i int, u *telemetry.Update) []byte {
	if n := len(dst); n > 0 && dst[n-1] == ']' {
		dst = append(dst, ',')
	}
	dst = append(dst, '[')
	dst = strconv.AppendInt(dst, int64(i), 10)
	dst = intCell(dst, int64(u.Version))
	dst = intCell(dst, int64(u.Since))
	dst = strconv.AppendUint(append(dst, ','), u.N, 10)
	dst = strconv.AppendUint(append(dst, ','), u.Late, 10)
	dst = strconv.AppendUint(append(dst, ','), u.Invalid, 10)
	if u.N == 0 {
		dst = append(dst, ",null,null,null,null,null,null"...)
	} else {
		dst = intCell(dst, u.FirstTime)
		dst = intCell(dst, u.LastTime)
		dst = floatCell(dst, u.Last)
		dst = floatCell(dst, u.Min)
		dst = floatCell(dst, u.Max)
		dst = floatCell(dst, u.Sum)
	}
	dst = floatCell(dst, u.Avg)
	dst = floatCell(dst, u.Lo)
	dst = floatCell(dst, u.Hi)
	dst = intCell(dst, int64(u.State))
	dst = floatCell(dst, u.Score)
	dst = intCell(dst, int64(u.Worst))
	dst = intCell(dst, u.IngestTime)
	dst = intCell(dst, u.EmitTime)
	return append(dst, ']')
}

func intCell(dst []byte, v int64) []byte { return strconv.AppendInt(append(dst, ','), v, 10) }

func floatCell(dst []byte, v float64) []byte { return appendFloat(append(dst, ','), v) }
