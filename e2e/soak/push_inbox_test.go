//go:build soak

package soak

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"weir/kafka"
	device "weir/sdk/go"
)

const (
	// soakAbsent is how many users come and go; soakInbox is how many messages wait for one, which the servers are told.
	soakAbsent = 6
	soakInbox  = 30
	// letterEvery is how often a letter is sent, every other one to the first user, whose inbox overflows.
	letterEvery = 60 * time.Millisecond
	// stayTime bounds how long a user waits to be told what is there.
	stayTime = 90 * time.Second
)

// absentee is a user that comes, reads, acknowledges some of it, and goes. Each stay is one connection of a client that knows
// nothing of the ones before, so what it is told is what the servers know that the user has not read:
//
//	log of the user:  ──read and acknowledged──┤──told again, or first──▶ live
//	                             the inbox: the newest 30 ┘
//
// Before a stay the user waits until the instance it goes to has come as far as the receipts: an instance that lags would tell
// again what was acknowledged, rightly.
type absentee struct {
	*pushSoak
	name, user, token string
	rng               *rand.Rand
	often             int // of so many absences one is long
	letters           letters
	line              *line
	server            atomic.Pointer[server] // that it goes to
	sends             int

	// acked is up to what the user has acknowledged, confirmed up to what it is known that the log has it.
	acked, confirmed int64

	mu    sync.Mutex // guards the following
	stays []*stay
}

// stay is one connection of a user.
type stay struct {
	acked, confirmed int64 // before
	receipts         int64 // the version up to which there were receipts, and the instance had come, before

	mu      sync.Mutex // guards the following
	session string
	over    bool
	begun   int // letters that were begun when the first was told
	got     []*device.Message
	words   []said
	err     error
}

func (p *pushSoak) newAbsentee(i int) *absentee {
	p.Helper()
	name := fmt.Sprint("absent", i)
	a := &absentee{
		pushSoak: p, name: name, user: p.tenant + "/_users/" + name, rng: rand.New(rand.NewPCG(*soakSeed, uint64(100+i))),
		token: p.token("--tenant", p.tenant, "--role", "operator", "--read", p.tenant+"/#", name),
	}
	if a.often = 5; i == 0 { // of many letters
		a.often = 2
	}
	a.letters.to = device.Target{User: a.user}
	a.line = &line{addrs: func() []string { return []string{a.server.Load().addr} }}
	return a
}

// run comes and goes until ctx ends, and comes for good then: when it returns all is acknowledged.
func (a *absentee) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := a.visit(ctx, false); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		away := time.Duration(a.rng.IntN(2500)) * time.Millisecond
		if a.rng.IntN(a.often) == 0 {
			away += 4 * time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(away):
		}
	}
	return nil
}

// visit is one stay. The last one of a round has no fault, reads all and acknowledges it.
func (a *absentee) visit(ctx context.Context, last bool) error {
	server := a.push[a.rng.IntN(len(a.push))]
	receipts, err := a.caughtUp(server)
	if err != nil {
		return err
	}
	s := &stay{acked: a.acked, confirmed: a.confirmed, receipts: receipts}
	a.server.Store(server)
	a.mu.Lock()
	a.stays = append(a.stays, s)
	a.mu.Unlock()
	live, lost, err := a.connect(s)
	if err != nil {
		return err
	}
	defer live.Close()
	defer s.end()
	if err := a.await(s, lost, receipts); err != nil {
		return err
	}
	pause := time.Duration(300+a.rng.IntN(2000)) * time.Millisecond
	unread, confirm, cut := a.rng.IntN(6), a.rng.IntN(4) > 0, a.rng.IntN(3) == 0
	if last {
		unread, confirm, cut, pause = 0, true, false, 0
	}
	select {
	case <-ctx.Done():
	case <-lost:
		return nil
	case <-time.After(pause):
	}
	if err := a.acknowledge(live, s, unread, confirm); err != nil {
		return err
	}
	if cut {
		a.line.cut()
	}
	return nil
}

// finish is the end of a round: the user stays until it has read and acknowledged all there is.
func (a *absentee) finish() error {
	for end := time.Now().Add(stayTime); a.confirmed < a.acked || a.acked < a.letters.newest(); {
		last := a.letters.newest()
		if err := a.visit(a.Context(), true); err != nil {
			return err
		}
		if a.acked >= last && a.confirmed == a.acked {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("has acknowledged up to %d of %d", a.acked, last)
		}
	}
	return nil
}

