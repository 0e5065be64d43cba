// Package app makes a process of the parts: it alone knows all of them.
//
// An App is a value: New validates, binds the listeners and opens the embedded broker; Run connects, makes
// the topics, runs the stages of the process's roles and serves until its context ends; the stop that
// follows goes through a named last-in-first-out stack, each step bounded. Signals and exit codes are
// cmd/weir's.
//
//	listener ─ broker ─ (Run:) server ─ client ─ topics, epoch ─ floors ─ producer ─ push ─ pipeline ─ ingest
//	   8         7                6         5                        4          3       2        1        0     ◀─ stop
//
// Stopping in this order loses nothing: ingest takes no more frames and waits for the receipts of those it
// took; the pipeline flushes and writes a checkpoint; push sends what is left and says that it drains; then
// the producer is flushed and the broker closed, all of whose records a restart finds again. The HTTP server
// stays until then, so that GET /readyz tells a load balancer to go elsewhere; the stages refuse newcomers.
package app
