// Package devices knows what there is to know about devices beside their readings: what they say of themselves
// (metadata), whether they are there (presence), and how well what they send arrives (health).
//
//	PUT, hello ──▶ meta/<device> ──┐                    ┌─▶ Meta, Labels (decoded once, kept by Watch)
//	                               ├─ table weir.devices ┤
//	Connect ─▶ Attach ─▶ conn/… ───┘                    └─▶ GET /v1/devices, of every instance
//	Frame ─▶ entry (counts, in memory) ─▶ GET /v1/devices/<device>/health, of this instance
//
// # Metadata
//
// A record meta/<device> holds what a device or an operator declared. It is replaced as a whole and has a
// version that grows by one; a writer may insist on the version it has seen (If-Match). Writers on one instance
// take turns, so that holds exactly; of two that write on different instances at the same moment both may
// succeed, and the later one counts.
//
// # Presence
//
// A device is online while a connection speaks for it, or while readings come over HTTP; stale when nothing came
// for three expected intervals although it is connected; else offline. Only a transition is written, to
// conn/<device>, at most one record per device and reconnect grace and at most Config.PresenceWrites records a second
// in all: what must wait is written later as it then is. A connection that comes back within the grace has not been
// away, and its last will is not carried out.
//
// The record names the instance (node) that wrote it. An instance that goes away for good leaves records behind,
// which the others turn offline when Options.Alive says that it is gone. When two instances disagree, who has the
// device corrects who lost it: an instance writes offline only over its own record, and writes online again when
// another took its device for lost.
//
// # Health
//
// Frame counts into a struct of fixed size per device, under the lock of one of 64 shards, without allocating.
// At most Config.MaxTracked devices are remembered; the one that was silent for longest goes first, those that are
// online never: when there are too many of those, further devices are not tracked, and counted.
//
// # Goroutines
//
// Run owns two: one that looks after presence (a tick of 250 ms, and of 5 s for all devices) and one that carries out last
// wills, whose queue is bounded; a will that finds it full is dropped and counted.
package devices
