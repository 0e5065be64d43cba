package device

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/telemetry"
	"weir/wire"
)

func TestClientNumbersFramesOfOneSessionAndForgetsWhatIsReceipted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		c := start(t, s, nil)
		for i := range 100 {
			if seq := send(t, c, float64(i)); seq != uint64(i+1) {
				t.Fatalf("seq %d, want %d", seq, i+1)
			}
		}
		flush(t, c)
		arrivals := s.seen()
		if len(arrivals) != 100 {
			t.Fatalf("%d frames, want 100", len(arrivals))
		}
		for i, a := range arrivals {
			if a.Seq != uint64(i+1) || a.Session != c.Session() || a.Device != "plant1/press1" || a.Backlog {
				t.Fatalf("frame %d: %s", i+1, a.raw)
			}
		}
		if n := c.Stats(); n.Sent != 100 || n.Accepted != 100 || n.Resent != 0 || n.Buffered != 0 || n.Connects != 1 {
			t.Errorf("%+v", n)
		}
		finish(t, s, c)
		if closed := s.closes[0]; !strings.Contains(closed.Error(), "1000") {
			t.Errorf("the server saw %v, want close code 1000", closed)
		}
	})
}

func TestPublishGathersReadingsIntoFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		c := start(t, s, func(o *Options) { o.Batch = Batch{Delay: 2 * time.Second, Readings: 10} })
		for i := range 25 {
			if err := c.Publish("temperature", float64(i), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := len(s.seen()); n != 2 {
			t.Errorf("%d frames at once, want the 2 that are full", n)
		}
		time.Sleep(1999 * time.Millisecond)
		synctest.Wait()
		if n := len(s.seen()); n != 2 {
			t.Errorf("%d frames before the delay is over, want 2", n)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if seen := s.seen(); len(seen) != 3 || len(seen[2].Readings) != 5 {
			t.Errorf("%d frames after the delay, want 3", len(seen))
		}
		_ = c.Publish("temperature", 1, time.Time{})
		finish(t, s, c)
		if n := len(s.seen()); n != 4 {
			t.Errorf("%d frames after Close, want 4", n)
		}
	})
}

func TestInvalidReadingsAreRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		c := start(t, s, nil)
		for _, bad := range []Reading{{Metric: "a/b"}, {Metric: ""}, {Metric: "_x"}, {Metric: "t", Value: math.NaN()}, {Metric: "t", Value: math.Inf(1)}} {
			if _, err := c.Send(context.Background(), bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
			if err := c.Publish(bad.Metric, bad.Value, time.Time{}); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		if _, err := c.Send(context.Background()); err == nil {
			t.Error("an empty frame was taken")
		}
		finish(t, s, c)
	})
}

func TestFramesAreWhatTheServerTakes(t *testing.T) {
	now := time.Now()
	readings := []telemetry.Reading{
		{Metric: `quoted "name" ü`, Time: now.UnixMicro(), Value: -1.5e-300},
		{Metric: "flow", Time: 1_000_000, Value: math.MaxFloat64},
		{Metric: "flow", Time: 12_345_678, Value: 1 << 60},
		{Metric: "flow", Time: -1_000_001, Value: 0},
	}
	for _, columns := range []bool{false, true} {
		checkFrame(t, readings, now, columns)
	}
}

