package devices

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func (r *Registry) records() int {
	r.known.RLock()
	defer r.known.RUnlock()
	return len(r.known.conns)
}

func TestPresenceIsBoundedByHowManyDevicesAreTracked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(newMemory(), "a")
		o.Config.MaxTracked = 1000
		r := open(t, o)
		defer run(t, r)()
		describe(t, r, "p/0", `{}`)
		most := 0
		for i := range 10_000 {
			c := r.Connect(socket)
			c.Attach(fmt.Sprintf("p/%d", i))
			c.Close(true)
			if i%100 == 99 {
				time.Sleep(10 * time.Second)
				most = max(most, r.records())
			}
		}
		if most > 1200 {
			t.Errorf("up to %d records", most)
		}
		time.Sleep(time.Minute)
		if n := r.records(); n != 1000 {
			t.Errorf("%d records in the end", n)
		}
		expectState(t, r, "p/1", "none") // the oldest went
		expectState(t, r, "p/9999", "offline")
		expectState(t, r, "p/0", "offline") // there is metadata
	})
}

func TestDevicesThatHaveBeenOfflineForLongAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		o := options(table, "a")
		o.Config.PresenceRetention, o.Config.PresenceWrites = time.Hour, 1
		r := open(t, o)
		defer run(t, r)()
		describe(t, r, "p/described", `{}`)
		here := r.Connect(socket)
		defer here.Close(true)
		here.Attach("p/here")
		c := r.Connect(socket)
		c.Attach("p/described")
		for i := range 20 {
			c.Attach(fmt.Sprint("p/", i))
		}
		time.Sleep(time.Minute + tick/2) // between two sweeps
		c.Close(true)
		time.Sleep(time.Hour)
		if n := r.records(); n != 22 {
			t.Fatalf("%d records within the retention", n)
		}
		before := r.records()
		for range 60 {
			time.Sleep(sweep)
			now := r.records()
			if before-now > r.sweepWrites() {
				t.Errorf("%d deletions in one sweep", before-now)
			}
			before = now
		}
		if n := r.records(); n != 2 {
			t.Errorf("%d records are left", n)
		}
		expectState(t, r, "p/here", "stale")
		expectState(t, r, "p/described", "offline")
	})
}

// Who has the device back while the deletion of its presence is under way does not take that for a deletion of the device.
func TestADeviceThatComesBackWhileItIsForgottenIsOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newMemory()
		o := options(table, "a")
		o.Config.PresenceRetention = time.Hour
		var r *Registry
		var back *Conn
		table.Watch(connPrefix, func(_ string, value []byte) {
			if value == nil && back == nil { // before the registry reads it
				back = r.Connect(socket)
				back.Attach("p/d")
			}
		})
		r = open(t, o)
		defer run(t, r)()
		c := r.Connect(socket)
		c.Attach("p/d")
		time.Sleep(time.Minute)
		c.Close(true)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if back == nil {
			t.Fatal("it was not forgotten")
		}
		expectState(t, r, "p/d", "stale")
		back.Close(true)
	})
}
