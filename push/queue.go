package push

import "slices"

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
	pending
	dictionary []string // as of the newest row
	from       int      // the entries that the client has been told of
	cursor     string
	pushed     int64
}

// take merges the rows of a frame.
func (l *laggard) take(f *flush) (merged int, err error) {
	v := f.view
	for i := range v.pending.rows {
		known, err := l.add(v.pending.index[i], &v.pending.rows[i])
		if err != nil {
			return merged, err
		}
		if known {
			merged++
		}
	}
	l.dictionary, l.cursor, l.pushed = v.dictionary[:len(v.dictionary):len(v.dictionary)], f.cursor, f.pushed
	return merged, nil
}

func (l *laggard) clear() {
	l.reset()
	l.dictionary, l.from, l.cursor = nil, 0, ""
}
