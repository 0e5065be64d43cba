package ingest

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Limit is a rate of readings per second, and how many may come at once after a pause. A rate of 0 is no limit.
type Limit struct {
	Rate  int `koanf:"rate"`
	Burst int `koanf:"burst"`
}

// bucket is a token bucket in one word: the time at which it will be full again (GCRA, ITU-T I.371). So it needs
// no lock, no clock of its own and nothing but a map entry to be remembered.
type bucket struct{ full atomic.Int64 } // ns, as of gates.monotonic

// pacer is what all buckets of one limit have in common.
type pacer struct {
	each  float64 // ns that a reading takes to be refilled
	burst int64
}

func newPacer(l Limit) pacer {
	return pacer{each: float64(time.Second) / float64(l.Rate), burst: int64(l.Burst)}
}

// cost is how long n readings take to be refilled, ns.
func (p *pacer) cost(n int) int64 { return int64(math.Ceil(float64(n) * p.each)) }

// take takes n tokens at now, or tells how long to wait for them, in ns. More than the bucket holds are lent to
// one that is full, which then is in debt: or such a frame could never pass.
func (b *bucket) take(p *pacer, n int, now int64) (wait int64) {
	cost := p.cost(n)
	room := p.cost(int(p.burst - min(int64(n), p.burst))) // how far from full it may be
	for {
		full := b.full.Load()
		from := max(full, now)
		if missing := from - now - room; missing > 0 {
			return missing
		}
		if b.full.CompareAndSwap(full, from+cost) {
			return 0
		}
	}
}

// giveBack undoes a take.
func (b *bucket) giveBack(cost int64) { b.full.Add(-cost) }

// bucketShards divides the memory of buckets, so that connections do not wait for each other.
const bucketShards = 16

// buckets are those of one limit, by name: a bounded memory in two generations, as that of sessions. Who is
// forgotten begins anew with a full bucket.
type buckets struct {
	pacer
	limit  int // of a shard's generation
	seed   maphash.Seed
	shards [bucketShards]bucketShard
}

type bucketShard struct {
	turns      atomic.Uint64 // how often a generation was forgotten
	mu         sync.Mutex
	young, old map[string]*bucket
}

// newBuckets is nil for no limit.
func newBuckets(l Limit, remembered int) *buckets {
	if l.Rate == 0 {
		return nil
	}
	m := &buckets{pacer: newPacer(l), limit: max(1, remembered/2/bucketShards), seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].young = make(map[string]*bucket)
	}
	return m
}

// known is a bucket that a connection has looked up. It is good for one generation: after that it has to be looked
// up again, or it would be forgotten while it is in use.
type known struct {
	name  string
	b     *bucket
	shard *bucketShard
	turn  uint64
}

// find brings k to the bucket of a name.
func (m *buckets) find(k *known, name string) *bucket {
	if k.b != nil && k.name == name && k.shard.turns.Load() == k.turn {
		return k.b
	}
	shard := &m.shards[maphash.String(m.seed, name)%bucketShards]
	*k = known{name: name, shard: shard}
	k.b, k.turn = shard.get(name, m.limit)
	return k.b
}

func (s *bucketShard) get(name string, limit int) (*bucket, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.young[name]; b != nil {
		return b, s.turns.Load()
	}
	b := s.old[name]
	if b == nil {
		b = new(bucket)
	}
	if len(s.young) >= limit {
		s.old, s.young = s.young, make(map[string]*bucket)
		s.turns.Add(1)
	}
	s.young[name] = b
	return b, s.turns.Load()
}

func (m *buckets) len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}
