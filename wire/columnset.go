package wire

import (
	"bytes"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"weir/telemetry"
)

// ColumnSet is a choice of the columns of a row: bit b stands for Columns()[b]. 0 stands for all of them.
type ColumnSet uint32

const (
	// allColumns has every column, ownColumns those that every row has: without them a client can check nothing.
	allColumns ColumnSet = 1<<rowCells - 1
	ownColumns ColumnSet = 1<<colIndex | 1<<colVersion | 1<<colSince | 1<<colN
)

// Places of columns.
const (
	colIndex = iota
	colVersion
	colSince
	colN
	colLate
	colInvalid
	colFirstTime
	colLastTime
	colLast
	colMin
	colMax
	colSum
	colAvg
	colLo
	colHi
	colState
	colScore
	colWorst
	colIngestTime
	colEmitTime
	rowCells
)

// ParseColumns is the choice of the named columns and of those that every row has. Without names it is all of them. An
// unknown name is returned with its place.
func ParseColumns(names []string) (set ColumnSet, unknown int) {
	if len(names) == 0 {
		return 0, -1
	}
	set = ownColumns
	for i, name := range names {
		at := columnIndex(name)
		if at < 0 {
			return 0, i
		}
		set |= 1 << at
	}
	return set.canonical(), -1
}

func columnIndex(name string) int { return slices.Index(columns, name) }

// canonical is the one text for all columns.
func (c ColumnSet) canonical() ColumnSet {
	if c == allColumns {
		return 0
	}
	return c
}

// Has reports whether the column with that place in Columns is chosen.
func (c ColumnSet) Has(column int) bool { return c == 0 || c>>column&1 == 1 }

// Names are the names of the chosen columns, in the order of a row.
func (c ColumnSet) Names() []string {
	names := make([]string, 0, rowCells)
	for i, name := range columns {
		if c.Has(i) {
			names = append(names, name)
		}
	}
	return names
}

func (c ColumnSet) namesJSON() string {
	if c == 0 {
		return columnsJSON
	}
	return `["` + strings.Join(c.Names(), `","`) + `"]`
}

// AppendRow is AppendRow with the chosen columns only.
func (c ColumnSet) AppendRow(dst []byte, i int, u *telemetry.Update) []byte {
	if c == 0 {
		return AppendRow(dst, i, u)
	}
	if n := len(dst); n > 0 && dst[n-1] == ']' {
		dst = append(dst, ',')
	}
	dst = strconv.AppendInt(append(dst, '['), int64(i), 10)
	dst = intCell(dst, int64(u.Version))
	dst = intCell(dst, int64(u.Since))
	dst = strconv.AppendUint(append(dst, ','), u.N, 10)
	for rest := uint32(c &^ ownColumns); rest != 0; rest &= rest - 1 {
		dst = appendCell(dst, bits.TrailingZeros32(rest), u)
	}
	return append(dst, ']')
}

// RowCells are the cells behind the index of a row, which is as AppendRow has appended it: the same for all readers whose
// dictionaries have the series at different places.
func RowCells(row []byte) []byte { return row[1+bytes.IndexByte(row[1:], ','):] }

// AppendRowOf appends the row of those cells.
func AppendRowOf(dst []byte, i int, cells []byte) []byte {
	if n := len(dst); n > 0 && dst[n-1] == ']' {
		dst = append(dst, ',')
	}
	return append(strconv.AppendInt(append(dst, '['), int64(i), 10), cells...)
}

// appendCell appends a comma and one cell.
func appendCell(dst []byte, column int, u *telemetry.Update) []byte {
	if u.N == 0 && column >= colFirstTime && column <= colSum {
		return append(dst, ",null"...)
	}
	switch column {
	case colLate:
		return strconv.AppendUint(append(dst, ','), u.Late, 10)
	case colInvalid:
		return strconv.AppendUint(append(dst, ','), u.Invalid, 10)
	case colFirstTime:
		return intCell(dst, u.FirstTime)
	case colLastTime:
		return intCell(dst, u.LastTime)
	case colLast:
		return floatCell(dst, u.Last)
	case colMin:
		return floatCell(dst, u.Min)
	case colMax:
		return floatCell(dst, u.Max)
	case colSum:
		return floatCell(dst, u.Sum)
	case colAvg:
		return floatCell(dst, u.Avg)
	case colLo:
		return floatCell(dst, u.Lo)
	case colHi:
		return floatCell(dst, u.Hi)
	case colState:
		return intCell(dst, int64(u.State))
	case colScore:
		return floatCell(dst, u.Score)
	case colWorst:
		return intCell(dst, int64(u.Worst))
	case colIngestTime:
		return intCell(dst, u.IngestTime)
	case colEmitTime:
		return intCell(dst, u.EmitTime)
	}
	panic("wire: no such column: " + strconv.Itoa(column))
}

// OrderWorst is the order by state and score, and then by how far a series is from what was expected. It is not that of the
// column of this name, which can be had with - only.
const OrderWorst = "worst"

// Order says which series of a view are the first.
type Order struct {
	// Column has a place in Columns; Worst: OrderWorst, without a column.
	Column     int
	Descending bool
	Worst      bool
}

// ParseOrder reads "worst", or the name of a column, with - before it for the greatest first.
func ParseOrder(text string) (o Order, known bool) {
	if text == OrderWorst {
		return Order{Worst: true}, true
	}
	name, descending := strings.CutPrefix(text, "-")
	at := columnIndex(name)
	return Order{Column: at, Descending: descending}, at > colIndex
}
