package push

import "weir/telemetry"

// pending is a set of merged updates, one for each series of a view that has news: what a view has
// gathered since its last frame, or a laggard since it fell behind. Its size is bounded by the number of
// series, never by their rate. Once it has grown it allocates nothing.
type pending struct {
	rows  []telemetry.Update
	index []uint32 // index[i] is the place of rows[i].Series in the view's dictionary
	place []int32  // place[series] is the position in rows plus one; 0: none
}

// add merges u, whose series stands at idx, and reports whether a row was there already. Updates of a
// series come in order, each beginning where the one before ended: the store has checked it. If one does
// not, there is a mistake in this package, and the error says to begin anew.
func (p *pending) add(idx uint32, u *telemetry.Update) (merged bool, err error) {
	if int(idx) >= len(p.place) {
		p.grow(int(idx) + 1)
	}
	at := p.place[idx]
	if at == 0 {
		p.rows = append(p.rows, *u)
		p.index = append(p.index, idx)
		p.place[idx] = int32(len(p.rows))
		return false, nil
	}
	return true, p.rows[at-1].Merge(u)
}

// remove takes the row of the series at idx out, if there is one.
func (p *pending) remove(idx uint32) {
	if int(idx) >= len(p.place) || p.place[idx] == 0 {
		return
	}
	at, last := int(p.place[idx]-1), len(p.rows)-1
	p.place[p.index[last]] = int32(at + 1)
	p.place[idx] = 0
	p.rows[at], p.index[at] = p.rows[last], p.index[last]
	p.rows[last] = telemetry.Update{}
	p.rows, p.index = p.rows[:last], p.index[:last]
}

func (p *pending) grow(n int) {
	if n <= cap(p.place) {
		p.place = p.place[:n]
		return
	}
	place := make([]int32, n, max(n, 2*cap(p.place)))
	copy(place, p.place)
	p.place = place
}

// copy takes the rows of another set into this one, which has none.
func (p *pending) copy(of *pending) {
	if n := len(of.place); n > len(p.place) {
		p.grow(n)
	}
	p.rows, p.index = append(p.rows, of.rows...), append(p.index, of.index...)
	copy(p.place, of.place)
}

func (p *pending) len() int { return len(p.rows) }

// reset forgets all rows and keeps the memory.
func (p *pending) reset() {
	for _, idx := range p.index {
		p.place[idx] = 0
	}
	clear(p.rows)
	p.rows, p.index = p.rows[:0], p.index[:0]
}

// gathered is what there is to tell of a view: that series are gone, and then the rest. Its rows are those with news and then again many that were told before, of
// series that come back without any. Of left there is no row.
type gathered struct {
	pending
	again   int
	left    []uint32
	removed []uint32
	// changed are places in the dictionary whose entries were told otherwise before.
	changed []uint32
}

func (g *gathered) any() bool {
	return g.len() > 0 || len(g.left) > 0 || len(g.changed) > 0 || len(g.removed) > 0
}

// told are the figures of what a frame pushed at a time tells.
func (g *gathered) told(pushed int64) told {
	t := told{rows: g.len(), since: pushed}
	for i := range g.rows[:g.len()-g.again] {
		t.readings += g.rows[i].N
	}
	return t
}

func (g *gathered) reset() {
	g.pending.reset()
	g.again, g.left, g.changed, g.removed = 0, g.left[:0], g.changed[:0], g.removed[:0]
}
