package push

import (
	"weir/telemetry"
	"weir/wire"
)

// rowText is the row of a series that was told last, as text. Most of what it takes to make a frame is the writing of
// numbers, and views that tell a series at the same time mostly tell the same of it: a row is what its interval says, since
// the updates of a series join up and merge exactly. Guarded by hub.mu.
type rowText struct {
	columns        wire.ColumnSet
	since, version telemetry.Version
	cells          []byte // all but the index
}

// toldAlone lets the text go of a series that no two views show any more.
func (s *series) toldAlone() {
	if len(s.members) < 2 {
		s.told = nil
	}
}

// appendRow appends a row of the series at idx. That of a series which several views show is written once for all that
// tell the same.
func (r *rows) appendRow(dst []byte, idx uint32, u *telemetry.Update) []byte {
	var s *series
	if r.members != nil {
		s = r.members[idx]
	}
	if s == nil || len(s.members) < 2 {
		return r.columns.AppendRow(dst, int(idx), u)
	}
	if s.told == nil {
		s.told = new(rowText)
	}
	t := s.told
	if t.version == u.Version && t.since == u.Since && t.columns == r.columns && len(t.cells) > 0 {
		return wire.AppendRowOf(dst, int(idx), t.cells)
	}
	from := len(dst)
	dst = r.columns.AppendRow(dst, int(idx), u)
	t.columns, t.since, t.version = r.columns, u.Since, u.Version
	t.cells = append(t.cells[:0], wire.RowCells(dst[from:])...)
	return dst
}
