package pipeline

import "testing"

func TestARecordInTheNameOfAGroupIsRefused(t *testing.T) {
	l := newLog(t, `
groups: [{match: "p/+/t", as: p/_all/t, every: 10s, grace: 1s, functions: [mean]}]
`)
	l.frame("p/_all", "t", 0.0, 1.0)
	t.Logf("before the group is known: letters %v", l.letters)
	l.frame("p/a", "t", 1.0, 10.0)
	l.tick(3)
	p := l.parts[0]
	l.control(&p)
	l.frame("p/_all", "t", 5.0, 666.0, "evil", 5.0, 1.0)
	l.tick(12)
	t.Logf("after: letters %v, values %v", l.letters, l.values)
	l.want("p/_all/t", 10)
}
