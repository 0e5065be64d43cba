package push

import (
	"weir/expr"
	"weir/telemetry"
)

// selection is for a view that does not tell of all its series: of those whose row meets the filter the first are in,
// the others out. Of each series it has one row. Of a series that is in and has no news that is the row told last, and of
// every other what has been merged since then, so that no reading is lost of a series that is out, and none is told
// twice. Guarded by hub.mu.
type selection struct {
	filter *filter // nil: all meet it
	env    expr.Env
	order  *order // nil: there is no limit
	limit  int

	series []*series
	rows   []telemetry.Update // by index, as what follows
	marks  []mark
	named  []int32 // place in the dictionary plus one; 0: it is not there yet
	ranks  []rank  // with an order only

	// With an order: those in, the last of them on top, and the others that meet the filter, the first of them on top.
	in, out ranking

	looked []uint32 // those to look at when the view speaks next
	held   int      // that are out and have news
}

// mark is what is known of a series in a selection.
type mark uint8

const (
	markFresh  mark = 1 << iota // its row has something that was not told
	markIn                      // subscribers have it in
	markLooked                  // it is among looked
	markEmpty                   // there is no row yet
	markMeets                   // its row meets the filter, without an order
)

func newSelection(f *filter, o *order, limit int) *selection {
	sel := &selection{filter: f, order: o, limit: limit}
	if f != nil {
		sel.env = f.env()
	}
	sel.out.first = sel.before
	sel.in.first = func(i, j uint32) bool { return sel.before(j, i) }
	return sel
}

// before reports whether the series at i comes before the one at j.
func (sel *selection) before(i, j uint32) bool {
	if c := sel.ranks[i].compare(&sel.ranks[j]); c != 0 {
		return c > 0
	}
	return sel.series[i].name < sel.series[j].name
}

// include gives a series the next index. Nobody has been told of it.
func (sel *selection) include(s *series) {
	idx := uint32(len(sel.rows))
	sel.series = append(sel.series, s)
	sel.rows = append(sel.rows, s.last)
	sel.named = append(sel.named, 0)
	if sel.order != nil {
		sel.ranks = append(sel.ranks, rank{})
		sel.in.at, sel.out.at = append(sel.in.at, 0), append(sel.out.at, 0)
	}
	if s.last.Version == telemetry.NoVersion {
		sel.marks = append(sel.marks, markEmpty)
		return
	}
	sel.marks = append(sel.marks, markFresh)
	sel.held++
	sel.look(idx)
}

// remove takes a series out that is gone, and returns its place in the dictionary, or -1.
func (sel *selection) remove(idx uint32) (at int) {
	if sel.order != nil {
		sel.in.remove(idx)
		sel.out.remove(idx)
	}
	m := sel.marks[idx]
	if m&markFresh != 0 && m&markIn == 0 {
		sel.held--
	}
	at = int(sel.named[idx]) - 1
	sel.marks[idx] = markEmpty | m&markLooked
	sel.named[idx], sel.series[idx], sel.rows[idx] = 0, nil, telemetry.Update{}
	return at
}

// take merges an update of a series, and reports whether there was news of it already.
func (sel *selection) take(idx uint32, u *telemetry.Update) (merged bool, err error) {
	m := sel.marks[idx]
	sel.look(idx)
	if m&markFresh != 0 {
		return true, sel.rows[idx].Merge(u)
	}
	sel.rows[idx] = *u
	sel.marks[idx] = (sel.marks[idx] | markFresh) &^ markEmpty
	if m&markIn == 0 {
		sel.held++
	}
	return false, nil
}

// look has a series looked at when the view speaks next.
func (sel *selection) look(idx uint32) {
	if sel.marks[idx]&markLooked == 0 {
		sel.marks[idx] |= markLooked
		sel.looked = append(sel.looked, idx)
	}
}

// choose decides which series are in now, and puts what there is to tell of that into g: the rows of those in that have
// news, then the rows of those that come back without any, which were told before, and which are in no more. name is
// called with each series that is told of for the first time, and returns how long the dictionary is then.
func (sel *selection) choose(g *gathered, name func(idx uint32) int) {
	for _, idx := range sel.looked {
		sel.judge(idx)
	}
	sel.balance()
	back := sel.looked[:0]
	for _, idx := range sel.looked {
		is, was := sel.isIn(idx), sel.marks[idx]&markIn != 0
		fresh := sel.marks[idx]&markFresh != 0
		sel.marks[idx] &^= markLooked
		switch {
		case is && fresh:
			sel.tell(g, idx, name)
			sel.marks[idx] = (sel.marks[idx] | markIn) &^ markFresh
			if !was {
				sel.held--
			}
		case is && !was:
			back = append(back, idx)
		case was && !is:
			g.left = append(g.left, idx)
			sel.marks[idx] &^= markIn
			if fresh {
				sel.held++
			}
		}
	}
	for _, idx := range back {
		sel.tell(g, idx, name)
		sel.marks[idx] |= markIn
	}
	g.again = len(back)
	sel.looked = sel.looked[:0]
}

func (sel *selection) tell(g *gathered, idx uint32, name func(idx uint32) int) {
	if sel.named[idx] == 0 {
		sel.named[idx] = int32(name(idx))
	}
	_, _ = g.add(idx, &sel.rows[idx]) // there is nothing to merge with
}

// judge says whether a series' row meets the filter, and with an order where it stands.
func (sel *selection) judge(idx uint32) {
	u := &sel.rows[idx]
	meets := sel.marks[idx]&markEmpty == 0 && (sel.filter == nil || sel.filter.meets(&sel.env, sel.series[idx], u))
	sel.marks[idx] &^= markMeets
	if meets {
		sel.marks[idx] |= markMeets
	}
	switch {
	case sel.order == nil:
	case !meets:
		sel.in.remove(idx)
		sel.out.remove(idx)
	default:
		sel.ranks[idx] = sel.order.rank(u)
		if sel.in.has(idx) {
			sel.in.put(idx)
		} else {
			sel.out.put(idx)
		}
	}
}

// balance lets those in that are the first, as many as may be, and has a look at each that it moves.
func (sel *selection) balance() {
	for sel.out.len() > 0 {
		first := sel.out.top()
		if sel.in.len() == sel.limit {
			last := sel.in.top()
			if !sel.before(first, last) {
				return
			}
			sel.in.remove(last)
			sel.out.put(last)
			sel.look(last)
		}
		sel.out.remove(first)
		sel.in.put(first)
		sel.look(first)
	}
}

func (sel *selection) isIn(idx uint32) bool {
	if sel.order == nil {
		return sel.marks[idx]&markMeets != 0
	}
	return sel.in.has(idx)
}

// told are the series that subscribers have in, and their rows.
func (sel *selection) told() (index []uint32, rows []telemetry.Update) {
	for i, m := range sel.marks {
		if m&markIn != 0 {
			index, rows = append(index, uint32(i)), append(rows, sel.rows[i])
		}
	}
	return index, rows
}
