package push

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"weir/auth"
)

// readShares bound how much of the log is read back for each account: so many bytes at once, and as many a minute from then
// on. What an account has beyond that it is told anew, which costs what a new client costs.
type readShares struct {
	most int // bytes; fixed

	mu   sync.Mutex
	left map[accountKey]*bucket // of bytes; of those that have read in the last minute or so
}

func newReadShares(most int) readShares {
	return readShares{most: most, left: make(map[accountKey]*bucket)}
}

// may reports whether the log may be read for an account. For one that is nil it may.
func (r *readShares) may(a *account, now time.Time) bool {
	if a == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.left[a.key]
	return b == nil || b.level(now) > 0
}

// spend notes that so many bytes were read for each of the accounts, and forgets what counts no more.
func (r *readShares) spend(accounts []*account, bytes int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, b := range r.left {
		if b.level(now) >= b.burst {
			delete(r.left, key)
		}
	}
	for _, a := range accounts {
		b := r.left[a.key]
		if b == nil {
			full := newBucket(float64(r.most)/60, r.most, now)
			b = &full
			r.left[a.key] = b
		}
		b.spend(float64(bytes), now)
	}
}

// mayComeBack reports whether a subscription or request may go on from its cursor: if it takes reading of the log, its
// account may not have had too much of that.
func (h *hub) mayComeBack(r *returning) bool {
	if h.window.reaches(r.at) || h.readShares.may(r.of, h.now()) {
		return true
	}
	h.m.readBackRefused.Inc()
	return false
}

// shareOf is an account's share for those who read another log: it notes that so many bytes were read, and reports whether
// more may be. Asked so with 0 bytes, it counts what it refuses.
func (h *hub) shareOf(a *account) func(bytes int) (left bool) {
	return func(bytes int) bool {
		now := h.now()
		if a != nil && bytes > 0 {
			h.readShares.spend([]*account{a}, bytes, now)
		}
		left := h.readShares.may(a, now)
		if !left && bytes == 0 {
			h.m.readBackRefused.Inc()
		}
		return left
	}
}

// ReadShare is the share of the log that may be read for whoever makes a request elsewhere, which is the same as here.
func (s *Server) ReadShare(r *http.Request) func(bytes int) (left bool) {
	key := accountOf(auth.PrincipalOf(r.Context()), s.proxies.Address(r))
	if key == (accountKey{}) {
		return s.hub.shareOf(nil)
	}
	return s.hub.shareOf(&account{key: key})
}

// reaches reports whether the window has all that happened since.
func (w *window) reaches(at *positions) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic, logs := range w.logs {
		for p, from := range at.of(topic) {
			if p < len(logs) && from < logs[p].from {
				return false
			}
		}
	}
	return true
}

// askedBy notes for whom the log is read, if it has to be.
func (c *catchUp) askedBy(r *returning) {
	if r.of != nil && !slices.Contains(c.askers, r.of) && !c.window.reaches(r.at) {
		c.askers = append(c.askers, r.of)
	}
}

// spend charges those who ask with what was read of the log for them.
func (c *catchUp) spend(bytes int) {
	if bytes > 0 && len(c.askers) > 0 {
		c.hub.readShares.spend(c.askers, bytes, c.hub.now())
	}
}
