package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"weir/kafka"
)

func (s *suite) group() {
	s.sub("members share the partitions and only those of a leaver move", (*suite).stickiness)
	s.sub("commits are read back and by the next owner", (*suite).commits)
	s.sub("a silent member's partitions are taken over", (*suite).takeover)
	s.sub("members keep theirs while the group waits for one that is silent", (*suite).silence)
	s.sub("an owner that returns is called anew", (*suite).ownedAnew)
}

const groupPartitions = 6

// members records who owns what.
type members struct {
	mu      sync.Mutex
	owners  map[int]string
	starts  map[int]int // calls of Own per partition
	overlap []string    // partitions owned twice at a time
}

func newMembers() *members {
	return &members{owners: make(map[int]string), starts: make(map[int]int)}
}

func (m *members) own(name string) func(context.Context, *kafka.Assignment) error {
	return func(ctx context.Context, a *kafka.Assignment) error {
		m.mu.Lock()
		if other, ok := m.owners[a.Partition]; ok {
			m.overlap = append(m.overlap, fmt.Sprintf("%d of %s by %s", a.Partition, other, name))
		}
		m.owners[a.Partition] = name
		m.starts[a.Partition]++
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.owners[a.Partition] == name {
			delete(m.owners, a.Partition)
		}
		return nil
	}
}

func (m *members) snapshot() (owners map[int]string, starts map[int]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.owners), maps.Clone(m.starts)
}

// balanced reports whether all partitions are owned, by so many members, evenly.
func (m *members) balanced(n int) bool {
	owners, _ := m.snapshot()
	counts := make(map[string]int)
	for _, name := range owners {
		counts[name]++
	}
	if len(owners) != groupPartitions || len(counts) != n {
		return false
	}
	for _, count := range counts {
		if count != groupPartitions/n {
			return false
		}
	}
	return true
}

// groupOptions are of a member whose session outlives what a machine may have it wait for.
func groupOptions(id, topic string, own func(context.Context, *kafka.Assignment) error) kafka.GroupOptions {
	return kafka.GroupOptions{
		ID: id, Topic: topic, Own: own,
		SessionTimeout: patience, HeartbeatInterval: 100 * time.Millisecond,
		RebalanceTimeout: patience, ReleaseTimeout: patience / 3,
	}
}

// brief is of a member that will be silent, and is to be missed soon.
func brief(o kafka.GroupOptions) kafka.GroupOptions {
	o.SessionTimeout, o.RebalanceTimeout, o.ReleaseTimeout = 1500*time.Millisecond, 3*time.Second, time.Second
	return o
}

// join runs a member until leave is called, which returns when it has left.
func (s *suite) join(c *kafka.Client, opts kafka.GroupOptions) (leave func()) {
	s.Helper()
	g, err := c.NewGroup(opts)
	s.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	leave = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.Errorf("member ended: %v", err)
		}
	})
	s.Cleanup(leave)
	return leave
}

// changed lists the partitions whose Own was called again between two snapshots.
func changed(before, after map[int]int) (out []int) {
	for p := range groupPartitions {
		if before[p] != after[p] {
			out = append(out, p)
		}
	}
	return out
}

func ownedBy(owners map[int]string, name string) (out []int) {
	for p := range groupPartitions {
		if owners[p] == name {
			out = append(out, p)
		}
	}
	return out
}

func (s *suite) stickiness() {
	c := s.client()
	topic, id := s.topic(c, groupPartitions), s.name()
	m := newMembers()
	leave := make(map[string]func())
	for i, name := range []string{"a", "b", "c"} {
		leave[name] = s.join(c, groupOptions(id, topic, m.own(name)))
		s.await(name+" has joined", func() bool { return m.balanced(i + 1) })
	}
	owners, before := m.snapshot()
	gone := ownedBy(owners, "b")
	leave["b"]()
	s.await("b's partitions are taken over", func() bool { return m.balanced(2) })
	owners, after := m.snapshot()
	if got := changed(before, after); !slices.Equal(got, gone) {
		s.Fatalf("partitions %v moved when the owner of %v left", got, gone)
	}

	s.join(c, groupOptions(id, topic, m.own("b")))
	s.await("b is back", func() bool { return m.balanced(3) })
	now, last := m.snapshot()
	if got, want := changed(after, last), ownedBy(now, "b"); !slices.Equal(got, want) {
		s.Fatalf("partitions %v moved when %v were given back; before: %v", got, want, owners)
	}
	if len(m.overlap) != 0 {
		s.Fatalf("owned twice at a time: %v", m.overlap)
	}
}

