// Package device is Weir's SDK for Go. It has two halves: a [Client] is for devices, and takes readings and sees to it that
// the server has each of them once, or that its caller is told. A [Live] is for programs that follow series and alerts, or
// talk in rooms.
//
//	client, err := device.New(device.Options{URL: "wss://weir.example/v1/ingest", Device: "plant1/press7", Token: key})
//	err = client.Publish("temperature", 21.5, time.Now())
//
//	live, err := device.NewLive(device.LiveOptions{URL: "wss://weir.example/v1/live", Token: key})
//	sub, err := live.Subscribe(device.SubscribeOptions{Patterns: []string{"plant1/#"}})
//	for update := range sub.Updates(ctx) { … }
//
// Both connect by themselves, again and again, until they are closed or the server forbids it (Done, Err). A context given to
// a method bounds how long that method waits, and nothing else: it never ends a connection. What is told, such as [Update]
// and [Message], are types of the packages telemetry and wire, which say what each field means.
//
// # Sending readings
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
//
// # Following
//
//	server ─▶ reader: decode, prove, merge ─▶ news of each subscription ─▶ Next, Updates ─▶ program
//
// A [Live] has one connection for any number of subscriptions and rooms. Each row says which versions it covers, so a
// [Subscription] proves that its chain has no gap: what was told before is discarded. After a lost connection, or if
// something is missing, it goes on from the newest cursor, and the rows continue where they ended; transitions of alerts
// come once each. What the server cannot tell exactly, and a chain that breaks once more after the same cursor, begins anew
// and says so ([Changes].Reset, SubscribeOptions.OnResync).
//
// The reader never waits for the program. Rows that nobody has read are merged by the law of package telemetry, as the
// server does for connections that are slow, so at most one row of each series waits, and its n, min and max still tell of
// all readings. Of transitions of alerts 4,096 may wait; then the subscription is ended on the connection until they are
// read, and goes on from its cursor. Of events of a room 1,024 may wait; then the oldest are dropped, and the next event
// says so. A message that has no receipt is sent again under its id on the next connection.
//
// A Live has one goroutine that dials and writes, one per connection that reads, and short-lived ones for tokens. All have
// ended when [Live.Close] returns.
package device
