package sim

import (
	"maps"
	"sync"
	"sync/atomic"

	sdk "weir/sdk/go"
)

// Stats counts what devices do. One may be shared by many; all methods are safe for concurrent use.
type Stats struct {
	skipped, running atomic.Int64

	mu      sync.Mutex
	clients map[*sdk.Client]struct{} // that run
	ended   Counts                   // of those that have ended
	codes   map[string]int64
	problem error
}

// Counts is a reading of Stats.
type Counts struct {
	// Sent counts readings that left, each once; Frames the frames they left in; Resent frames that left
	// again; Skipped readings that were due while a device could not send for too long.
	Sent, Frames, Resent, Skipped int64
	// Receipted readings, by what their receipts say.
	Accepted, Duplicate, Late, Rejected int64
	// Unsure counts readings of devices that have ended which left and were never receipted.
	Unsure int64
	// Running is how many devices run now, Connected how many of them are connected.
	Running, Connected int64
	// Connects is how often a device has connected, Reconnects how often again, DialErrors how often one
	// could not.
	Connects, Reconnects, DialErrors int64
	// Codes counts rejected readings by code.
	Codes map[string]int64
	// Problem is the latest reason why a connection could not be opened or was lost, nil when since then
	// one could be opened.
	Problem error
}

// Receipted is the number of readings whose fate is known.
func (c *Counts) Receipted() int64 { return c.Accepted + c.Duplicate + c.Late + c.Rejected }

// Counts reads all counters.
func (s *Stats) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.ended
	for c := range s.clients {
		n := c.Stats()
		out.add(&n)
	}
	out.Skipped, out.Running = s.skipped.Load(), s.running.Load()
	out.Codes, out.Problem = maps.Clone(s.codes), s.problem
	return out
}

// begin counts what a client does from now on, settle what it has done until its end.
func (s *Stats) begin(c *sdk.Client) {
	s.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients == nil {
		s.clients = make(map[*sdk.Client]struct{})
	}
	s.clients[c] = struct{}{}
}

func (s *Stats) settle(c *sdk.Client) {
	s.running.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	n := c.Stats()
	s.ended.add(&n)
	s.ended.Unsure += n.Unsure
}

// add adds what one client has done.
func (c *Counts) add(n *sdk.Stats) {
	c.Sent += n.Sent
	c.Frames += n.Frames
	c.Resent += n.Resent
	c.Accepted += n.Accepted
	c.Duplicate += n.Duplicate
	c.Late += n.Late
	c.Rejected += n.Rejected
	c.Connects += n.Connects
	c.Reconnects += max(0, n.Connects-1)
	c.DialErrors += n.DialErrors
	if n.Connected {
		c.Connected++
	}
}

// maxCodes bounds what a server can make the map hold.
const maxCodes = 64

func (s *Stats) reject(code string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.codes == nil {
		s.codes = make(map[string]int64)
	}
	if _, known := s.codes[code]; !known && len(s.codes) == maxCodes {
		code = "other"
	}
	s.codes[code] += int64(n)
}

func (s *Stats) setProblem(err error) {
	s.mu.Lock()
	s.problem = err
	s.mu.Unlock()
}
