// Package rule decides when something about a series is worth telling a person, and what has to be told.
//
// A [Spec] is a rule as it is written, a [Rule] the same compiled, shared by all series it is for. A [Watch] is the
// state of all rules of one series. It is fed with readings, ticks and commands, and answers with transitions of
// alerts, each with the evidence for it.
//
// Two layers are kept apart. The condition of a rule comes and goes:
//
//	      raise level passed        held for `for`
//	off ───────────────────▶ pending ─────────────▶ on
//	 ▲ ◀─── no longer passed ───┘                   │
//	 └───────────── clear level passed ─────────────┘
//
// The alert follows it, more slowly:
//
//	                  on                    came too often
//	no alert ───────────────────▶ firing ───────────────────▶ flapping
//	    ▲                          │  ▲ ◀── steady, still on ────┘ │
//	    └─ off for keep_firing_for ┘  │     steady, and off        │
//	    └─────────────────────────────┼────────────────────────────┘
//	                                  ▼
//	                             acknowledged (by people; kept through flapping, ends with the alert)
//
// What a Watch answers follows from what it was given, in that order, and from nothing else: there is no clock, no
// goroutine and no randomness. `for` elapses by the source time of readings, so that a silent sensor raises nothing;
// what waits for silence (absence, keep_firing_for, the end of flapping) elapses by processing time, from the Ingest
// of a reading to the time of a tick.
//
// The transitions of one rule of one series have strictly growing versions. Where one version would cause two, the
// second waits for what comes next.
//
// A Rule, an [Inhibitor] and a Spec after Compile are immutable and may be shared. A Watch, a [Silences] and a
// [Subject] belong to one goroutine.
package rule
