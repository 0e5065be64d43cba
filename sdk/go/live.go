package device

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"weir/wire"
)

// Live follows series, alerts and rooms over one connection, which it opens again when it is lost. Its methods are safe for
// concurrent use.
//
//	server ──▶ reader: decode, prove, merge ──▶ what is news of each subscription ──▶ Next, Updates
//	   ▲                                                                                   │
//	   └────── run: dial, pings, subscribe, resume ◀──────────── wake ◀────────────────────┘
//
// The reader never waits for who reads the news: rows of a series that nobody has taken are merged, as the server would
// merge them, so there is at most one of each series.
type Live struct {
	o     LiveOptions
	log   *slog.Logger
	wake  chan struct{}      // to run: there may be something to do
	cut   chan time.Duration // to run: drop the connection, and stay away for so long
	ctx   context.Context    // ends with the Live
	end   context.CancelFunc
	done  chan struct{} // run has returned
	count liveCounters

	fresh chan freshToken // to run
	work  sync.WaitGroup

	mu      sync.Mutex
	state   LiveState
	failure error     // why the Live has ended
	current *liveLink // nil: no connection is in use
	subs    []*Subscription
	byID    map[string]*Subscription // on this connection, by the id they have there
	byView  map[int]*Subscription
	rooms   map[string]*Room
	leaving map[string]int // by room: answers to Leave that are to come
	number  uint64
	sends   map[string]*sending
	asks    asks
	out     [][]byte // messages that wait for run
	gone    []string // ids of subscriptions that are to be ended
	credit  credit
	rtt     time.Duration
	welcome *Welcome
	inbox   int64 // version of the newest message to the user
	acked   int64 // version up to which the user has read
	ackTold int64 // on this connection
	pace    pace
}

// LiveState is where a Live stands.
//
//	waiting ◀──────────────┐
//	   │ back-off over     │ lost
//	   ▼                   │
//	connecting ──welcome──▶ open
//	   │ told not to come back, too many failures, or Close
//	   ▼
//	ended
type LiveState uint8

// States of a Live.
const (
	LiveConnecting LiveState = iota
	// LiveOpen: the server has said welcome.
	LiveOpen
	// LiveWaiting: until the next attempt.
	LiveWaiting
	// LiveEnded: for good; Err says why.
	LiveEnded
)

func (s LiveState) String() string {
	return [...]string{"connecting", "open", "waiting", "ended"}[s]
}

// NewLive checks the options and begins to connect. It does not wait for the network; Close ends what it has started.
func NewLive(o LiveOptions) (*Live, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("live: %w", err)
	}
	l := &Live{
		o: o, log: o.Logger, wake: make(chan struct{}, 1), cut: make(chan time.Duration, 1), done: make(chan struct{}),
		fresh: make(chan freshToken, 1),
		byID:  make(map[string]*Subscription), byView: make(map[int]*Subscription),
		rooms: make(map[string]*Room), leaving: make(map[string]int), sends: make(map[string]*sending),
	}
	l.ctx, l.end = context.WithCancel(context.Background())
	go l.run()
	return l, nil
}

// Close ends the connection and all that NewLive started. Subscriptions and rooms end with ErrClosed, after what has come
// for them was read. It is safe to call again.
func (l *Live) Close() {
	l.end()
	<-l.done
}

// Done closes when the Live has given up (see Err) or was closed.
func (l *Live) Done() <-chan struct{} { return l.done }

// Err is why the Live has ended: ErrClosed after Close, otherwise the server forbade to come back, or too many attempts
// failed. It is nil as long as the Live goes on.
func (l *Live) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// State is where the Live stands.
func (l *Live) State() LiveState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Welcome is what a server says of itself and of what may be read: Read are the widest patterns of that.
type Welcome = wire.Welcome

// Welcome is the newest server's, nil before the first. It must not be changed.
func (l *Live) Welcome() *Welcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.welcome
}

// Interrupt drops the connection without a farewell, as a network that fails does, and stays away for that long. It is for
// tests of what a program does then.
func (l *Live) Interrupt(away time.Duration) {
	select {
	case l.cut <- away:
	default:
	}
}

func (l *Live) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// post lets run write a message.
func (l *Live) postLocked(message []byte) {
	l.out = append(l.out, message)
	l.signal()
}
