package pipeline

import (
	"encoding/binary"

	"weir/pipeline/window"
)

// use makes the state one of a treatment. A part goes on when the treatment has one that was made with the same
// settings, and else begins anew.
func (s *compute) use(c *computeState, treat *treatment) {
	old, before := *c, (*outputs)(nil)
	if c.treat != nil {
		before = c.treat.outs
	}
	c.treat, c.next, c.frozen = treat, treat, nil
	c.averages, c.windows, c.collectors, c.group = nil, nil, nil, nil
	if treat.outs == nil {
		c.sendAt = never
		return
	}
	outs := treat.outs
	c.averages = make([]window.Average, len(outs.averages))
	c.windows = make([]window.State, len(outs.windows))
	c.collectors = make([]window.Collector, len(outs.groups))
	if outs.group != nil {
		c.group = new(window.Group)
	}
	if old.frozen != nil {
		if !c.thaw(old.frozen) {
			s.m.layouts.Inc()
		}
		return
	}
	if before != nil {
		c.inherit(&old, before)
	}
}

// inherit takes over the parts of before that the treatment has, too.
func (c *computeState) inherit(old *computeState, before *outputs) {
	outs := c.treat.outs
	for i := range outs.averages {
		for j := range before.averages {
			if *outs.averages[i].spec == *before.averages[j].spec && outs.averages[i].to.series == before.averages[j].to.series {
				c.averages[i] = old.averages[j]
			}
		}
	}
	for i := range outs.windows {
		for j := range before.windows {
			if w, x := outs.windows[i].w, before.windows[j].w; w.Hash() == x.Hash() && w.Name() == x.Name() {
				c.windows[i] = old.windows[j]
			}
		}
	}
	for i := range outs.groups {
		for j := range before.groups {
			if w, x := &outs.groups[i], &before.groups[j]; w.series == x.series && w.w.Hash() == x.w.Hash() {
				c.collectors[i] = old.collectors[j]
			}
		}
	}
	if outs.group != nil && before.group != nil && outs.group.w.Hash() == before.group.w.Hash() {
		c.group = old.group
	}
}

// Kinds of parts in a marshalled computeState.
const (
	partAverage = iota + 1
	partWindow
	partCollector
	partGroup
)

// marshalAppend appends the parts: kind byte, name and content, each with its length before it. What has a fixed
// size is in fields of the record.
func (c *computeState) marshalAppend(dst []byte) []byte {
	if c.frozen != nil || c.treat == nil || c.treat.outs == nil {
		return append(dst, c.frozen...)
	}
	outs := c.treat.outs
	part := func(kind byte, name string, content []byte) {
		dst = append(dst, kind)
		dst = binary.AppendUvarint(dst, uint64(len(name)))
		dst = append(dst, name...)
		dst = binary.AppendUvarint(dst, uint64(len(content)))
		dst = append(dst, content...)
	}
	for i := range outs.averages {
		part(partAverage, outs.averages[i].to.series.metric(), c.averages[i].MarshalAppend(nil, outs.averages[i].spec))
	}
	for i := range outs.windows {
		part(partWindow, outs.windows[i].w.Name(), c.windows[i].MarshalAppend(nil, outs.windows[i].w))
	}
	for i := range outs.groups {
		if c.collectors[i].Len() > 0 {
			part(partCollector, outs.groups[i].series, c.collectors[i].MarshalAppend(nil, outs.groups[i].w))
		}
	}
	if c.group != nil && outs.group != nil {
		part(partGroup, "", c.group.MarshalAppend(nil, outs.group.w))
	}
	return dst
}

// thaw reads the parts that the treatment has. It reports false when one could not be read.
func (c *computeState) thaw(b []byte) (known bool) {
	known = true
	outs := c.treat.outs
	for len(b) > 0 {
		kind, name, content, rest, ok := cutPart(b)
		if !ok {
			return false
		}
		b = rest
		var err error
		switch kind {
		case partAverage:
			for i := range outs.averages {
				if outs.averages[i].to.series.metric() == name {
					err = c.averages[i].Unmarshal(content, outs.averages[i].spec)
				}
			}
		case partWindow:
			for i := range outs.windows {
				if outs.windows[i].w.Name() == name {
					err = c.windows[i].Unmarshal(content, outs.windows[i].w)
				}
			}
		case partCollector:
			for i := range outs.groups {
				if outs.groups[i].series == name {
					err = c.collectors[i].Unmarshal(content, outs.groups[i].w)
				}
			}
		case partGroup:
			if c.group != nil {
				err = c.group.Unmarshal(content, outs.group.w)
			}
		}
		known = known && err == nil
	}
	return known
}

func cutPart(b []byte) (kind byte, name string, content, rest []byte, ok bool) {
	kind, b = b[0], b[1:]
	cut := func() []byte {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			ok = false
			return nil
		}
		part := b[size : size+int(n)]
		b = b[size+int(n):]
		return part
	}
	ok = true
	name = string(cut())
	if ok {
		content = cut()
	}
	return kind, name, content, b, ok
}
