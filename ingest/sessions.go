package ingest

import (
	"slices"
	"sync"
	"sync/atomic"
)

// seqWindow is how many seqs below the highest a session remembers, as the pipeline does.
const seqWindow = 1024

// keepClaims is for how many claims a session keeps room.
const keepClaims = 8

// session is what this instance knows of one boot of one device: which of its newest seqs Kafka has
// acknowledged.
type session struct {
	mu   sync.Mutex
	any  bool
	high uint64
	bits [seqWindow / 64]uint64 // a ring: seq s has bit s mod seqWindow

	claims []uint64 // seqs of the past that are on their way into Kafka, in no order
}

// acknowledged reports whether seq is known to be stored. Seqs below the window are unknown.
func (s *session) acknowledged(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knows(seq)
}

func (s *session) knows(seq uint64) bool {
	if !s.any || seq > s.high || s.high-seq >= seqWindow {
		return false
	}
	return s.bits[seq%seqWindow/64]&(1<<(seq%64)) != 0
}

func (s *session) acknowledge(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.any || seq > s.high && seq-s.high >= seqWindow:
		clear(s.bits[:])
		s.any, s.high = true, seq
	case seq > s.high:
		for n := s.high + 1; n < seq; n++ {
			s.bits[n%seqWindow/64] &^= 1 << (n % 64)
		}
		s.high = seq
	case s.high-seq >= seqWindow:
		return
	}
	s.bits[seq%seqWindow/64] |= 1 << (seq % 64)
}

// claim is true for one caller per seq, until disclaim, and for nobody once the seq is acknowledged.
func (s *session) claim(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.knows(seq) || slices.Contains(s.claims, seq) {
		return false
	}
	s.claims = append(s.claims, seq)
	return true
}

func (s *session) disclaim(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.claims) - 1
	if i := slices.Index(s.claims, seq); i >= 0 {
		s.claims[i] = s.claims[last]
		s.claims = s.claims[:last]
	}
	if len(s.claims) == 0 && cap(s.claims) > keepClaims {
		s.claims = nil
	}
}

type sessionKey struct{ device, session string }

// sessions is a bounded memory of sessions in two generations: a session that is looked up moves to the
// young one; when that is full, the old one is forgotten. So between limit/2 and limit of the sessions
// looked up last are remembered.
type sessions struct {
	limit int
	turns atomic.Uint64 // how often a generation was forgotten

	mu         sync.Mutex
	young, old map[sessionKey]*session
}

func newSessions(limit int) *sessions {
	return &sessions{limit: limit, young: make(map[sessionKey]*session)}
}

// knownSession saves the look-up for a connection that speaks for one device. As with buckets, it is good for one
// generation: after that the session has to be looked up again, or others would not find what is in use.
type knownSession struct {
	key  sessionKey
	s    *session
	turn uint64
}

// find brings k to a session, which begins if nobody remembers it.
func (m *sessions) find(k *knownSession, device, name string) *session {
	key := sessionKey{device, name}
	if k.s != nil && k.key == key && m.turns.Load() == k.turn {
		return k.s
	}
	if k.key != key {
		*k = knownSession{key: key}
	}
	k.s, k.turn = m.get(key, k.s)
	return k.s
}

// get finds or begins a session. If it has been forgotten, the one that was held meanwhile is as good as ever.
func (m *sessions) get(key sessionKey, held *session) (*session, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.young[key]; s != nil {
		return s, m.turns.Load()
	}
	s := m.old[key]
	if s == nil {
		s = held
	}
	if s == nil {
		s = new(session)
	}
	if len(m.young) >= m.limit/2 {
		m.old, m.young = m.young, make(map[sessionKey]*session)
		m.turns.Add(1)
	}
	m.young[key] = s
	return s, m.turns.Load()
}

func (m *sessions) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.young) + len(m.old)
}
