//go:build soak

package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"weir/wire"
)

// nodeLife is how long a process of Node's lives at least that was started again, half as long as at most.
const nodeLife = 10 * time.Second

// nodeSeat has the process of Node's that is there now. It is killed and started again, with clients that know nothing; what the
// ones before were told is lost with them, so of the new ones less is known: see told.Late.
type nodeSeat struct {
	*pushSoak

	mu     sync.Mutex // guards the following
	latest *nodeViewers
	again  bool // it is not the first
}

// now is the process that is there.
func (s *nodeSeat) now() *nodeViewers {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}

// fill starts a process, whose clients watch and are in their rooms when it returns.
func (s *nodeSeat) fill(ctx context.Context) error {
	var servers []string
	for _, server := range s.push {
		servers = append(servers, server.addr)
	}
	v := s.startNode()
	if err := v.begin(ctx, servers, s.admin, s.nodeWays); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.again = s.latest != nil
	s.latest = v
	return nil
}

// run kills the process again and again until ctx ends: once at least, in the second quarter of the time.
func (s *nodeSeat) run(ctx context.Context, quarter time.Duration) {
	rng := rand.New(rand.NewPCG(*soakSeed, 68))
	for wait := quarter; ; wait = nodeLife {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait + time.Duration(rng.Int64N(int64(wait)))):
		}
		s.fault("Node processes killed")
		s.kill(time.Duration(50+rng.IntN(1500)) * time.Millisecond)
	}
}

// kill ends the process without warning, and starts another after so long.
func (s *nodeSeat) kill(away time.Duration) {
	v := s.now()
	v.closing.Store(true)
	_ = v.process.Process.Kill()
	<-v.ended
	time.Sleep(away)
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	if err := s.fill(ctx); err != nil {
		s.Errorf("the clients of sdk/ts that were started again: %v", err)
	}
}

// order tells what has no answer; a process that was killed is told nothing.
func (s *nodeSeat) order(o nodeOrder) {
	if err := s.now().tell(o); err != nil && !errors.Is(err, errNodeKilled) {
		s.Error(err)
	}
}

func (s *nodeSeat) report(ctx context.Context) ([]*told, error) {
	clients, err := s.now().report(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range clients {
		t.Late, t.Follows = s.again, patternsOf(s.nodeWays[i])
	}
	return clients, err
}

// settleDoubts finds out, of messages whose sender was killed before it had the receipt, which were stored. They stay in
// doubt: one that was not may be on its way.
func (t *talk) settleDoubts(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for room, doubts := range t.unsure {
		known := func(n int) bool { return slices.ContainsFunc(t.said[room], func(m said) bool { return m.N == n }) }
		if doubts = slices.DeleteFunc(slices.Clone(doubts), known); len(doubts) == 0 {
			continue
		}
		body, err := t.push[0].get(ctx, "/v1/rooms/"+room+"?after=0", t.admin)
		if err != nil {
			return err
		}
		var answer wire.Joined
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return err
		}
		for _, m := range answer.Messages {
			word, err := saidOf(m)
			if err != nil {
				return fmt.Errorf("%s: %w", room, err)
			}
			if slices.Contains(doubts, word.N) {
				t.said[room] = append(t.said[room], word)
			}
		}
	}
	return nil
}
