// Package rooms carries messages between people and programs: to rooms, to users, to sessions and to all, with who is
// there, histories and inboxes.
//
//	client ─ join, send … ─▶ Hub ─▶ [weir.messages, key = path] ─▶ every instance's Hub ─▶ its sessions
//	POST /v1/publish ──────▶
//
// Everything is a record of weir.messages, keyed by the path it is about: the order of a room is that of its partition. A
// message takes one way only, through the log, to the sessions of its origin, too; the receipt goes out when the
// origin has read it back, so that it tells whether the message is a repetition. What an instance knows it has read from
// the log, from its beginning at the start, so a restart loses nothing that the topic retains. Who comes back with the
// version it knows is told what came after it: from memory, and, before its join is written, from the log, where those who
// come at once share a reading.
//
// A join names the instance of its session. That the members at an instance which fell silent are gone the others write, each
// for itself; should it hear of that, it tells its sessions what is said as before, and writes their joins anew.
//
// Concurrency: one goroutine per partition applies records; Hub.mu guards the states and the sessions. What is sent to a
// session is queued under Hub.mu by a function that must not block. Everything is bounded: see Config. What is
// beyond a bound is refused with a code, or displaces the oldest.
package rooms
