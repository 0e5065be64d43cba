package rooms

import "container/heap"

// shares are what each tenant has of something that is bounded, in the order of use. For one more of a tenant room is made as
// the longest queue drops in fair queueing: by what was used the longest ago of the tenant that has the most, which is the
// tenant itself if none has more. So a tenant that has no more than an even part loses nothing to others, and one alone may
// have all. All of it takes O(log tenants).
type shares[T any] struct {
	of      map[string]*share[T]
	largest ordered[*share[T]] // first
	count   int
}

// share is what one tenant has: at least one.
type share[T any] struct {
	tenant         string
	count          int
	oldest, newest *place[T]
	at             int // in shares.largest
}

// place is where in the order of use a thing is.
type place[T any] struct {
	what         T
	in           *share[T] // nil: it is not in any
	older, newer *place[T]
	used         int64 // a version
}

func newShares[T any]() shares[T] { return shares[T]{of: make(map[string]*share[T])} }

// before orders by size, equal ones by use, and last by name, so that it depends on nothing else.
func (in *share[T]) before(other *share[T]) bool {
	switch {
	case in.count != other.count:
		return in.count > other.count
	case in.oldest.used != other.oldest.used:
		return in.oldest.used < other.oldest.used
	}
	return in.tenant < other.tenant
}

func (in *share[T]) movedTo(i int) { in.at = i }

// use notes that a thing of a tenant was used at a version, which is newer than all before it.
func (s *shares[T]) use(p *place[T], tenant string, version int64) {
	s.remove(p)
	in := s.of[tenant]
	if in == nil {
		in = &share[T]{tenant: tenant}
		s.of[tenant] = in
	}
	p.in, p.older, p.used = in, in.newest, version
	if in.newest != nil {
		in.newest.newer = p
	} else {
		in.oldest = p
	}
	in.newest = p
	in.count++
	s.count++
	if in.count == 1 {
		heap.Push(&s.largest, in)
	} else {
		heap.Fix(&s.largest, in.at)
	}
}

// remove takes a thing out, if it is in.
func (s *shares[T]) remove(p *place[T]) {
	in := p.in
	if in == nil {
		return
	}
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		in.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		in.newest = p.older
	}
	p.in, p.older, p.newer = nil, nil, nil
	in.count--
	s.count--
	if in.count > 0 {
		heap.Fix(&s.largest, in.at)
		return
	}
	heap.Remove(&s.largest, in.at)
	delete(s.of, in.tenant)
}

// displaced is what makes room for one more of a tenant; nil: there is nothing. It is for the caller to remove.
func (s *shares[T]) displaced(tenant string) *place[T] {
	if len(s.largest) == 0 {
		return nil
	}
	in := s.largest[0]
	if own := s.of[tenant]; own != nil && own.count == in.count {
		in = own
	}
	return in.oldest
}
