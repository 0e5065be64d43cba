package sim

import (
	"maps"
	"sync"
	"sync/atomic"

	"weir/wire"
)

// Stats counts what devices do. One may be shared by many; all methods are safe for concurrent use.
type Stats struct {
	sent, frames, resent, skipped               atomic.Int64
	accepted, duplicate, late, rejected, unsure atomic.Int64
	running, connected                          atomic.Int64
	connects, reconnects, dialErrors            atomic.Int64

	mu      sync.Mutex
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
	codes, problem := maps.Clone(s.codes), s.problem
	s.mu.Unlock()
	return Counts{
		Sent: s.sent.Load(), Frames: s.frames.Load(), Resent: s.resent.Load(), Skipped: s.skipped.Load(),
		Accepted: s.accepted.Load(), Duplicate: s.duplicate.Load(), Late: s.late.Load(),
		Rejected: s.rejected.Load(), Unsure: s.unsure.Load(),
		Running: s.running.Load(), Connected: s.connected.Load(),
		Connects: s.connects.Load(), Reconnects: s.reconnects.Load(), DialErrors: s.dialErrors.Load(),
		Codes: codes, Problem: problem,
	}
}

func (s *Stats) receipt(r *wire.Receipt, readings int) {
	s.accepted.Add(int64(r.Accepted))
	s.duplicate.Add(int64(r.Duplicate))
	s.late.Add(int64(r.Late))
	if r.Err != nil {
		s.reject(r.Err.Code, readings)
		return
	}
	for i := range r.Rejected {
		s.reject(r.Rejected[i].Code, 1)
	}
}

// maxCodes bounds what a server can make the map hold.
const maxCodes = 64

func (s *Stats) reject(code string, n int) {
	s.rejected.Add(int64(n))
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
