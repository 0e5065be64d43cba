//go:build race

package push

// underRace: the race detector makes the tests an order of magnitude slower.
const underRace = true
