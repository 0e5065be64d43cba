package plan

import (
	"slices"
	"strings"
)

// node is a derived series or a group among what they are made of.
type node struct {
	path, name string
	metric     string // of what it makes; empty: that of its members
	makes      [][]string
	reads      [][]string
	takes      taking
	derived    *Derived
	next       []*node // those that may read what it makes
	state      visit
}

type visit uint8

const (
	unseen visit = iota
	open
	done
)

// nodes are the derived series, then the groups, without edges.
func (p *Plan) nodes() []*node {
	var out []*node
	for _, d := range p.derived {
		n := &node{path: d.path, name: d.As, metric: d.As, derived: d, takes: anySegment}
		for _, pattern := range d.match {
			n.makes = append(n.makes, append(slices.Clone(pattern.segments), d.As))
			for _, input := range d.Inputs {
				for _, metric := range p.sources(input) {
					n.reads = append(n.reads, append(slices.Clone(pattern.segments), metric))
				}
			}
		}
		out = append(out, n)
	}
	for _, g := range p.groups {
		n := &node{path: g.path, name: g.As(), makes: [][]string{g.out}, takes: noReserved}
		if last := g.out[len(g.out)-1]; !wildcard(last) {
			n.metric = last
		}
		for _, pattern := range g.match {
			last := len(pattern.segments) - 1
			for _, metric := range p.sources(pattern.segments[last]) {
				n.reads = append(n.reads, append(slices.Clone(pattern.segments[:last]), metric))
			}
		}
		out = append(out, n)
	}
	return out
}

// sources are the metric and those that it may be an average, a window or a rate of.
func (p *Plan) sources(metric string) []string {
	out := []string{metric}
	for _, t := range p.templates {
		if base, ok := t.base(metric); ok && !wildcard(metric) {
			out = append(out, base)
		}
	}
	return out
}

// checkCycles refuses what is made of itself, and puts the derived series into an order to compute them in.
func (p *Plan) checkCycles(f *faults) {
	nodes := p.nodes()
	connect(nodes)
	var order []*Derived
	var path []*node
	var walk func(*node)
	walk = func(n *node) {
		n.state = open
		path = append(path, n)
		for _, next := range n.next {
			switch next.state {
			case unseen:
				walk(next)
			case open:
				cycle(path[slices.Index(path, next):], f)
			}
		}
		path = path[:len(path)-1]
		n.state = done
		if n.derived != nil {
			order = append(order, n.derived)
		}
	}
	for _, n := range slices.Backward(nodes) {
		if n.state == unseen {
			walk(n)
		}
	}
	slices.Reverse(order)
	p.derived = order
	p.indexDevices()
}

// connect finds out who may read what another one makes. What a node reads is looked up by the metric.
func connect(nodes []*node) {
	makers := map[string][]*node{}
	for _, n := range nodes {
		makers[n.metric] = append(makers[n.metric], n)
	}
	for _, n := range nodes {
		for _, read := range n.reads {
			candidates := nodes
			if metric := read[len(read)-1]; !wildcard(metric) {
				candidates = slices.Concat(makers[metric], makers[""])
			}
			for _, from := range candidates {
				if !slices.Contains(from.next, n) && meetAny([][]string{read}, from.makes, n.takes) {
					from.next = append(from.next, n)
				}
			}
		}
	}
}

// cycle tells a cycle at each of its members' first one in the file.
func cycle(members []*node, f *faults) {
	first := 0
	for i, n := range members {
		if f.line(n.path) < f.line(members[first].path) {
			first = i
		}
	}
	members = slices.Concat(members[first:], members[:first])
	names := make([]string, 0, len(members)+1)
	for _, n := range members {
		names = append(names, n.name)
	}
	names = append(names, names[0])
	switch {
	case members[0].derived == nil && len(members) == 1:
		f.at(members[0].path, "its members include its own output, %s", names[0])
	default:
		f.at(members[0].path, "is made of itself: %s", strings.Join(names, " → "))
	}
}