func checkFrame(t *testing.T, readings []Reading, now time.Time, columns bool) {
	e := newEncoder(`plant1/a "b" \c`, "boot-1", columns)
	text := append(e.head(nil, &entry{seq: 7, lane: backlog}), e.body(readings)...)
	format := wire.FormatJSON
	if columns {
		format = wire.FormatColumns
	}
	decoder := wire.NewFrameDecoder(format, wire.DecoderOptions{Now: now.UnixMicro})
	frame, err := decoder.Decode(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if len(frame.Rejected) > 0 || len(frame.Batches) != 1 || frame.Session != "boot-1~backlog" || frame.Seq != 7 || !frame.Backlog {
		t.Fatalf("%s: %+v", text, frame)
	}
	for i, r := range frame.Batches[0].Readings {
		if r != readings[i] {
			t.Errorf("reading %d: %+v, want %+v", i, r, readings[i])
		}
	}
}

func TestClientKeepsWithinTheCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		held := make(chan *arrival, 300)
		s.answer = func(a *arrival) *wire.Receipt {
			if a.frame > firstCredit && a.flying > 3 {
				t.Errorf("frame %d: %d without receipt, credit is 3", a.frame, a.flying)
			}
			held <- a
			return nil
		}
		c := start(t, s, nil)
		for i := range 200 {
			send(t, c, float64(i))
		}
		most := uint64(0)
		for range 200 {
			synctest.Wait() // all that may fly does
			a := <-held
			most = max(most, a.flying)
			a.peer.reply(a, &wire.Receipt{Accepted: 1, Credit: 3})
		}
		if most != firstCredit {
			t.Errorf("%d frames before the first receipt, want %d", most, firstCredit)
		}
		flush(t, c)
		finish(t, s, c)
	})
}

func TestWhatHasNoReceiptIsSentAgainUnderItsNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		s.answer = func(a *arrival) *wire.Receipt {
			switch {
			case a.conn == 1 && a.frame == 10:
				a.peer.socket.NetConn().Close() // frames 6 to 10 arrived, their receipts did not
				return nil
			case a.conn == 1 && a.frame > 5:
				return nil
			case a.conn == 2 && a.Seq <= 10:
				return &wire.Receipt{Duplicate: 1, Credit: 8}
			}
			return accept(a)
		}
		c := start(t, s, nil)
		for i := range 40 {
			send(t, c, float64(i))
		}
		flush(t, c)
		bySeq := map[uint64]string{}
		for _, a := range s.seen() {
			if before, again := bySeq[a.Seq]; again && before != a.raw {
				t.Errorf("seq %d: %s, and again %s", a.Seq, before, a.raw)
			}
			bySeq[a.Seq] = a.raw
		}
		if n := c.Stats(); len(bySeq) != 40 || n.Duplicate < 5 || n.Accepted+n.Duplicate != 40 || n.Connects != 2 || n.Resent < 5 {
			t.Errorf("%d different frames, %+v", len(bySeq), n)
		}
		finish(t, s, c)
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		s := new(server)
		s.answer = func(a *arrival) *wire.Receipt {
			if a.Seq == 1 && refused < 2 {
				refused++
				return &wire.Receipt{Credit: 8, RetryAfter: 5000, Err: wire.NewError(wire.CodeLimitDevice, "")}
			}
			return accept(a)
		}
		c := start(t, s, nil)
		send(t, c, 1)
		synctest.Wait()
		send(t, c, 2)
		flush(t, c)
		seen := s.seen()
		if len(seen) != 4 {
			t.Fatalf("%d frames, want 4", len(seen))
		}
		if seen[1].at.Sub(seen[0].at) < 5*time.Second || seen[3].Seq != 1 || seen[3].at.Sub(seen[1].at) < 5*time.Second {
			t.Errorf("frames came at %v, %v, %v, %v", seen[0].at, seen[1].at, seen[2].at, seen[3].at)
		}
		if n := c.Stats(); n.Accepted != 2 || n.Rejected != 0 || n.Resent != 2 {
			t.Errorf("%+v", n)
		}
		finish(t, s, c)
	})
}

func TestRejectionsAreToldAndNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		s.answer = func(a *arrival) *wire.Receipt {
			switch a.Seq {
			case 1:
				return &wire.Receipt{Credit: 8, Accepted: 1, Rejected: []wire.Rejection{{Index: 1, Code: wire.CodeTimeFuture, Path: "readings[1].ts"}}}
			case 2:
				return &wire.Receipt{Credit: 8, Err: wire.NewError(wire.CodeForbidden, "")}
			case 3:
				return &wire.Receipt{Credit: 8, Err: wire.NewError(wire.CodeInternal, "")}
			}
			return accept(a)
		}
		var told []Rejection
		var receipts []Receipt
		c := start(t, s, func(o *Options) {
			o.OnRejected = func(r Rejection) { told = append(told, r) }
			o.OnReceipt = func(r Receipt) { receipts = append(receipts, r) }
		})
		send(t, c, 1, 2)
		send(t, c, 3, 4)
		send(t, c, 5)
		flush(t, c)
		if len(told) != 3 || told[0].Index != 1 || told[0].Code != wire.CodeTimeFuture || told[1].Index != -1 ||
			told[1].Readings != 2 || told[2].Code != wire.CodeInternal {
			t.Errorf("%+v", told)
		}
		if len(receipts) != 3 || receipts[0].Accepted != 1 || receipts[0].Rejected != 1 || receipts[1].Rejected != 2 {
			t.Errorf("%+v", receipts)
		}
		if n := len(s.seen()); n != 2+patience {
			t.Errorf("%d frames, want the server's failure repeated %d times", n, patience)
		}
		finish(t, s, c)
	})
}

func TestFullBufferDoesWhatItsPolicySays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept, down: true}
		c := start(t, s, func(o *Options) { o.Buffer = Memory(BufferLimits{Frames: 3}) })
		for i := range 3 {
			send(t, c, float64(i))
		}
		if _, err := c.Send(context.Background(), At("t", 1, time.Now())); !errors.Is(err, ErrFull) {
			t.Errorf("refuse: %v", err)
		}
		s.setDown(false)
		finish(t, s, c)

		s = &server{answer: accept, down: true}
		c = start(t, s, func(o *Options) { o.Buffer = Memory(BufferLimits{Frames: 3, WhenFull: Wait}) })
		for i := range 3 {
			send(t, c, float64(i))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if _, err := c.Send(ctx, At("t", 1, time.Now())); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait: %v", err)
		}
		cancel()
		s.setDown(false)
		send(t, c, 4)
		finish(t, s, c)
		if n := len(s.seen()); n != 4 {
			t.Errorf("wait: %d frames, want 4", n)
		}

		s = &server{answer: accept, down: true}
		var told []uint64
		c = start(t, s, func(o *Options) {
			o.Buffer = Memory(BufferLimits{Frames: 3, WhenFull: DropOldest})
			o.OnDropped = func(seq uint64, _ int) { told = append(told, seq) }
		})
		for i := range 5 {
			send(t, c, float64(i))
		}
		s.setDown(false)
		finish(t, s, c)
		if n := c.Stats(); fmt.Sprint(told) != "[1 2]" || n.Dropped != 2 || n.Accepted != 3 {
			t.Errorf("drop oldest: told %v, %+v", told, n)
		}
	})
}

func TestBackOffGrowsWithFullJitterAndEndsAfterTheAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept, down: true}
		c := start(t, s, func(o *Options) { o.Retry = Retry{First: time.Second, Max: 16 * time.Second, Attempts: 60} })
		send(t, c, 1)
		<-c.Done()
		dials := s.dialled()
		if len(dials) != 60 {
			t.Fatalf("%d attempts, want 60", len(dials))
		}
		var sum, least, most time.Duration
		least = time.Hour
		for i := 1; i < len(dials); i++ {
			gap, limit := dials[i].Sub(dials[i-1]), 16*time.Second
			if i < 5 {
				limit = time.Second << (i - 1)
			}
			if gap > limit {
				t.Errorf("wait %d was %v, want at most %v", i, gap, limit)
			}
			if i >= 5 {
				sum, least, most = sum+gap, min(least, gap), max(most, gap)
			}
		}
		if mean := sum / 55; mean < 5*time.Second || mean > 11*time.Second || least > 3*time.Second || most < 13*time.Second {
			t.Errorf("waits of mean %v, between %v and %v: not uniform between 0 and 16s", mean, least, most)
		}
		if c.Err() == nil {
			t.Error("no error although the client has given up")
		}
		if _, err := c.Send(context.Background(), At("t", 1, time.Now())); err == nil {
			t.Error("a frame was taken by a client that has given up")
		}
		var left *UndeliveredError
		if err := c.Close(context.Background()); !errors.As(err, &left) || left.Frames != 1 || left.Kept {
			t.Errorf("close: %v", err)
		}
	})
}

func TestHandshakeRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: accept}
		s.refuse = func(dial int) (int, http.Header) {
			if dial == 1 {
				return 503, http.Header{"Retry-After": {"20"}}
			}
			return 0, nil
		}
		c := start(t, s, nil)
		send(t, c, 1)
		flush(t, c)
		if dials := s.dialled(); len(dials) != 2 || dials[1].Sub(dials[0]) < 20*time.Second {
			t.Errorf("dialled at %v", dials)
		}
		finish(t, s, c)
	})
}

func TestBacklogFollowsLiveFramesInASessionOfItsOwn(t *testing.T) {
	for name, buffer := range buffers(t) {
		synctest.Test(t, func(t *testing.T) {
			s := &server{answer: accept, down: true}
			c := start(t, s, func(o *Options) { o.Buffer = buffer; o.BacklogAfter = time.Minute; o.Retry.Max = time.Second })
			for i := range 600 {
				send(t, c, float64(i))
			}
			time.Sleep(2 * time.Minute)
			for i := range 20 {
				send(t, c, float64(1000+i))
			}
			s.setDown(false)
			flush(t, c)
			seen := s.seen()
			if len(seen) != 620 {
				t.Fatalf("%s: %d frames, want 620", name, len(seen))
			}
			for i, a := range seen {
				want := i < 20
				if a.Backlog == want || strings.HasSuffix(a.Session, backlogSuffix) == want {
					t.Fatalf("%s: frame %d: %s", name, i+1, a.raw)
				}
				if i > 0 && i != 20 && a.Seq <= seen[i-1].Seq {
					t.Fatalf("%s: seq %d after %d", name, a.Seq, seen[i-1].Seq)
				}
			}
			finish(t, s, c)
		})
	}
}

func buffers(t *testing.T) map[string]*Buffer {
	return map[string]*Buffer{
		"memory": nil,
		"disk":   Disk(filepath.Join(t.TempDir(), "buffer"), BufferLimits{NoSync: true}),
	}
}

func TestFrameThatWasSentLiveStaysLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		s.answer = func(a *arrival) *wire.Receipt {
			if a.conn == 1 {
				return nil
			}
			return accept(a)
		}
		c := start(t, s, func(o *Options) { o.BacklogAfter = time.Minute; o.Retry.Max = time.Second })
		send(t, c, 1)
		synctest.Wait()
		s.setDown(true)
		synctest.Wait()
		send(t, c, 2)
		time.Sleep(10 * time.Minute)
		s.setDown(false)
		flush(t, c)
		seen := s.seen()
		if len(seen) != 3 || seen[1].raw != seen[0].raw || !seen[2].Backlog {
			t.Errorf("%d frames: %v", len(seen), seen)
		}
		finish(t, s, c)
	})
}

func TestFramesInFlightAreNeverFurtherApartThanTheWindow(t *testing.T) {
	q := new(queue)
	for _, seq := range []uint64{1, 512, 513, 2000} {
		q.add(&entry{seq: seq, lane: live})
	}
	now := time.Now()
	q.launch(q.next(live), 1, now)
	q.launch(q.next(live), 2, now)
	if e := q.next(live); e != nil {
		t.Fatalf("seq %d beside 1", e.seq)
	}
	q.add(&entry{seq: 1999, lane: backlog}) // of another session
	if e := q.next(backlog); e == nil || e.seq != 1999 {
		t.Fatalf("%+v", e)
	}
	q.land(1)
	if e := q.next(live); e == nil || e.seq != 513 {
		t.Fatalf("%+v", e)
	}
}
