//go:build soak

package soak

import (
	"weir/wire"
)

// streamPlans are the declared pipelines that a stream changes between. Series that they make have a dot in their name, or
// are a group's.
var streamPlans = []string{`
pipelines:
  - {match: "+/+/+/temperature", validate: {min: -100, max: 200}, lateness: 30s}
`, `
pipelines:
  - name: temperatures
    match: "+/+/+/temperature"
    validate: {min: -40, max: 120, max_rate: 50/s}
    lateness: 1m
    averages: [{kind: exponential, tau: 30s}, {kind: median, samples: 5}]
    windows:
      - {name: 1m, kind: tumbling, size: 1m, functions: [mean, max, p99, stddev]}
      - {name: hop, kind: hopping, size: 2m, every: 30s, functions: [count, min]}
    rules:
      - {name: hot, kind: threshold, above: 30, clear_above: 27, for: 20s, severity: critical}
  - {match: "plant0/#", lateness: 30s, tags: {site: north}}
  - {match: "+/+/+/count", counter: true}
derived:
  - {match: "+/+/+", as: load.index, expr: temperature * vibration + pressure, max_age: 10m}
`, `
pipelines:
  - name: pressures
    match: "+/+/+/pressure"
    validate: {stuck_after: 5m}
    windows: [{name: burst, kind: session, gap: 20s, functions: [count, sum]}]
    rules:
      - {name: fast, kind: rate, above: 1, keep_firing_for: 30s}
  - name: doors
    match: "+/+/+/door"
    detector: off
    rules:
      - {name: open, kind: threshold, above: 0.5}
      - {name: silent, kind: absence, for: 20s}
  - {match: "+/+/+/vibration", filter: "value < 30", average: {kind: simple, window: 30s}}
groups:
  - {match: "plant0/+/+/temperature", as: plant0/_all/temperature, every: 10s, functions: [mean, max, count]}
  - {match: "plant1/+/+/vibration", as: plant1/_all/vibration, every: 30s, functions: [mean, p95]}
`}

func planControl(text string, now int64) *wire.Control {
	return &wire.Control{Kind: wire.ControlPlan, Time: now, By: "soak", Text: text}
}
