package wire

import (
	"encoding/json"
	"fmt"
	"math"

	"weir/telemetry"
)

// rowBlock is how many updates are allocated at once.
const rowBlock = 32

// layout tells which column of Columns each cell of a row has; -1: one that is not known here.
type layout struct {
	cells []int
	has   ColumnSet
}

var wholeRows = func() *layout {
	l := &layout{has: allColumns}
	for i := range columns {
		l.cells = append(l.cells, i)
	}
	return l
}()

// readLayout refuses rows that lack what every row has. Columns of a newer server are skipped.
func readLayout(raw []byte) (*layout, error) {
	if string(raw) == columnsJSON {
		return wholeRows, nil
	}
	var names []string
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, err
	}
	return layoutOf(names)
}

func layoutOf(names []string) (*layout, error) {
	l := new(layout)
	for i, name := range names {
		at := columnIndex(name)
		if at >= 0 && l.has>>at&1 == 1 {
			return nil, fmt.Errorf("column %q stands twice", name)
		}
		if own := i <= colN; own && at != i {
			return nil, fmt.Errorf("column %d is not %q", i, columns[i])
		}
		l.cells = append(l.cells, at)
		if at >= 0 {
			l.has |= 1 << at
		}
	}
	if l.has&ownColumns != ownColumns {
		return nil, fmt.Errorf("the columns are only %q", names)
	}
	return l, nil
}

// rowsOf reads an array of rows that was set aside until its layout was known.
func rowsOf(raw []byte, l *layout) ([]Row, error) {
	var s scanner
	s.reset(raw)
	rows, ok := s.rows(l)
	if !ok {
		return nil, s.failure()
	}
	return rows, nil
}

// rows reads an array of rows; the series are yet to be named.
func (s *scanner) rows(l *layout) ([]Row, bool) {
	if s.peek() != '[' {
		return nil, s.fail(CodeFieldType, "rows are no array")
	}
	if !s.open() {
		return nil, false
	}
	var rows []Row
	var block []telemetry.Update
	for {
		more, ok := s.more(len(rows) == 0, ']')
		if !more {
			return rows, ok
		}
		if len(block) == cap(block) {
			block = make([]telemetry.Update, 0, rowBlock)
		}
		block = block[:len(block)+1]
		u := &block[len(block)-1]
		i, ok := s.row(u, l)
		if !ok {
			return nil, false
		}
		rows = append(rows, Row{I: i, Update: u})
	}
}

// nameRows gives rows the names of their series.
func nameRows(rows []Row, names map[int]string) error {
	for _, r := range rows {
		name, ok := names[r.I]
		if !ok {
			return fmt.Errorf("series %d is not in the dictionary", r.I)
		}
		r.Update.Series = name
	}
	return nil
}

// row reads one row into u and returns the series' index. What it has no columns for is zero, or NaN where that is unknown.
func (s *scanner) row(u *telemetry.Update, l *layout) (int, bool) {
	if s.peek() != '[' || !s.open() {
		return 0, s.fail(CodeFieldType, "a row is no array")
	}
	var cells [rowCells]number
	for i := 0; ; i++ {
		more, ok := s.more(i == 0, ']')
		switch {
		case !ok:
			return 0, false
		case !more && i < len(l.cells):
			return 0, s.fail(CodeFieldMissing, "a row is short")
		case !more:
			return s.assign(u, &cells, l.has)
		case i < len(l.cells) && l.cells[i] >= 0:
			ok = s.cell(&cells[l.cells[i]])
		default:
			ok = s.skip()
		}
		if !ok {
			return 0, false
		}
	}
}

// cell reads a number, or null as no number.
func (s *scanner) cell(n *number) (ok bool) {
	if s.peek() == 'n' {
		return s.literal("null")
	}
	*n, ok = s.number()
	return ok
}

func (s *scanner) assign(u *telemetry.Update, c *[rowCells]number, has ColumnSet) (int, bool) {
	var index, version, since, n, late, invalid, state, worst int64
	whole := [...]struct {
		to   *int64
		cell int
	}{
		{&index, colIndex}, {&version, colVersion}, {&since, colSince}, {&n, colN}, {&late, colLate}, {&invalid, colInvalid},
		{&u.FirstTime, colFirstTime}, {&u.LastTime, colLastTime}, {&state, colState}, {&worst, colWorst},
		{&u.IngestTime, colIngestTime}, {&u.EmitTime, colEmitTime},
	}
	for _, w := range whole {
		if !has.Has(w.cell) {
			continue
		}
		var ok bool
		if *w.to, ok = c[w.cell].integer(); !ok {
			return 0, s.fail(CodeFieldType, "a cell is not a whole number: "+columns[w.cell])
		}
	}
	if min(index, n, late, invalid, state, worst) < 0 || max(state, worst) > math.MaxUint8 {
		return 0, s.fail(CodeFieldRange, "a cell is outside its range")
	}
	u.Version, u.Since = telemetry.Version(version), telemetry.Version(since)
	u.N, u.Late, u.Invalid = uint64(n), uint64(late), uint64(invalid)
	u.State, u.Worst = telemetry.State(state), telemetry.State(worst)
	if n > 0 {
		u.Last, u.Min, u.Max, u.Sum = s.orNaN(c[colLast]), s.orNaN(c[colMin]), s.orNaN(c[colMax]), s.orNaN(c[colSum])
	}
	u.Avg, u.Lo, u.Hi, u.Score = s.orNaN(c[colAvg]), s.orNaN(c[colLo]), s.orNaN(c[colHi]), s.orNaN(c[colScore])
	return int(index), true
}

// state holds the fields that Subscribed and Snapshot share.
type state struct {
	layout     *layout
	dictionary []Entry
	rows       []Row
	alerts     []telemetry.Alert
}

// state reads an object with the fields of state; field gets the others.
func (s *scanner) state(field func(name string, raw []byte) error) (st state, err error) {
	var later []byte // rows that came before their columns
	ok := s.object(func(name []byte) (ok bool) {
		key := string(name)
		if key == "rows" && st.layout != nil {
			st.rows, ok = s.rows(st.layout)
			return ok
		}
		raw, ok := s.raw()
		if !ok {
			return false
		}
		switch key {
		case "rows":
			later = raw
		case "columns":
			st.layout, err = readLayout(raw)
		case "dictionary":
			err = json.Unmarshal(raw, &st.dictionary)
		case "alerts":
			st.alerts, err = decodeAlertsJSON(raw)
		default:
			err = field(key, raw)
		}
		return err == nil
	})
	switch {
	case err != nil:
		return st, err
	case !ok:
		return st, s.failure()
	case st.layout == nil:
		st.layout = wholeRows
	}
	if later != nil {
		if st.rows, err = rowsOf(later, st.layout); err != nil {
			return st, err
		}
	}
	names := make(map[int]string, len(st.dictionary))
	for _, e := range st.dictionary {
		names[e.I] = e.Series
	}
	return st, nameRows(st.rows, names)
}