func (s *suite) commits() {
	c := s.client()
	topic, id := s.topic(c, 2), s.name()
	got := make(chan int64, 10)
	var kept *kafka.Assignment
	own := func(ctx context.Context, a *kafka.Assignment) error {
		if a.Partition == 1 {
			<-ctx.Done()
			return nil
		}
		kept = a
		got <- a.Committed
		for {
			err := a.Commit(ctx, a.Committed+11)
			if err == nil || !errors.Is(err, kafka.ErrRebalancing) {
				s.ok(err)
				break
			}
		}
		got <- a.Committed + 11
		<-ctx.Done()
		return nil
	}
	leave := s.join(c, groupOptions(id, topic, own))
	if first, second := <-got, <-got; first != -1 || second != 10 {
		s.Fatalf("committed at first %d, then %d", first, second)
	}
	committed, err := c.Committed(s.context(), id, topic, 2)
	s.ok(err)
	if !slices.Equal(committed, []int64{10, -1}) {
		s.Fatalf("committed %v", committed)
	}
	leave()
	err = kept.Commit(s.context(), 5)
	s.isError(err, kafka.ErrRebalancing)
	if !kafka.Retriable(err) {
		s.Fatal("a commit during a rebalance must be retriable")
	}
	s.join(c, groupOptions(id, topic, own))
	if next := <-got; next != 10 {
		s.Fatalf("the next owner starts at %d", next)
	}
	<-got
}

func (s *suite) takeover() {
	var faults Faults
	alive, silent := s.client(), s.client(faults.Apply)
	topic, id := s.topic(alive, groupPartitions), s.name()
	m := newMembers()
	s.join(silent, brief(groupOptions(id, topic, m.own("silent"))))
	s.await("the first member owns all", func() bool { return m.balanced(1) })
	s.join(alive, groupOptions(id, topic, m.own("alive")))
	s.await("both members own half", func() bool { return m.balanced(2) })
	_, before := m.snapshot()
	owners, _ := m.snapshot()
	kept := ownedBy(owners, "alive")

	faults.SetDown(true)
	s.await("all is taken over", func() bool {
		owners, _ := m.snapshot()
		return len(ownedBy(owners, "alive")) == groupPartitions
	})
	_, after := m.snapshot()
	for _, p := range kept {
		if before[p] != after[p] {
			s.Fatalf("partition %d did not stay", p)
		}
	}
	faults.SetDown(false)
	s.await("the silent member is back", func() bool { return m.balanced(2) })
}

// silence is what a member leaves behind that is killed and starts again at once: the group, about to take
// in the new one, waits until the session of the old one has passed.
func (s *suite) silence() {
	var faults Faults
	healthy, silent := s.client(), s.client(faults.Apply)
	topic, id := s.topic(healthy, groupPartitions), s.name()
	m := newMembers()
	s.join(silent, brief(groupOptions(id, topic, m.own("silent"))))
	s.await("the first member owns all", func() bool { return m.balanced(1) })
	s.join(healthy, groupOptions(id, topic, m.own("healthy")))
	s.await("both members own half", func() bool { return m.balanced(2) })
	owners, before := m.snapshot()
	kept := ownedBy(owners, "healthy")

	faults.SetDown(true)
	s.join(healthy, groupOptions(id, topic, m.own("anew")))
	s.await("the member that starts anew has the silent one's share", func() bool {
		owners, _ := m.snapshot()
		return m.balanced(2) && len(ownedBy(owners, "silent")) == 0
	})
	_, after := m.snapshot()
	for _, p := range kept {
		if before[p] != after[p] {
			s.Errorf("partition %d was interrupted at a member that was never silent", p)
		}
	}
	faults.SetDown(false)
}

func (s *suite) ownedAnew() {
	c := s.client()
	topic := s.topic(c, 1)
	calls := make(chan int64, 10)
	own := func(ctx context.Context, a *kafka.Assignment) error {
		calls <- a.Committed
		if err := a.Commit(ctx, a.Committed+2); err != nil {
			return err
		}
		return errors.New("the owner gives up")
	}
	s.join(c, groupOptions(s.name(), topic, own))
	for want := int64(-1); want < 5; {
		select {
		case got := <-calls:
			if got != want && got != want+2 {
				s.Fatalf("called with %d, want %d", got, want)
			}
			want = got + 2
		case <-time.After(patience):
			s.Fatal("not called anew")
		}
	}
}
