// Package conformance plays the server for a device under test, and tells what the device does wrong.
//
//	device ──ws, POST──▶ Kit ──frames──▶ checks
//	                      └── acts: lose a receipt, ask for a pause, close, refuse, …
//
// A [Kit] is an http.Handler that speaks /v1/ingest and /v1/readings. It stores nothing. What it sees of the device it
// compares with docs/protocol/ingest.md; and to see what the device does when things go wrong, it does one wrong thing
// after the other on purpose (the scenario "faults"). Each check ends as passed, failed with evidence, or not exercised:
// silence is no proof.
package conformance
