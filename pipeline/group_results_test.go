package pipeline

import "testing"

func TestResultsOfAGroupAreNotOverwrittenByWindowsOfItsSeries(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: p/_all/t
    windows: [{name: w, kind: tumbling, size: 10s, grace: 0s, functions: [count, min]}]
groups: [{match: "p/+/t", as: p/_all/t, every: 10s, grace: 1s, functions: [mean, max, count]}]
`)
	for i := range 4 {
		at := float64(i*10 + 1)
		l.frame("p/a", "t", at, 10.0+float64(i), "t", at+1, 20.0+float64(i))
		l.tick(at + 3)
		p := l.parts[len(l.parts)-1]
		l.control(&p)
		l.tick(at + 11 - 0.3*float64(i)) // a clock's jitter: the window is not closed by the same tick
	}
	t.Log("dead letters", l.letters)
	for name, v := range l.values {
		t.Log(name, v)
	}
	l.want("p/_all/t", 15, 16, 17, 18)
	l.want("p/_all/t.max", 20, 21, 22, 23)
	l.want("p/_all/t.count", 2, 2, 2, 2)
}

// With fewer functions than the window of its series nothing panics, and wrong values go out instead.
func TestWrongValues(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: p/_all/t
    windows: [{name: w, kind: tumbling, size: 10s, grace: 0s, functions: [count, min, max]}]
groups: [{match: "p/+/t", as: p/_all/t, every: 10s, grace: 1s, functions: [mean, max]}]
`)
	for i := range 4 {
		at := float64(i*10 + 1)
		l.frame("p/a", "t", at, 10.0+float64(i), "t", at+1, 20.0+float64(i))
		l.tick(at + 3)
		p := l.parts[len(l.parts)-1]
		l.control(&p)
		l.tick(at + 11 - 0.3*float64(i))
	}
	t.Log("dead letters", l.letters)
	l.want("p/_all/t", 15, 16, 17, 18)
	l.want("p/_all/t.max", 20, 21, 22, 23)
}
