package devices

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"weir/wire"
)

// FrameInfo is what became of one device's part of a frame. Times are in microseconds.
type FrameInfo struct {
	// Accepted, Duplicate, Late and Rejected count readings; Backlog are those of Accepted and Late that went to
	// the backlog.
	Accepted, Duplicate, Late, Backlog, Rejected int
	// Code and Path say why the first was rejected, or the whole frame; Rejections, which is not kept, why each was.
	Code, Path string
	Rejections []wire.Rejection
	// Limited is the code of the limit that refused the frame (limit_device, …), LimitedN how many readings it had.
	Limited  string
	LimitedN int

	Session string
	Seq     uint64
	HasSeq  bool
	// Newest is the newest source time of the readings, 0 when the server gave them theirs; Now is when the frame came.
	Newest, Now int64
	// OutOfOrder counts readings older than one before them in the frame.
	OutOfOrder int
	// HTTP: it came by a request, so that no connection tells of the device's presence.
	HTTP bool
}

const shardCount = 64

// shard holds a part of the devices, most recently heard first.
type shard struct {
	mu      sync.Mutex
	entries map[string]*entry
	newest  *entry
	oldest  *entry
}

// entry is what this instance knows of one device. Guarded by its shard's lock.
type entry struct {
	device       string
	newer, older *entry
	health       health
	presence     presence
}

// shards are all entries.
type shards struct {
	seed   maphash.Seed
	all    [shardCount]shard
	limit  int          // of each
	faulty atomic.Int32 // how many entries tell of refusals
}

func newShards(most int) *shards {
	s := &shards{seed: maphash.MakeSeed(), limit: max(1, most/shardCount)}
	for i := range s.all {
		s.all[i].entries = make(map[string]*entry)
	}
	return s
}

func (ss *shards) of(device string) *shard {
	return &ss.all[maphash.String(ss.seed, device)%shardCount]
}

func (ss *shards) len() (n int) {
	for i := range ss.all {
		ss.all[i].mu.Lock()
		n += len(ss.all[i].entries)
		ss.all[i].mu.Unlock()
	}
	return n
}

// takeLocked finds or makes the entry of a device in its shard and makes it the newest; nil when all that would have
// to go are online. The name is copied.
func (ss *shards) takeLocked(s *shard, device string) *entry {
	e := s.entries[device]
	if e == nil {
		if len(s.entries) >= ss.limit && !ss.evictLocked(s) {
			return nil
		}
		e = &entry{device: strings.Clone(device)}
		s.entries[e.device] = e
		s.pushLocked(e)
		return e
	}
	if s.newest != e {
		s.unlinkLocked(e)
		s.pushLocked(e)
	}
	return e
}

// evictLocked forgets the device that was silent for longest, unless it and the next few are online.
func (ss *shards) evictLocked(s *shard) bool {
	const tries = 16
	e := s.oldest
	for range tries {
		if e == nil {
			return false
		}
		if !e.presence.alive() {
			ss.dropLocked(s, e)
			return true
		}
		e = e.newer
	}
	return false
}

func (ss *shards) dropLocked(s *shard, e *entry) {
	s.unlinkLocked(e)
	delete(s.entries, e.device)
	e.health.clear(&ss.faulty)
}

func (s *shard) pushLocked(e *entry) {
	e.older, e.newer = s.newest, nil
	if s.newest != nil {
		s.newest.newer = e
	}
	s.newest = e
	if s.oldest == nil {
		s.oldest = e
	}
}

func (s *shard) unlinkLocked(e *entry) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
}
