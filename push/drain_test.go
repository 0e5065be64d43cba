package push

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"weir/wire"
)

func TestTwoThousandConnectionsAreToldAndClosedWhenTheServerStops(t *testing.T) {
	n := 2000
	if underRace {
		n = 300
	}
	s := startServer(t, func(o *Options) { o.Config.DrainTimeout = patience })
	s.feed(single("p/a/m", 0, 1))
	clients := make([]*rawClient, n)
	for i := range clients {
		clients[i] = s.dialRaw(t, "?subscribe=%23")
	}
	eventually(t, "all have their snapshots", func() bool { return s.hub.m.frames[frameSnapshot].Get() == uint64(n) })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			defer c.Close()
			f := newFollower(t)
			var told *wire.Draining
			for {
				op, body, err := c.frame()
				switch {
				case err != nil:
					t.Errorf("ended without a close frame: %v", err)
					return
				case op == opClose:
					if code := uint16(body[0])<<8 | uint16(body[1]); code != wire.CloseDraining || string(body[2:]) != wire.ReasonDraining {
						t.Errorf("closed with %d %s", code, body[2:])
					}
					if told == nil || told.ReconnectAfterMS != 500 || told.JitterMS != max(2000, int64(n)) {
						t.Errorf("told %+v before the close", told)
					}
					return
				case op == opText:
					if d, ok := f.take(body).(*wire.Draining); ok {
						told = d
					}
				}
			}
		})
	}
	wg.Wait()
	<-stopped // and before the time is over, or connections would have been cut
	if got := s.hub.m.closes[endedDraining].Get(); got != uint64(n) || s.hub.m.connections.Load() != 0 {
		t.Errorf("%d of %d closed for draining", got, n)
	}
}

func TestJitterGrowsWithTheNumberOfConnections(t *testing.T) {
	for n, want := range map[int]time.Duration{0: leastJitter, 2000: leastJitter, 10_000: 10 * time.Second, 1_000_000: mostJitter} {
		if got := jitterFor(n); got != want {
			t.Errorf("%d connections: %v, want %v", n, got, want)
		}
	}
}

// backOff is the SDKs' rule: full jitter below 0.5 s times a power of two, 15 s at most.
func backOff(attempt int, r *rand.Rand) time.Duration {
	bound := min(15*time.Second, 500*time.Millisecond<<min(attempt, 10))
	return time.Duration(r.Int64N(int64(bound)))
}

func TestTenThousandClientsComeBackSpread(t *testing.T) {
	const n = 10_000
	for _, tc := range []struct {
		outage         time.Duration // how long nobody answers
		tries, returns int           // most within any second
	}{
		{0, 1200, 1200},
		{3 * time.Second, 3200, 2700},
		{30 * time.Second, 5500, 1500},
	} {
		r := rand.New(rand.NewPCG(1, 2))
		tries, returns := make([]int, 600), make([]int, 600) // by 100 ms
		for range n {
			at := reconnectAfter + time.Duration(r.Int64N(int64(jitterFor(n))))
			attempt := 1
			for ; at < tc.outage; attempt++ {
				tries[at/(100*time.Millisecond)]++
				at += backOff(attempt, r)
			}
			tries[at/(100*time.Millisecond)]++
			returns[at/(100*time.Millisecond)]++
		}
		got, back := busiest(tries), busiest(returns)
		t.Logf("away for %v: at most %d tries and %d returns a second", tc.outage, got, back)
		if got > tc.tries || back > tc.returns {
			t.Errorf("away for %v: %d tries and %d returns within a second, want at most %d and %d", tc.outage, got, back, tc.tries, tc.returns)
		}
	}
}

// busiest is the largest sum of any ten in a row.
func busiest(counts []int) (most int) {
	for i := range counts[:len(counts)-9] {
		sum := 0
		for _, n := range counts[i : i+10] {
			sum += n
		}
		most = max(most, sum)
	}
	return most
}
