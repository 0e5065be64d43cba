package device

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lxzan/gws"
	"pgregory.net/rapid"

	"weir/wire"
)

// deed is what a hostile server does with a frame.
type deed int

const (
	storeAndTell deed = iota
	storeAndTellTwice
	storeAndCut  // the receipt is lost with the connection
	cut          // the frame too
	storeAndHold // no receipt ever
	storeLate    // the receipt comes 2 s later
	refuse       // for now
	fail         // internal
	rejectAll
	rejectOne
	closeDraining
	closeReconnect
	closeToken
	deeds
)

// ledger is what a server has stored, as Weir de-duplicates: by a window of 1,024 numbers below the highest.
type ledger struct {
	high  map[string]uint64
	seen  map[string]map[uint64]bool
	body  map[string]string
	count map[float64]int
	// refused holds the first reading's rejection of the frames that rejectOne took. A server finds the same
	// fault again when the frame comes again.
	refused map[string]bool
	wrong   []string
}

func newLedger() *ledger {
	return &ledger{high: map[string]uint64{}, seen: map[string]map[uint64]bool{}, body: map[string]string{}, count: map[float64]int{}, refused: map[string]bool{}}
}

// store returns whether the frame was stored before.
func (l *ledger) store(a *arrival, leaveOut int) (duplicate bool) {
	key := a.key()
	if before, ok := l.body[key]; ok && before != a.raw {
		l.wrong = append(l.wrong, key+" came with other content")
	}
	l.body[key] = a.raw
	seen := l.seen[a.Session]
	if seen == nil {
		seen = map[uint64]bool{}
		l.seen[a.Session] = seen
	}
	high := l.high[a.Session]
	if a.Seq+1024 > high && seen[a.Seq] {
		return true
	}
	seen[a.Seq] = true
	l.high[a.Session] = max(high, a.Seq)
	for i, r := range a.Readings {
		if i != leaveOut {
			l.count[r.Value]++
		}
	}
	return false
}

func (a *arrival) key() string { return fmt.Sprintf("%s/%d", a.Session, a.Seq) }

func (l *ledger) has(a *arrival) bool { return l.body[a.key()] != "" && l.seen[a.Session][a.Seq] }

// take stores a frame and makes its receipt.
func (l *ledger) take(a *arrival) *wire.Receipt {
	r := &wire.Receipt{Credit: 1 + int(a.Seq%9)}
	good, leaveOut := len(a.Readings), -1
	if l.refused[a.key()] {
		good, leaveOut = good-1, 0
		r.Rejected = []wire.Rejection{{Index: 0, Code: wire.CodeTimeFuture}}
	}
	if l.store(a, leaveOut) {
		r.Duplicate = good
	} else {
		r.Accepted = good
	}
	return r
}

// act does a deed and returns the receipt to send, if any.
func (l *ledger) act(d deed, a *arrival) *wire.Receipt {
	stored := func() *wire.Receipt { return l.take(a) }
	switch d {
	case storeAndTellTwice:
		r := stored()
		a.peer.reply(a, r)
		return r
	case storeAndCut:
		stored()
		a.peer.socket.NetConn().Close()
		return nil
	case cut:
		a.peer.socket.NetConn().Close()
		return nil
	case storeAndHold:
		stored()
		return nil
	case storeLate:
		r := stored()
		time.Sleep(2 * time.Second)
		return r
	case refuse:
		return &wire.Receipt{Credit: 2, RetryAfter: 300, Err: wire.NewError(wire.CodeOverloaded, "")}
	case fail:
		return &wire.Receipt{Credit: 2, Err: wire.NewError(wire.CodeInternal, "")}
	case rejectAll:
		return &wire.Receipt{Credit: 2, Err: wire.NewError(wire.CodeSeqInvalid, "seq")}
	case rejectOne:
		if !l.has(a) {
			l.refused[a.key()] = true
		}
		return stored()
	case closeDraining:
		a.peer.close(wire.CloseDraining, wire.ReasonDraining)
		return nil
	case closeReconnect:
		stored()
		a.peer.close(wire.CloseNoProgress, wire.ReasonNoProgress)
		return nil
	case closeToken:
		a.peer.close(wire.CloseTokenExpired, wire.ReasonTokenExpired)
		return nil
	}
	return stored()
}

// plan is one run: what the server does with the n-th frame it gets, and how the device sends.
type plan struct {
	deeds  []deed
	frames int
	pauses []time.Duration // before the n-th frame
	downs  []int           // frames before which the server goes away for a while
	policy Policy
	limit  int
	disk   bool
	reopen int // after which frame the client is closed in a hurry and made anew; with a disk only
}

func drawPlan(t *rapid.T) plan {
	p := plan{
		deeds:  rapid.SliceOfN(rapid.Custom(func(t *rapid.T) deed { return deed(rapid.IntRange(0, int(deeds)-1).Draw(t, "deed")) }), 0, 120).Draw(t, "deeds"),
		frames: rapid.IntRange(1, 150).Draw(t, "frames"),
		policy: rapid.SampledFrom([]Policy{Refuse, Wait, DropOldest}).Draw(t, "policy"),
		limit:  rapid.SampledFrom([]int{5, 40, 1000}).Draw(t, "limit"),
		disk:   rapid.Bool().Draw(t, "disk"),
		downs:  rapid.SliceOfN(rapid.IntRange(1, 150), 0, 3).Draw(t, "downs"),
	}
	p.pauses = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
		return rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, time.Second, 90 * time.Second}).Draw(t, "pause")
	}), p.frames, p.frames).Draw(t, "pauses")
	if p.disk {
		p.reopen = rapid.IntRange(0, p.frames).Draw(t, "reopen")
	}
	return p
}

