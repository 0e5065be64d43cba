package push

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"weir/wire"
)

// testCatalog is what is known of series, to be changed at will.
type testCatalog struct {
	mu    sync.Mutex
	metas map[string]*wire.Meta
}

func (c *testCatalog) Meta(series string) *wire.Meta {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.metas[series]
}

func (c *testCatalog) set(series string, m *wire.Meta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metas[series] = m
}

func startDescribed(t *testing.T) (*testServer, *testCatalog) {
	known := &testCatalog{metas: map[string]*wire.Meta{
		"p/a/m": {Unit: "°C", DeviceName: "Press A", Tags: map[string]string{"line": "7"}},
		"p/b/m": {Unit: "rpm", Tags: map[string]string{"line": "8", "the floor": "1"}},
	}}
	return startServer(t, func(o *Options) { o.Catalog = known }), known
}

func TestDictionariesTellWhatIsKnownOfSeriesAndWhatChanges(t *testing.T) {
	s, known := startDescribed(t)
	s.feed(single("p/a/m", 0, 20))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("x", "#", 0)
	sub := await[*wire.Subscribed](c, f)
	if got := sub.Dictionary[0]; !reflect.DeepEqual(got.Meta, known.metas["p/a/m"]) {
		t.Errorf("entry %+v", got)
	}
	s.feed(single("p/b/m", 0, 20), single("p/c/m", 0, 20)) // of one nothing is known
	if m := await[*wire.SeriesMsg](c, f); len(m.Added) != 2 || !reflect.DeepEqual(m.Added[0].Meta, known.metas["p/b/m"]) || m.Added[1].Meta != nil {
		t.Errorf("added %+v", m.Added)
	}
	await[*wire.Updates](c, f)
	known.set("p/a/m", &wire.Meta{Unit: "K"})
	known.set("p/b/m", nil)
	s.Describe("p/a")
	want := []wire.Entry{{I: 0, Series: "p/a/m", Meta: &wire.Meta{Unit: "K"}}}
	if m := await[*wire.SeriesMsg](c, f); len(m.Added) != 0 || !reflect.DeepEqual(m.Changed, want) {
		t.Errorf("changed %+v", m)
	}
	await[*wire.Updates](c, f)
	s.Describe("p/a") // as it was
	s.DescribeAll()
	if m := await[*wire.SeriesMsg](c, f); !reflect.DeepEqual(m.Changed, []wire.Entry{{I: 1, Series: "p/b/m"}}) {
		t.Errorf("changed %+v", m)
	}
	if got := sub.Dictionary[0].Unit; got != "°C" {
		t.Errorf("what was told before has become %q", got)
	}
	// Who joins later is told what is so now.
	second := s.dial(dialOptions{})
	second.subscribe("y", "#", 0)
	if got := await[*wire.Subscribed](second, newFollower(t)).Dictionary; got[0].Unit != "K" || got[1].Meta != nil {
		t.Errorf("dictionary %+v", got)
	}
	if _, body := s.get(t, "/v1/snapshot?series=p/a/m"); !reflect.DeepEqual(snapshotOf(t, body).Dictionary, want) {
		t.Errorf("snapshot %s", body)
	}
}

func snapshotOf(t *testing.T, body []byte) *wire.Snapshot {
	t.Helper()
	snap, err := wire.DecodeSnapshot(body)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestWhoIsBehindIsToldEachChangeOnceAndNothingOld(t *testing.T) {
	s, known := startDescribed(t)
	s.feed(single("p/a/m", 0, 20))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("x", "#", 0)
	await[*wire.Subscribed](c, f)
	c.send(`{"type":"credit","payload":{"frames":0}}`)
	c.send(`{"type":"app_ping"}`)
	await[*wire.Pong](c, f)
	s.feed(single("p/a/m", 1, 20))
	s.feed(single("p/b/m", 0, 20))
	for _, unit := range []string{"K", "°F", "°R"} {
		known.set("p/a/m", &wire.Meta{Unit: unit})
		known.set("p/b/m", &wire.Meta{Unit: unit})
		s.DescribeAll()
		eventually(t, "it is known", func() bool {
			s.hub.mu.Lock()
			defer s.hub.mu.Unlock()
			return s.hub.store.series["p/b/m"].meta.Unit == unit
		})
	}
	c.send(`{"type":"credit","payload":{"frames":10}}`)
	await[*wire.Updates](c, f) // the one that waited
	m := await[*wire.SeriesMsg](c, f)
	if len(m.Added) != 1 || len(m.Changed) != 1 || m.Added[0].Unit != "°R" || m.Changed[0].Unit != "°R" {
		t.Errorf("series %+v", m)
	}
	if u := await[*wire.Updates](c, f); len(u.Rows) != 1 {
		t.Errorf("updates %+v", u)
	}
}

func TestFilterKnowsTagsAndUnitsAsTheyChange(t *testing.T) {
	s, known := startDescribed(t)
	s.feed(single("p/a/m", 0, 20), single("p/b/m", 0, 20))
	for filter, want := range map[string]string{
		`tags.line == "7"`:                      "[p/a/m]",
		`tags["the floor"] == "1"`:              "[p/b/m]",
		`unit in ["rpm", "1/min"]`:              "[p/b/m]",
		`tags.line in ["7", "8"] && last == 20`: "[p/a/m p/b/m]",
	} {
		c, f := s.dial(dialOptions{}), choosyFollower(t)
		c.selected("x", "#", fmt.Sprintf(`"filter":%q`, filter))
		await[*wire.Subscribed](c, f)
		if got := fmt.Sprint(f.in("x")); got != want {
			t.Errorf("%s: in are %s, want %s", filter, got, want)
		}
	}
	c, f := s.dial(dialOptions{}), choosyFollower(t)
	c.selected("x", "#", `"filter":"tags.line == \"7\""`)
	await[*wire.Subscribed](c, f)
	known.set("p/b/m", &wire.Meta{Tags: map[string]string{"line": "7"}})
	s.Describe("p/b")
	if await[*wire.Updates](c, f); fmt.Sprint(f.in("x")) != "[p/a/m p/b/m]" {
		t.Errorf("in are %s", f.in("x"))
	}
	known.set("p/a/m", nil)
	s.Describe("p/a")
	if m := await[*wire.SeriesMsg](c, f); len(m.Changed) != 1 || m.Changed[0].I != 0 {
		t.Errorf("changed %+v", m.Changed)
	}
	if await[*wire.Updates](c, f); fmt.Sprint(f.in("x")) != "[p/b/m]" {
		t.Errorf("in are %s", f.in("x"))
	}
}
