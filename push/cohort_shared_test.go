package push

import (
	"fmt"
	"testing"
	"testing/synctest"

	"weir/telemetry"
	"weir/wire"
)

// To encode a set changes nothing in it: others go with it in another encoding, and a copy may be made of it meanwhile.
func TestASetIsOnlyReadWhileItIsEncoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, known := testHub(), &testCatalog{metas: map[string]*wire.Meta{}}
		h.catalog = known
		version := telemetry.NoVersion
		feed := func() {
			version++
			h.apply(0, []telemetry.Update{single("p/a/m", version, 1), single("p/b/m", version, 1)}, 0)
			synctest.Wait()
		}
		feed()
		var clients []*modelClient
		for _, e := range []encoding{asJSON, asProto, asJSON} {
			m := &modelClient{pipeClient: h.pipe(), f: newFollower(t)}
			defer m.end()
			m.encoding, m.f.proto = e, e == asProto
			if err := h.subscribe(m.client, "x", choice{patterns: patterns("#")}, nil); err != nil {
				t.Fatal(err)
			}
			m.f.take(m.message())
			clients = append(clients, m)
		}
		synctest.Wait()
		for range 3 {
			feed()
		}
		for i := range 2 {
			known.set("p/b/m", &wire.Meta{Unit: fmt.Sprint(i)})
			h.describe([]string{"p/b/m"})
		}
		// told are the series that a client is told otherwise of until it has all.
		told := func(m *modelClient) (changed []int) {
			for m.f.series("x", "p/a/m").seen < version {
				if msg, ok := m.f.take(m.message()).(*wire.SeriesMsg); ok {
					for _, e := range msg.Changed {
						changed = append(changed, e.I)
					}
				}
			}
			synctest.Wait()
			return changed
		}
		for _, m := range clients {
			if got := told(m); fmt.Sprint(got) != "[1]" {
				t.Errorf("changed %v, want the second series once", got)
			}
		}

		// While one is encoded for a member that goes, the sweeper looks at it, and the next frame comes for those that stay.
		for range 3 {
			feed()
		}
		for i := range 2 {
			known.set("p/b/m", &wire.Meta{Unit: fmt.Sprint("then ", i)})
			h.describe([]string{"p/b/m"})
		}
		cohort := clients[0].subs[0].behind
		cohort.join() // one that goes at once
		set := cohort.pick().set
		encoded := make(chan struct{})
		go func() {
			defer close(encoded)
			set.frame(h.m, 1, asJSON)
			h.release(set)
		}()
		clients[0].burden()
		version++
		h.apply(0, []telemetry.Update{single("p/a/m", version, 1), single("p/b/m", version, 1)}, 0)
		<-encoded
		for _, m := range clients {
			if got := told(m); fmt.Sprint(got) != "[1]" {
				t.Errorf("changed %v while it was encoded, want the second series once", got)
			}
		}
	})
}