// TestNothingIsLostOrDoubledWithoutBeingTold is the SDK's law: whatever the server does, each reading that Send took
// is stored exactly once after de-duplication, or the caller was told that it was refused or dropped.
func TestNothingIsLostOrDoubledWithoutBeingTold(t *testing.T) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		run++
		path := ""
		if p.disk {
			path = filepath.Join(t.TempDir(), fmt.Sprint("buffer", run))
		}
		var problems []string
		synctest.Test(t, func(t *testing.T) { problems = p.play(t, path) })
		if len(problems) > 0 {
			rt.Fatalf("%v", problems)
		}
	})
}

func (p *plan) play(t *testing.T, path string) (problems []string) {
	book := newLedger()
	s := new(server)
	handled := 0
	s.answer = func(a *arrival) *wire.Receipt {
		s.mu.Lock()
		n := handled
		handled++
		var r *wire.Receipt
		d := storeAndTell
		if n < len(p.deeds) {
			d = p.deeds[n]
		}
		s.mu.Unlock()
		r = book.act(d, a)
		return r
	}
	told := map[float64]int{}        // values whose fate was told to be loss
	fates := map[uint64][]float64{}  // values by the seq that Send returned
	var mu sync.Mutex                // over these: callbacks run in Send, and in the client's goroutine
	receipts := map[uint64]Receipt{} // by seq
	open := func() *Client {
		return start(t, s, func(o *Options) {
			o.Buffer = Memory(BufferLimits{Frames: p.limit, WhenFull: p.policy})
			if path != "" {
				o.Buffer = Disk(path, BufferLimits{Frames: p.limit, WhenFull: p.policy, NoSync: true})
			}
			o.TokenSource = new(tokens).next
			o.BacklogAfter = time.Minute
			o.ReceiptTimeout = 5 * time.Second
			o.Retry.Max = 2 * time.Second
			o.OnRejected = func(r Rejection) {
				mu.Lock()
				defer mu.Unlock()
				for i, v := range fates[r.Seq] {
					if r.Index < 0 || r.Index == i {
						told[v]++
					}
				}
			}
			o.OnDropped = func(seq uint64, n int) {
				mu.Lock()
				defer mu.Unlock()
				for _, v := range fates[seq] {
					told[v]++
				}
			}
			o.OnReceipt = func(r Receipt) {
				mu.Lock()
				defer mu.Unlock()
				if _, twice := receipts[r.Seq]; twice {
					problems = append(problems, fmt.Sprintf("seq %d has two fates", r.Seq))
				}
				receipts[r.Seq] = r
			}
		})
	}
	c := open()
	var sent []float64
	for i := range p.frames {
		synctest.Wait()
		if p.disk && p.reopen == i {
			hurry, cancel := context.WithCancel(context.Background())
			cancel()
			session := c.Session()
			var left *UndeliveredError
			if err := c.Close(hurry); err != nil && (!errors.As(err, &left) || !left.Kept) {
				problems = append(problems, fmt.Sprintf("close: %v", err))
			}
			c = open()
			if c.Session() == session {
				problems = append(problems, "the same session without syncs after the restart")
			}
		}
		for _, down := range p.downs {
			if down == i {
				s.setDown(true)
				time.AfterFunc(80*time.Second, func() { s.setDown(false) })
			}
		}
		time.Sleep(p.pauses[i])
		synctest.Wait()
		values := []float64{float64(2*i + 1), float64(2*i + 2)}
		// What the callbacks look up is there before they can run: the next seq is known.
		next := c.peekSeq()
		mu.Lock()
		fates[next] = values
		mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		seq, err := c.Send(ctx, At("t", values[0], time.Now()), At("t", values[1], time.Now()))
		cancel()
		switch {
		case errors.Is(err, ErrFull):
			mu.Lock()
			delete(fates, next)
			mu.Unlock()
		case err != nil:
			problems = append(problems, err.Error())
		case seq != next:
			problems = append(problems, fmt.Sprintf("seq %d, want %d", seq, next))
		default:
			sent = append(sent, values...)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Hour)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		problems = append(problems, fmt.Sprintf("close: %v", err))
	}
	time.Sleep(time.Minute)
	s.wg.Wait()
	return append(append(problems, book.wrong...), audit(book, sent, told)...)
}

// audit compares what was sent with what was stored and what was told.
func audit(book *ledger, sent []float64, told map[float64]int) (problems []string) {
	for _, v := range sent {
		switch {
		case book.count[v] > 1:
			problems = append(problems, fmt.Sprintf("reading %v is stored %d times", v, book.count[v]))
		case book.count[v] == 0 && told[v] == 0:
			problems = append(problems, fmt.Sprintf("reading %v is lost and nobody was told", v))
		}
		delete(book.count, v)
	}
	for v := range book.count {
		problems = append(problems, fmt.Sprintf("reading %v was refused by Send and is stored", v))
	}
	return problems
}

func (c *Client) peekSeq() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq + 1
}

var _ gws.Event = (*peer)(nil)
