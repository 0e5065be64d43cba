package pipeline

import "testing"

func TestDerivedOfTheAverageOfADerived(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/+/x"
    averages: [{kind: median, samples: 1}]
derived:
  - {match: "p/+", as: x, expr: a * 2}
  - {match: "p/+", as: "y", expr: 'm["x.median"] + 1'}
`)
	l.frame("p/a", "a", 1.0, 10.0)
	l.frame("p/a", "a", 2.0, 11.0)
	l.want("p/a/x", 20, 22)
	l.want("p/a/x.median", 20, 22)
	l.want("p/a/y", 21, 23)
}
