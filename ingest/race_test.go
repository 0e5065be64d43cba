//go:build race

package ingest

// underRace: the race detector makes everything larger and slower.
const underRace = true
