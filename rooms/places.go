package rooms

import (
	"container/heap"
	"time"
)

// A partition has places for a number of rooms. One that is in use, by members or bans, keeps its place, but for rooms of bans
// alone in favour of a tenant that has fewer; of the others, what makes room is by shares.

// tenant is what a state knows of one: it has a room at least.
type tenant struct {
	rooms  int
	used   int // of those
	forgot int64
}

// forgotOf is the version up to which there may have been messages of a tenant's rooms that are not known.
func (s *state) forgotOf(name string) int64 {
	if t := s.tenants[name]; t != nil {
		return max(s.forgot, t.forgot)
	}
	return s.forgot
}

// open returns a room, made if there is a place for it, or nil. What comes of it is to be settled. In use it is to be only
// if its tenant may have one more of these.
func (s *state) open(name string, use bool) *room {
	r, of := s.rooms[name], tenantOf(name)
	t := s.tenants[of]
	if use && t != nil && t.used >= s.cfg.usedByOne() && (r == nil || !r.among.used()) {
		return nil
	}
	if r != nil {
		return r
	}
	if len(s.rooms) >= s.cfg.Rooms && !s.displace(of, use) {
		return nil
	}
	if t = s.tenants[of]; t == nil { // also if that was its only room
		t = new(tenant)
		s.tenants[of] = t
	}
	t.rooms++
	r = &room{name: name, members: make(map[string]*member), bans: make(map[string]int64)}
	r.history.dropped = s.forgotOf(of)
	r.place.what = r
	s.rooms[name] = r
	return r
}

// settle gives a room the standing that it has after a change, or forgets it if nothing of it is left. It has been used.
func (s *state) settle(r *room) {
	to := r.standing()
	if to == unkept {
		s.forget(r)
		return
	}
	s.stand(r, to)
}

func (s *state) stand(r *room, to standing) {
	of := tenantOf(r.name)
	switch r.among {
	case idle:
		s.idle.remove(&r.place)
	case shut:
		s.shut.remove(&r.place)
	}
	switch to {
	case idle:
		s.idle.use(&r.place, of, versionOf(s.next-1))
	case shut:
		s.shut.use(&r.place, of, versionOf(s.next-1))
	}
	if was := r.among.used(); was && !to.used() {
		s.tenants[of].used--
	} else if !was && to.used() {
		s.tenants[of].used++
	}
	r.among = to
}

func (s *state) forget(r *room) {
	s.stand(r, unkept)
	s.hold(r, 0)
	delete(s.rooms, r.name)
	of := tenantOf(r.name)
	t := s.tenants[of]
	t.forgot = max(t.forgot, r.version)
	if t.rooms--; t.rooms == 0 {
		s.forgot = max(s.forgot, t.forgot)
		delete(s.tenants, of)
	}
}

// displace forgets a room for one more of a tenant, and reports false if none may be forgotten for it.
func (s *state) displace(of string, use bool) bool {
	if p := s.idle.displaced(of); p != nil {
		s.lost.rooms.Inc()
		s.forget(p.what)
		return true
	}
	if !use {
		return false
	}
	p := s.unshut(of)
	if p == nil {
		return false
	}
	s.lost.bans.Add(len(p.what.bans))
	s.forget(p.what)
	return true
}

// unshut is the room of bans alone that makes room, when all are in use, for one more of a tenant: that of the tenant which
// has the most in use of those with such rooms, if these are more than an even part, and more than those of the tenant that
// asks; or nil.
func (s *state) unshut(of string) *place[*room] {
	own, present := 0, 1
	for name, t := range s.tenants {
		if name == of {
			own = t.used
		} else if t.used > 0 {
			present++
		}
	}
	var from *share[*room]
	most := max(own, s.cfg.Rooms/present)
	for _, in := range s.shut.largest {
		used := s.tenants[in.tenant].used
		if used > most || used == most && from != nil && in.oldest.used < from.oldest.used {
			from, most = in, used
		}
	}
	if from == nil {
		return nil
	}
	return from.oldest
}

// forgetBan is how long after its end a ban is forgotten: those that write records have clocks that differ.
const forgetBan = time.Minute

// hold notes until when bans hold a room, in µs; 0: there are none.
func (s *state) hold(r *room, until int64) {
	was := r.held
	r.held = until
	switch {
	case was == 0 && until > 0:
		heap.Push(&s.ends, r)
	case was > 0 && until == 0:
		heap.Remove(&s.ends, r.endsAt)
	case was > 0:
		heap.Fix(&s.ends, r.endsAt)
	}
}

// release forgets the bans of rooms where the last one has ended, at the time of a record in µs. It does not ask the clock here, so
// that all instances do so at the same record.
func (s *state) release(at int64) {
	for len(s.ends) > 0 && at-s.ends[0].held > forgetBan.Microseconds() {
		r := s.ends[0]
		s.hold(r, 0)
		clear(r.bans)
		s.settle(r)
	}
}
