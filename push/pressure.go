package push

import (
	"cmp"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"unsafe"

	"weir/telemetry"
)

// laggardRowBytes is about what a row takes in a laggard's set: itself, its index and its place.
const laggardRowBytes = int(unsafe.Sizeof(telemetry.Update{})) + 8

// pressure is how much memory is in use, as far as it decides whether connections are taken.
type pressure struct {
	limit func() int64 // of memory, in bytes; math.MaxInt64: there is none
	live  func() int64 // bytes that were in use when garbage was collected last, with stacks
}

func newPressure() pressure {
	return pressure{limit: func() int64 { return debug.SetMemoryLimit(-1) }, live: liveBytes}
}

func liveBytes() int64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	var sum uint64
	for i := range samples {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			sum += samples[i].Value.Uint64()
		}
	}
	return int64(sum)
}

func (p *pressure) high(share float64) bool {
	limit := p.limit()
	return limit != math.MaxInt64 && float64(p.live()) > share*float64(limit)
}

// buffered is what waits for all connections, in bytes. Frames that are shared count for nobody.
func (m *meters) buffered() int64 {
	return m.losslessBytes.Load() + m.snapshotBytes.Load() + m.laggingRows.Load()*int64(laggardRowBytes) + m.laggingBytes.Load()
}

// behindLocked are the cohorts of the connection's subscriptions: those in line for the socket, and those whose snapshot is
// still to go.
func (c *client) behindLocked(yield func(*cohort) bool) {
	for _, s := range c.due {
		if s.open && s.behind != nil && !yield(s.behind) {
			return
		}
	}
	for _, it := range c.lane.items {
		if it.opens != nil && it.opens.behind != nil && !yield(it.opens.behind) {
			return
		}
	}
}

// laggingLocked is how many rows have been gathered for the connection.
func (c *client) laggingLocked() (n int) {
	for of := range c.behindLocked {
		rows, _ := of.waiting()
		n += rows
	}
	return n
}

// queuedLocked is what waits in the lossless lane, in bytes.
func (c *client) queuedLocked() (n int64) {
	for _, it := range c.lane.items {
		n += int64(it.frame.size())
	}
	return n
}

// waitingLocked is what waits for the connection, in bytes.
func (c *client) waitingLocked() int64 {
	return c.queuedLocked() + int64(c.laggingLocked())*int64(laggardRowBytes)
}

// burden is how much less waits for all without the connection, in bytes. What it has gathered with others counts for it in
// part.
func (c *client) burden() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.queuedLocked()
	for of := range c.behindLocked {
		n += of.share()
	}
	return n
}

// relieve decides whether more connections are taken, and when those there are need half as much again as they may,
// closes the ones for which most waits. To begin anew on the same connection would take a snapshot, which is as large
// as what is let go; one that is closed comes back with its cursor, and not before there is room.
func (s *Server) relieve(clients []*client) {
	m, bound := s.hub.m, int64(s.cfg.MaxBufferedBytes)
	buffered := m.buffered()
	over := buffered > bound || s.pressure.high(s.cfg.MaxHeapShare)
	s.conns.overloaded.Store(over)
	if over {
		m.overloaded.Store(1)
	} else {
		m.overloaded.Store(0)
	}
	if buffered <= bound+bound/2 {
		return
	}
	type burden struct {
		*client
		bytes int64
	}
	burdens := make([]burden, 0, len(clients))
	for _, c := range clients {
		if n := c.burden(); n > 0 {
			burdens = append(burdens, burden{c, n})
		}
	}
	slices.SortFunc(burdens, func(a, b burden) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, b := range burdens {
		if buffered <= bound {
			return
		}
		b.close(endedOverflow)
		m.shed.Inc()
		buffered -= b.bytes
	}
}

// retryAfter is in how many seconds somebody who was refused may ask again, not all at once.
func retryAfter() string {
	const least, spread = 5, 11
	return strconv.Itoa(least + rand.IntN(spread))
}
