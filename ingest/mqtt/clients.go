package mqtt

import "sync"

// Clients knows who is connected to this server: a client that connects again under its id replaces itself. The ids of
// different principals have nothing to do with one another.
type Clients struct {
	mu   sync.Mutex
	open map[clientKey]*Session
}

type clientKey struct{ tenant, subject, client string }

// NewClients makes an empty Clients.
func NewClients() *Clients { return &Clients{open: make(map[clientKey]*Session)} }

// enter takes the place of a Session of the same client, and returns how to leave.
func (c *Clients) enter(s *Session) (leave func()) {
	key := clientKey{s.principal.Tenant, s.principal.Subject, s.client}
	c.mu.Lock()
	old := c.open[key]
	c.open[key] = s
	c.mu.Unlock()
	if old != nil {
		old.TakeOver()
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[key] == s {
			delete(c.open, key)
		}
	}
}
