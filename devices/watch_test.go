package devices

import (
	"fmt"
	"testing"
)

// sayAndHold attaches devices and has that written, then makes them stale within the grace, so that there is nothing to be
// said of them yet.
func sayAndHold(t *testing.T, r *Registry, n int) {
	t.Helper()
	c := r.Connect(socket)
	for i := range n {
		c.Attach(fmt.Sprintf("held/%d", i))
	}
	r.step(t.Context(), n)
	for i := range n {
		device := fmt.Sprintf("held/%d", i)
		expectState(t, r, device, "online")
		s := r.shards.of(device)
		s.mu.Lock()
		s.entries[device].presence.state = Stale
		s.mu.Unlock()
		r.announce(device)
	}
}

func TestDevicesOfWhichNothingIsSaidYetDoNotUseTheBudgetUp(t *testing.T) {
	table := newMemory()
	r := open(t, options(table, "a"))
	sayAndHold(t, r, looks-1)
	r.Connect(socket).Attach("p/new")
	r.step(t.Context(), 1)
	expectState(t, r, "p/new", "online")
	if n := len(r.queue.changed); n != looks-1 {
		t.Errorf("%d devices wait, want %d", n, looks-1)
	}
}

func TestAStepWritesNoMoreThanItsBudgetAndLosesNothing(t *testing.T) {
	table := newMemory()
	r := open(t, options(table, "a"))
	c := r.Connect(socket)
	for i := range 10 {
		c.Attach(fmt.Sprintf("p/%d", i))
	}
	for want := 2; want <= 10; want += 2 {
		r.step(t.Context(), 2)
		if n := len(table.values); n != want {
			t.Fatalf("%d records are written, want %d", n, want)
		}
	}
	r.step(t.Context(), 2)
	if n := len(r.queue.changed); n != 0 {
		t.Errorf("%d devices wait after all are written", n)
	}
}

func TestAStepLooksAtABoundedNumberOfDevices(t *testing.T) {
	r := open(t, options(newMemory(), "a"))
	sayAndHold(t, r, 10*looks)
	if n := len(r.queue.takeChanged(looks)); n != looks {
		t.Errorf("%d devices are looked at, want %d", n, looks)
	}
	if n := len(r.queue.changed); n != 9*looks {
		t.Errorf("%d devices are left, want %d", n, 9*looks)
	}
}

func TestWhoLeavesWhileTheOthersAreLookedAtIsKept(t *testing.T) {
	r := open(t, options(newMemory(), "a"))
	r.leave("p/1")
	r.leave("p/2")
	taken := r.queue.takeLeaving()
	r.leave("p/2") // again, and is not to be forgotten because the first time is settled
	r.leave("p/3")
	delete(taken, "p/2")
	r.queue.keepLeaving(taken)
	if all := r.queue.takeLeaving(); fmt.Sprint(all) != "map[p/1:{} p/2:{} p/3:{}]" {
		t.Errorf("%v are leaving", all)
	}
	if all := r.queue.takeLeaving(); len(all) != 0 {
		t.Errorf("%v are leaving still", all)
	}
}
