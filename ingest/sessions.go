package ingest

import "sync"

// seqWindow is how many seqs below the highest a session remembers, as the pipeline does.
const seqWindow = 1024

// session is what this instance knows of one boot of one device: which of its newest seqs Kafka has
// acknowledged.
type session struct {
	mu   sync.Mutex
	any  bool
	high uint64
	bits [seqWindow / 64]uint64 // a ring: seq s has bit s mod seqWindow
}

// acknowledged reports whether seq is known to be stored. Seqs below the window are unknown.
func (s *session) acknowledged(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
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

type sessionKey struct{ device, session string }

// sessions is a bounded memory of sessions in two generations: a session that is looked up moves to the
// young one; when that is full, the old one is forgotten. So between limit/2 and limit of the sessions
// looked up last are remembered.
type sessions struct {
	limit int

	mu         sync.Mutex
	young, old map[sessionKey]*session
}

func newSessions(limit int) *sessions {
	return &sessions{limit: limit, young: make(map[sessionKey]*session)}
}

// get finds or begins a session.
func (m *sessions) get(device, name string) *session {
	key := sessionKey{device, name}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.young[key]; s != nil {
		return s
	}
	s := m.old[key]
	if s == nil {
		s = new(session)
	}
	if len(m.young) >= m.limit/2 {
		m.old, m.young = m.young, make(map[sessionKey]*session)
	}
	m.young[key] = s
	return s
}

func (m *sessions) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.young) + len(m.old)
}
