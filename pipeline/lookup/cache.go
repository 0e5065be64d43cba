package lookup

import (
	"container/list"
	"time"
)

// key is a question. Plans that ask the same share its answer.
type key struct{ url, prefix, headersFile string }

// entry is what is known of the answer. It is guarded by Lookups.mu; key and device do not change.
type entry struct {
	key    key
	device string
	labels map[string]string
	// answered: labels are an answer; failed: the last attempt came to nothing; asked: an attempt is under way.
	answered, failed, asked bool
	// again is when to ask next at the earliest, told when a failure was told.
	again, told time.Time
	size        int
	place       *list.Element
}

// cache drops what was asked for longest ago.
type cache struct {
	entries map[key]*entry
	recent  *list.List // of *entry, the newest first
	bytes   int
}

func (c *cache) init() { c.entries, c.recent = make(map[key]*entry), list.New() }

// get is the entry of a question, made when there is none.
func (c *cache) get(k key) *entry {
	e := c.entries[k]
	if e != nil {
		c.recent.MoveToFront(e.place)
		return e
	}
	e = &entry{key: k}
	e.place = c.recent.PushFront(e)
	c.entries[k] = e
	c.resize(e)
	return e
}

// resize counts what an entry takes, and makes room. An entry that was dropped meanwhile stays so.
func (c *cache) resize(e *entry) {
	if c.entries[e.key] != e {
		return
	}
	const overhead, perLabel = 320, 64 // of maps, lists and headers of texts, roughly
	size := overhead + len(e.key.url) + len(e.device)
	for name, value := range e.labels {
		size += perLabel + len(name) + len(value)
	}
	c.bytes += size - e.size
	e.size = size
	for c.bytes > maxCached && c.recent.Len() > 1 {
		last := c.recent.Back().Value.(*entry)
		c.recent.Remove(last.place)
		delete(c.entries, last.key)
		c.bytes -= last.size
	}
}
