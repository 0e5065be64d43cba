package sim

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/telemetry"
	"weir/wire"
)

// script is a source whose frames of one reading are all due at once. After frame cut it disconnects.
type script struct {
	frames, cut int
	made        int
	after       <-chan struct{} // if not nil, nothing is made before it is closed
}

func (s *script) Device() string { return "plant1/press1" }

func (s *script) Step(now time.Time) Step {
	if s.made == s.frames {
		return Step{}
	}
	if s.after != nil {
		select {
		case <-s.after:
		default:
			return Step{Next: now.Add(time.Millisecond)}
		}
	}
	s.made++
	out := Step{
		Readings: []telemetry.Reading{{Metric: "temperature", Time: now.UnixMicro(), Value: float64(s.made)}},
		Next:     now,
	}
	if s.made == s.cut {
		out.Disconnect = time.Millisecond
	}
	return out
}

// endless never has anything to send and never ends.
type endless struct{}

func (endless) Device() string          { return "plant1/press1" }
func (endless) Step(now time.Time) Step { return Step{Next: now.Add(time.Hour)} }

func start(ctx context.Context, t *testing.T, url string, source Source) (*Stats, <-chan error) {
	t.Helper()
	stats := new(Stats)
	d, err := NewDevice(DeviceOptions{URL: url, Source: source, Stats: stats})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- d.Run(ctx) }()
	return stats, result
}

func wait(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the device did not end")
		return nil
	}
}

func TestDeviceSendsNumberedFramesOfOneSessionAndEndsWhenAllAreReceipted(t *testing.T) {
	s := startServer(t, accept)
	stats, result := start(t.Context(), t, s.url, &script{frames: 100})
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	arrivals := s.seen()
	if len(arrivals) != 100 {
		t.Fatalf("%d frames, want 100", len(arrivals))
	}
	for i, a := range arrivals {
		if a.Seq != uint64(i+1) || a.Session == "" || a.Session != arrivals[0].Session || a.Device != "plant1/press1" {
			t.Fatalf("frame %d: device %q session %q seq %d", i+1, a.Device, a.Session, a.Seq)
		}
		if r := a.Readings[0]; r.Metric != "temperature" || r.Value != float64(i+1) || r.Time == 0 {
			t.Fatalf("frame %d: %+v", i+1, r)
		}
	}
	c := stats.Counts()
	if c.Sent != 100 || c.Accepted != 100 || c.Resent != 0 || c.Unsure != 0 || c.Connected != 0 || c.Connects != 1 {
		t.Errorf("%+v", c)
	}
}

func TestDeviceKeepsWithinTheCredit(t *testing.T) {
	held := make(chan *arrival, 1000)
	s := startServer(t, func(a *arrival) *wire.Receipt {
		if a.frame == 1 {
			return &wire.Receipt{Accepted: 1, Credit: 3}
		}
		held <- a
		return nil
	})
	_, result := start(t.Context(), t, s.url, &script{frames: 200})
	for n := range 199 {
		// While the device had not heard of the credit it may have sent more.
		if a := <-held; n > 32 && a.flying > 3 {
			t.Errorf("frame %d: %d without receipt, credit is 3", a.frame, a.flying)
		} else {
			s.reply(a, &wire.Receipt{Accepted: 1, Credit: 3})
		}
	}
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
}

func TestDeviceResendsWhatHasNoReceiptAfterTheConnectionIsLost(t *testing.T) {
	s := startServer(t, nil)
	s.answer = func(a *arrival) *wire.Receipt {
		switch {
		case a.conn == 1 && a.frame <= 5:
			return accept(a)
		case a.conn == 1 && a.frame == 10:
			a.socket.NetConn().Close() // frames 6 to 10 arrived, their receipts did not
			return nil
		case a.conn == 1:
			return nil
		case a.Seq <= 10:
			return &wire.Receipt{Duplicate: 1, Credit: 8}
		}
		return accept(a)
	}
	stats, result := start(t.Context(), t, s.url, &script{frames: 40})
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	bySeq := map[uint64]string{}
	for _, a := range s.seen() {
		content := fmt.Sprint(a.Session, a.Readings)
		if before, again := bySeq[a.Seq]; again && before != content {
			t.Errorf("seq %d: %s, and resent as %s", a.Seq, before, content)
		}
		bySeq[a.Seq] = content
	}
	if len(bySeq) != 40 {
		t.Errorf("%d different frames, want 40", len(bySeq))
	}
	c := stats.Counts()
	// The first receipts may have been lost as well.
	if c.Duplicate < 5 || c.Accepted+c.Duplicate != 40 || c.Connects != 2 || c.Resent < 5 {
		t.Errorf("%+v", c)
	}
}

func TestDeviceDropsItsConnectionWhenItsSourceSaysSo(t *testing.T) {
	s := startServer(t, accept)
	connected := make(chan struct{})
	stats, result := start(t.Context(), t, s.url, &script{frames: 20, cut: 10, after: connected})
	for stats.Counts().Connected == 0 {
		time.Sleep(time.Millisecond)
	}
	close(connected)
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	if c := stats.Counts(); c.Connects != 2 || c.Sent != 20 {
		t.Errorf("%+v", c)
	}
}

