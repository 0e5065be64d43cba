package wire

import (
	"encoding/json"
	"fmt"
	"math"

	"weir/telemetry"
)

// rowBlock is how many updates are allocated at once.
const rowBlock = 32

// rows reads an array of rows; the series are yet to be named.
func (s *scanner) rows() ([]Row, bool) {
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
		i, ok := s.row(u)
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

// row reads one row into u and returns the series' index.
func (s *scanner) row(u *telemetry.Update) (int, bool) {
	if s.peek() != '[' || !s.open() {
		return 0, s.fail(CodeFieldType, "a row is no array")
	}
	var cells [rowCells]number
	for i := 0; ; i++ {
		more, ok := s.more(i == 0, ']')
		switch {
		case !ok:
			return 0, false
		case !more && i < rowCells:
			return 0, s.fail(CodeFieldMissing, "a row is short")
		case !more:
			return s.assign(u, &cells)
		case i < rowCells:
			ok = s.cell(&cells[i])
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

func (s *scanner) assign(u *telemetry.Update, c *[rowCells]number) (int, bool) {
	var index, version, since, n, late, invalid, state, worst int64
	whole := [...]struct {
		to   *int64
		cell int
	}{
		{&index, 0}, {&version, 1}, {&since, 2}, {&n, 3}, {&late, 4}, {&invalid, 5},
		{&u.FirstTime, 6}, {&u.LastTime, 7}, {&state, 15}, {&worst, 17}, {&u.IngestTime, 18}, {&u.EmitTime, 19},
	}
	for _, w := range whole {
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
		u.Last, u.Min, u.Max, u.Sum = s.orNaN(c[8]), s.orNaN(c[9]), s.orNaN(c[10]), s.orNaN(c[11])
	}
	u.Avg, u.Lo, u.Hi, u.Score = s.orNaN(c[12]), s.orNaN(c[13]), s.orNaN(c[14]), s.orNaN(c[16])
	return int(index), true
}

// state holds the fields that Subscribed and Snapshot share.
type state struct {
	dictionary []Entry
	rows       []Row
	alerts     []telemetry.Alert
}

// state reads an object with the fields of state; field gets the others.
func (s *scanner) state(field func(name string, raw []byte) error) (st state, err error) {
	ok := s.object(func(name []byte) (ok bool) {
		key := string(name)
		if key == "rows" {
			st.rows, ok = s.rows()
			return ok
		}
		raw, ok := s.raw()
		if !ok {
			return false
		}
		switch key {
		case "columns":
			err = checkColumns(raw)
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
	}
	names := make(map[int]string, len(st.dictionary))
	for _, e := range st.dictionary {
		names[e.I] = e.Series
	}
	return st, nameRows(st.rows, names)
}

// checkColumns refuses rows of another layout. Columns that a newer server has added at the end are skipped.
func checkColumns(raw []byte) error {
	var got []string
	if err := json.Unmarshal(raw, &got); err != nil {
		return err
	}
	for i, want := range columns {
		if i >= len(got) || got[i] != want {
			return fmt.Errorf("column %d is not %q", i, want)
		}
	}
	return nil
}
