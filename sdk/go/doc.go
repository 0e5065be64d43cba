// Package device is the SDK of a device: it takes readings, and sees to it that the server has each of them
// once, or that its caller is told.
//
//	Publish ─▶ batch ─┐
//	Send ─────────────┴─▶ buffer ──frames (≤ credit)──▶ server
//	                        ▲  (memory or disk)            │
//	                        └───────── receipts ◀──────────┘
//
// Neither [Client.Publish] nor [Client.Send] waits for the network. A frame gets its number (seq) within the
// client's session when it enters the buffer, and leaves the buffer only when its receipt says what became of
// it: stored, stored before, or refused with a code. What has no receipt is sent again under the same session
// and seq, in order, on the next connection; the server recognises it. A buffer on disk keeps frames, session and
// seq over a crash of the process.
//
// # When the buffer is full
//
// Buffers are bounded by bytes and by frames. [Refuse], the default, fails Send with [ErrFull]; [Wait] lets Send
// wait; [DropOldest] gives up the oldest frames that are not in flight, counts them in [Stats] and tells OnDropped.
//
// # Lanes
//
// Frames that had to wait offline for longer than Options.BacklogAfter are sent as backlog: after the live ones,
// marked so that they fill the history and raise no alarm now. They have a session of their own (the client's
// with "~backlog" at its end), because the server tells duplicates apart among the last 1,024 numbers of a
// session only. A frame that may have been sent as live stays live.
//
// For the same reason frames in flight are never more than 512 numbers apart. A backlog of any length stays
// exact that way.
//
// # Goroutines
//
// A client has one goroutine that dials and writes, one more per connection that reads, and short-lived ones for
// commands and tokens. All have ended when [Client.Close] returns. Callbacks run in the first: they must return
// soon, and call neither Flush nor Close, nor Send under the policy Wait.
package device
