package telemetry

import "strings"

// Trie maps patterns to values of type T and finds the values of all patterns that match a path. Its
// cost grows with the path's depth and the patterns that match, not with the number of patterns. It is
// not safe for concurrent use while it changes.
type Trie[T comparable] struct {
	root node[T]
	size int
}

type node[T comparable] struct {
	children map[string]*node[T]
	plus     *node[T]
	here     []T // patterns that end at this node
	below    []T // patterns that end with "#" under this node
}

// Len is the number of (pattern, value) pairs held.
func (t *Trie[T]) Len() int { return t.size }

// Add puts value under pattern. Adding the same pair twice has no effect.
func (t *Trie[T]) Add(p Pattern, value T) {
	n := &t.root
	for _, s := range p.segments {
		if s == "#" {
			t.size += insert(&n.below, value)
			return
		}
		n = n.child(s)
	}
	t.size += insert(&n.here, value)
}

// Remove takes value from under pattern and prunes what has become empty.
func (t *Trie[T]) Remove(p Pattern, value T) {
	t.size -= t.root.remove(p.segments, value)
}

// Match appends to dst the values of all patterns that match path. A value stands in the result once for
// each of its patterns that match.
func (t *Trie[T]) Match(path string, dst []T) []T {
	return t.root.match(path, true, strings.HasPrefix(path, "_"), dst)
}

func (n *node[T]) child(segment string) *node[T] {
	if segment == "+" {
		if n.plus == nil {
			n.plus = new(node[T])
		}
		return n.plus
	}
	c := n.children[segment]
	if c == nil {
		if n.children == nil {
			n.children = make(map[string]*node[T])
		}
		c = new(node[T])
		n.children[segment] = c
	}
	return c
}

// match descends with the rest of a path; more is false when no segment is left. reserved forbids
// wildcards at this level: the first segment begins with "_".
func (n *node[T]) match(rest string, more, reserved bool, dst []T) []T {
	if !reserved {
		dst = append(dst, n.below...)
	}
	if !more {
		return append(dst, n.here...)
	}
	segment, rest, more := strings.Cut(rest, "/")
	if c := n.children[segment]; c != nil {
		dst = c.match(rest, more, false, dst)
	}
	if n.plus != nil && !reserved {
		dst = n.plus.match(rest, more, false, dst)
	}
	return dst
}

func (n *node[T]) remove(segments []string, value T) (removed int) {
	if len(segments) == 0 {
		return erase(&n.here, value)
	}
	switch s := segments[0]; s {
	case "#":
		return erase(&n.below, value)
	case "+":
		if n.plus == nil {
			return 0
		}
		removed = n.plus.remove(segments[1:], value)
		if n.plus.empty() {
			n.plus = nil
		}
	default:
		c := n.children[s]
		if c == nil {
			return 0
		}
		removed = c.remove(segments[1:], value)
		if c.empty() {
			delete(n.children, s)
		}
	}
	return removed
}

func (n *node[T]) empty() bool {
	return len(n.children) == 0 && n.plus == nil && len(n.here) == 0 && len(n.below) == 0
}

func insert[T comparable](set *[]T, value T) int {
	for _, v := range *set {
		if v == value {
			return 0
		}
	}
	*set = append(*set, value)
	return 1
}

func erase[T comparable](set *[]T, value T) int {
	for i, v := range *set {
		if v == value {
			last := len(*set) - 1
			(*set)[i] = (*set)[last]
			var zero T
			(*set)[last] = zero
			*set = (*set)[:last]
			return 1
		}
	}
	return 0
}
