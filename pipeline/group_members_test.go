package pipeline

import "testing"

// A device that sends a metric called t.max writes into the maximum of the group of t.
func TestAMemberCannotWriteIntoAFunctionOfAnotherGroup(t *testing.T) {
	l := newLog(t, `
groups: [{match: "p/+/+", as: "p/_all/{metric}", every: 10s, grace: 3s, functions: [mean, max]}]
`)
	l.frame("p/a", "t", 1.0, 10.0)
	l.tick(2.5)
	l.frame("p/b", "t.max", 3.0, 666.0)
	l.tick(4.5)
	for i := range l.parts {
		t.Log("partial for", l.parts[i].Partial.Group)
		p := l.parts[i]
		l.control(&p)
	}
	l.tick(14)
	for name, v := range l.values {
		t.Log(name, v)
	}
	if u := l.rows["p/_all/t.max"]; u == nil || u.N != 1 || u.Max != 10 {
		t.Errorf("p/_all/t.max: %+v", u)
	}
}