func TestDeviceSendsAgainWhatWasNotStored(t *testing.T) {
	var refusals atomic.Int64
	s := startServer(t, func(a *arrival) *wire.Receipt {
		if a.Seq == 3 && refusals.Add(1) <= 2 {
			return &wire.Receipt{Credit: 8, RetryAfter: 10, Err: wire.NewError(wire.CodeOverloaded, "")}
		}
		return accept(a)
	})
	stats, result := start(t.Context(), t, s.url, &script{frames: 10})
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	if c := stats.Counts(); c.Accepted != 10 || c.Rejected != 0 || c.Resent != 2 {
		t.Errorf("%+v", c)
	}
}

func TestDeviceCountsRejectionsByCode(t *testing.T) {
	s := startServer(t, func(a *arrival) *wire.Receipt {
		switch a.Seq {
		case 1:
			return &wire.Receipt{Credit: 8, Rejected: []wire.Rejection{{Code: wire.CodeTimeFuture, Path: "readings[0].ts"}}}
		case 2:
			return &wire.Receipt{Credit: 8, Err: wire.NewError(wire.CodeSeqInvalid, "seq")}
		case 3:
			return &wire.Receipt{Credit: 8, Late: 1}
		}
		return accept(a)
	})
	stats, result := start(t.Context(), t, s.url, &script{frames: 4})
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	c := stats.Counts()
	if c.Rejected != 2 || c.Late != 1 || c.Accepted != 1 || c.Codes[wire.CodeTimeFuture] != 1 || c.Codes[wire.CodeSeqInvalid] != 1 {
		t.Errorf("%+v", c)
	}
	if c.Receipted() != 4 {
		t.Errorf("%d receipted, want 4", c.Receipted())
	}
}

func TestDeviceStaysAwayWhenItIsToldTo(t *testing.T) {
	s := startServer(t, func(a *arrival) *wire.Receipt {
		_ = a.socket.WriteClose(wire.CloseRefused, []byte(wire.ReasonOriginRefused))
		return nil
	})
	_, result := start(t.Context(), t, s.url, &script{frames: 1})
	err := wait(t, result)
	var closed *ClosedError
	if !errors.As(err, &closed) || closed.Code != wire.CloseRefused || closed.Reason != wire.ReasonOriginRefused {
		t.Fatalf("error %v, want that of close code 1008", err)
	}
}

func TestDeviceComesBackWhenTheServerDrains(t *testing.T) {
	s := startServer(t, nil)
	s.answer = func(a *arrival) *wire.Receipt {
		if a.conn == 1 {
			_ = a.socket.WriteClose(wire.CloseDraining, []byte(wire.ReasonDraining))
			return nil
		}
		return accept(a)
	}
	stats, result := start(t.Context(), t, s.url, &script{frames: 5})
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	if c := stats.Counts(); c.Accepted != 5 || c.Connects != 2 {
		t.Errorf("%+v", c)
	}
}

func TestDeviceThatIsStoppedTakesItsLastReceiptsAndSaysFarewell(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	held := make(chan *arrival, 100)
	s := startServer(t, func(a *arrival) *wire.Receipt { held <- a; return nil })
	stats, result := start(ctx, t, s.url, &script{frames: 1000})
	first := <-held
	cancel()
	s.reply(first, &wire.Receipt{Accepted: 1, Credit: 1})
	go func() {
		for {
			select {
			case a := <-held:
				s.reply(a, &wire.Receipt{Accepted: 1, Credit: 1})
			case <-t.Context().Done():
				return
			}
		}
	}()
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	c := stats.Counts()
	if c.Accepted != c.Sent || c.Unsure != 0 {
		t.Errorf("%+v", c)
	}
	s.waitFor(t, "close at the server", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.closes) == 1
	})
	var closed *gws.CloseError
	if !errors.As(s.closes[0], &closed) || closed.Code != wire.CloseNormal {
		t.Errorf("server saw %v, want close code 1000", s.closes[0])
	}
}

func TestDeviceKeepsDialling(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := startServer(t, accept)
	stats, result := start(ctx, t, "ws://127.0.0.1:1/v1/ingest", endless{})
	s.waitFor(t, "two attempts", func() bool { return stats.Counts().DialErrors >= 2 })
	if stats.Counts().Problem == nil {
		t.Error("no problem is reported")
	}
	cancel()
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
}

func TestDeviceRefusesBadPaths(t *testing.T) {
	if _, err := NewDevice(DeviceOptions{Source: &tape{device: "a//b"}}); err == nil {
		t.Error("an empty segment was taken")
	}
	if _, err := NewDevice(DeviceOptions{}); err == nil {
		t.Error("a nil source was taken")
	}
}

func TestSwarmEndsAllDevicesWhenOneIsRefused(t *testing.T) {
	s := startServer(t, func(a *arrival) *wire.Receipt {
		if a.Device == "plant1/press1" {
			_ = a.socket.WriteClose(wire.CloseProtocolError, []byte(wire.ReasonProtocolError))
			return nil
		}
		return accept(a)
	})
	fleet := Fleet{Devices: 3, Metrics: 2, Rate: 100}
	swarm, err := NewSwarm(SwarmOptions{URL: s.url, Sources: append(fleet.Sources(), &script{frames: 1})})
	if err != nil {
		t.Fatal(err)
	}
	var closed *ClosedError
	if err := swarm.Run(t.Context()); !errors.As(err, &closed) {
		t.Errorf("error %v, want that of the close", err)
	}
}

func TestSwarmRefusesTwoSourcesOfOneDevice(t *testing.T) {
	if _, err := NewSwarm(SwarmOptions{Sources: []Source{endless{}, endless{}}}); err == nil {
		t.Error("taken")
	}
}