// caughtUp waits until a server has read what the user has receipts of, and returns up to which version that is. A room of the
// same partition tells.
func (a *absentee) caughtUp(server *server) (version int64, err error) {
	version = a.letters.newest()
	room := ""
	for i := 0; room == ""; i++ {
		name := fmt.Sprint(a.tenant, "/wait", i)
		if kafka.PartitionFor(name, a.partitions) == kafka.PartitionFor(a.user, a.partitions) {
			room = name
		}
	}
	ctx, cancel := context.WithTimeout(a.Context(), stayTime)
	defer cancel()
	path := fmt.Sprintf("/v1/rooms/%s?last=0&wait=2s&min_version=%d", room, version)
	for {
		_, err := server.get(ctx, path, a.token)
		if err == nil {
			return version, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not come to version %d: %w", server.name, version, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// connect begins the stay; lost is closed when its connection is.
func (a *absentee) connect(s *stay) (live *device.Live, lost chan struct{}, err error) {
	lost = make(chan struct{})
	made := make(chan struct{})
	defer close(made)
	var gone atomic.Bool
	live, err = device.NewLive(device.LiveOptions{
		URL: "ws://127.0.0.1/v1/live", Token: a.token, Dial: a.line.dial, Heartbeat: 2 * time.Second,
		Retry: device.Retry{First: 50 * time.Millisecond, Max: time.Second},
		OnConnection: func(c device.Connection) {
			if !c.Open && c.Dialled && !gone.Swap(true) {
				close(lost)
			}
		},
		OnMessage: func(m device.Message) {
			<-made
			s.take(live.Welcome().Session, &m, a.letters.count)
		},
	})
	return live, lost, err
}

// take keeps a message of the stay's connection. What comes on the next one is of no stay.
func (s *stay) take(session string, m *device.Message, begun func() int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == "" {
		s.session = session
	}
	if m.User == "" || s.over || session != s.session {
		return
	}
	if len(s.got) == 0 {
		s.begun = begun()
	}
	word, err := saidOf(m)
	s.err = cmp.Or(s.err, err)
	s.got, s.words = append(s.got, m), append(s.words, word)
}

func (s *stay) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// told are the messages of the stay so far.
func (s *stay) told() []*device.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

// await waits until the stay was told all up to a version that is not acknowledged, or is lost.
func (a *absentee) await(s *stay, lost chan struct{}, version int64) error {
	for end := time.Now().Add(stayTime); version > a.acked; time.Sleep(10 * time.Millisecond) {
		if got := s.told(); len(got) > 0 && got[len(got)-1].Version >= version {
			return nil
		}
		select {
		case <-lost:
			return nil
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("version %d is stored, %d acknowledged, and told were %d", version, a.acked, len(s.told()))
		}
	}
	return nil
}

// acknowledge says that all but some of what was told is read, and what was read before: that may have been lost. With confirm it
// sends the user a letter on the same connection: its receipt means that the log has the acknowledgement, too.
func (a *absentee) acknowledge(live *device.Live, s *stay, unread int, confirm bool) error {
	if got := s.told(); len(got) > unread {
		a.acked = max(a.acked, got[len(got)-1-unread].Version)
	}
	if a.acked == 0 {
		return nil
	}
	live.Ack(&device.Message{Target: a.letters.to, Version: a.acked})
	if !confirm {
		return nil
	}
	ctx, cancel := context.WithTimeout(a.Context(), receiptTime)
	defer cancel()
	a.sends++
	_, err := a.letters.send(func(n int) (string, int64, error) {
		id := fmt.Sprintf("%s-%d", a.name, a.sends)
		version, err := live.Send(ctx, device.Outgoing{Target: a.letters.to, ID: id, Type: "note", Payload: words{n}})
		return id, version, err
	})
	if err == nil {
		a.confirmed = a.acked
	}
	return err
}

// judge compares each stay with what was sent to the user.
func (a *absentee) judge() error {
	all := a.letters.sorted()
	a.mu.Lock()
	stays := a.stays
	a.mu.Unlock()
	for i, s := range stays {
		if err := s.judge(all); err != nil {
			return fmt.Errorf("%s, stay %d of %d: %w", a.name, i+1, len(stays), err)
		}
	}
	return nil
}

func (s *stay) judge(all []letter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := runOf(s.words, all)
	if err = errors.Join(s.err, err); err != nil || len(s.words) == 0 {
		return err
	}
	switch {
	case first < upTo(all, s.confirmed):
		return fmt.Errorf("told %+v, which was acknowledged (up to %d)", s.words[0], s.confirmed)
	case first < upTo(all, s.receipts)-soakInbox:
		return fmt.Errorf("told from the %d. of %d letters on: more than the inbox holds", first+1, upTo(all, s.receipts))
	case first > max(upTo(all, s.acked), s.begun-soakInbox):
		return fmt.Errorf("told %+v first, the %d. letter: the user has read %d, and there were %d at most", s.words[0], first+1, upTo(all, s.acked), s.begun)
	}
	return nil
}

// inboxSums count stays and what was told.
type inboxSums struct {
	Stays   int64 `json:"stays"`
	Letters int64 `json:"letters"`
	Told    int64 `json:"letters_told"`
	Again   int64 `json:"letters_told_again_unacknowledged"`
	Dropped int64 `json:"letters_beyond_the_inbox"`
}

func (p *pushSoak) inboxSums() (total inboxSums) {
	for _, a := range p.absent {
		a.mu.Lock()
		stays := a.stays
		a.mu.Unlock()
		known := map[string]bool{}
		all := a.letters.sorted()
		total.Letters += int64(len(all))
		for _, s := range stays {
			total.Stays++
			for _, m := range s.words {
				total.Told++
				if known[m.ID] {
					total.Again++
				}
				known[m.ID] = true
			}
		}
		total.Dropped += int64(len(all) - len(known))
	}
	return total
}
