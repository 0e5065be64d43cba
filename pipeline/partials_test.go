package pipeline

import "testing"

func TestGroupsOfOneDeviceAreAllFed(t *testing.T) {
	l := newLog(t, `
groups: [{match: "p/+/+", as: "p/_all/{metric}", every: 10s, grace: 3s, functions: [count]}]
`)
	l.frame("p/a", "t", 1.0, 10.0, "u", 1.0, 20.0)
	l.tick(4.5)
	t.Logf("%d partials", len(l.parts))
	for i := range l.parts {
		t.Logf("partial for %s (source %d, version %d)", l.parts[i].Partial.Group, l.parts[i].Partial.Source, l.parts[i].Partial.Version)
	}
	for i := range l.parts {
		p := l.parts[i]
		l.control(&p)
	}
	l.tick(14)
	l.want("p/_all/t", 1)
	l.want("p/_all/u", 1)
}
