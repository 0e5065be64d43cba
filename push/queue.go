package push

import (
	"slices"

	"weir/telemetry"
	"weir/wire"
)

// item is a place in a connection's lossless lane.
type item struct {
	frame frame
	// empty: the frame is still being made. Nothing behind it in the lane may go first.
	empty bool
	// counted: the frame counts against the lane's bound.
	counted bool
	// opens is the subscription whose snapshot this is.
	opens *subscription
}

// lane is the lossless queue of one connection. Guarded by client.mu.
type lane struct {
	items []*item
	bytes int // of the counted items
}

func (l *lane) push(it *item) {
	l.items = append(l.items, it)
	if it.counted {
		l.bytes += it.frame.size()
	}
}

// pop takes the first item, unless there is none or it is still empty.
func (l *lane) pop() *item {
	if len(l.items) == 0 || l.items[0].empty {
		return nil
	}
	it := l.items[0]
	l.items[0] = nil
	l.items = l.items[1:]
	if len(l.items) == 0 {
		l.items = nil
	}
	if it.counted {
		l.bytes -= it.frame.size()
	}
	return it
}

func (l *lane) remove(it *item) {
	l.items = slices.DeleteFunc(l.items, func(e *item) bool { return e == it })
}

func (l *lane) ready() bool { return len(l.items) > 0 && !l.items[0].empty }

// laggard is what a subscription gathers while its connection cannot take the view's frames.
type laggard struct {
	gathered
	columns    wire.ColumnSet
	dictionary []wire.Entry // as of the newest row
	from       int          // the entries that the client has been told of
	cursor     string
	pushed     int64
	since      int64 // when the first of it was pushed
	// old are the rows that were told before, of series that came back without news. Nothing is merged into those.
	old map[uint32]struct{}
}

// take merges what a frame tells.
func (l *laggard) take(f *flush) (merged int, err error) {
	v := f.view
	for _, idx := range v.pending.removed {
		delete(l.old, idx)
		l.forget(idx)
		l.removed = append(l.removed, idx)
	}
	news := v.pending.len() - v.pending.again
	for i := range v.pending.rows {
		idx, u := v.pending.index[i], &v.pending.rows[i]
		if i >= news {
			l.takeOld(idx, u)
			continue
		}
		if len(l.old) > 0 {
			l.dropOld(idx)
		}
		known, err := l.add(idx, u)
		if err != nil {
			return merged, err
		}
		if known {
			merged++
		}
	}
	if v.selection != nil {
		l.leave(&v.pending)
	}
	l.columns, l.dictionary = v.key.columns, v.lend()
	if l.changed = append(l.changed, v.pending.changed...); len(l.changed) > len(l.dictionary) {
		slices.Sort(l.changed)
		l.changed = slices.Compact(l.changed)
	}
	l.cursor, l.pushed = f.cursor, f.pushed
	return merged, nil
}

// takeOld keeps a row that was told before, unless there is a newer one.
func (l *laggard) takeOld(idx uint32, u *telemetry.Update) {
	if _, known := l.version(idx); known {
		return
	}
	_, _ = l.add(idx, u)
	if l.old == nil {
		l.old = make(map[uint32]struct{})
	}
	l.old[idx] = struct{}{}
}

// dropOld lets a row go that was told before: it is followed by one with news.
func (l *laggard) dropOld(idx uint32) {
	if _, old := l.old[idx]; old {
		delete(l.old, idx)
		l.remove(idx)
	}
}

// leave notes which series are in no more, and which are again. One that had rows before it left keeps them: see split.
func (l *laggard) leave(g *gathered) {
	l.left = slices.DeleteFunc(l.left, func(idx uint32) bool {
		_, back := g.version(idx)
		return back
	})
	for _, idx := range g.left {
		l.dropOld(idx)
		l.left = append(l.left, idx)
	}
}

// split takes out what a second frame has to tell because no series is in a frame's rows and has left: that series left
// which have rows. It is nil if there are none.
func (l *laggard) split(spare func() *laggard) *laggard {
	hasRow := func(idx uint32) bool {
		_, has := l.version(idx)
		return has
	}
	if !slices.ContainsFunc(l.left, hasRow) {
		return nil
	}
	rest := spare()
	rest.columns, rest.dictionary, rest.from = l.columns, l.dictionary, len(l.dictionary)
	rest.cursor, rest.pushed, rest.since = l.cursor, l.pushed, l.since
	for _, idx := range l.left {
		if hasRow(idx) {
			rest.left = append(rest.left, idx)
		}
	}
	l.left = slices.DeleteFunc(l.left, hasRow)
	l.cursor = ""
	return rest
}

// told are the figures of what the set tells.
func (l *laggard) told() told {
	t := told{rows: l.len(), since: l.since}
	for i := range l.rows {
		if _, old := l.old[l.index[i]]; !old {
			t.readings += l.rows[i].N
		}
	}
	return t
}

func (l *laggard) clear() {
	l.reset()
	clear(l.old)
	l.dictionary, l.from, l.cursor = nil, 0, ""
}
