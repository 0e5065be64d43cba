package push

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

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

// laggard is what subscriptions gather whose connections cannot take the view's frames. While only its cohort holds it the
// next frame is merged into it; who goes with it holds it too until it is encoded.
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

	holders atomic.Int32
	sum     told // as counted, if it is
	counted bool

	making sync.Mutex // of what follows
	made   variants
	bytes  atomic.Int64 // of made; read without
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
	l.cursor, l.pushed, l.counted = f.cursor, f.pushed, false
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

// hasRow reports whether there is a row of a series.
func (l *laggard) hasRow(idx uint32) bool {
	_, has := l.version(idx)
	return has
}

// rest is what a second frame has to tell because no series is in a frame's rows and has left: that series left which have
// rows. It is nil if there are none.
func (l *laggard) rest(spare func() *laggard) *laggard {
	if !slices.ContainsFunc(l.left, l.hasRow) {
		return nil
	}
	rest := spare()
	rest.columns, rest.dictionary, rest.from = l.columns, l.dictionary, len(l.dictionary)
	rest.cursor, rest.pushed, rest.since = l.cursor, l.pushed, l.since
	for _, idx := range l.left {
		if l.hasRow(idx) {
			rest.left = append(rest.left, idx)
		}
	}
	return rest
}

// told are the figures of what the set tells.
func (l *laggard) told() told {
	if l.counted {
		return l.sum
	}
	l.sum, l.counted = told{rows: l.len(), since: l.since}, true
	for i := range l.rows {
		if _, old := l.old[l.index[i]]; !old {
			l.sum.readings += l.rows[i].N
		}
	}
	return l.sum
}

// frame is what the set tells, encoded when the first asks for it. What rest tells is not in it.
func (l *laggard) frame(m *meters, view uint32, e encoding) frame {
	l.making.Lock()
	defer l.making.Unlock()
	return *l.made.frame(e, l.cursorNow(), func(e encoding) frame { return l.encodeLocked(m, view, e) })
}

func (l *laggard) encodeLocked(m *meters, view uint32, e encoding) frame {
	first := l.gathered
	if slices.ContainsFunc(l.left, l.hasRow) {
		first.left = slices.DeleteFunc(slices.Clone(l.left), l.hasRow)
	}
	told := rows{
		view: view, columns: l.columns, dictionary: l.dictionary, from: l.from, gathered: &first,
		cursor: l.cursorNow(), pushed: l.pushed,
	}
	f := told.frame(e)
	m.gatheredFrames.Inc()
	l.bytes.Add(int64(f.size()))
	m.laggingBytes.Add(int64(f.size()))
	return f
}

// cursorNow is where the log is when the set has been told. With a rest nobody can go on from there.
func (l *laggard) cursorNow() string {
	if slices.ContainsFunc(l.left, l.hasRow) {
		return ""
	}
	return l.cursor
}

// unmake forgets the encoded frames. Nobody else may hold the set.
func (l *laggard) unmake(m *meters) {
	m.laggingBytes.Add(-l.bytes.Swap(0))
	l.made = variants{}
}

// clone copies the set into an empty one.
func (l *laggard) clone(into *laggard) *laggard {
	into.copy(&l.pending)
	into.left, into.removed = append(into.left, l.left...), append(into.removed, l.removed...)
	into.changed, into.old = append(into.changed, l.changed...), maps.Clone(l.old)
	into.columns, into.dictionary, into.from = l.columns, l.dictionary, l.from
	into.cursor, into.pushed, into.since = l.cursor, l.pushed, l.since
	return into
}

func (l *laggard) clear() {
	l.reset()
	clear(l.old)
	l.dictionary, l.from, l.cursor, l.counted = nil, 0, "", false
}
