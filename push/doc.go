// Package push sends updates and alerts to live dashboards.
//
//	weir.latest ──once──┐
//	weir.updates ─tail──┼─▶ hub ──────────▶ view ────────────▶ client ─────────▶ socket
//	weir.alerts ──tail──┘   newest update   dictionary,        lossless lane,     one parcel
//	                        of each series, what is pending,   one frame a view,  in flight
//	                        open alerts     one frame a tick   or a private set
//
// A [Server] first reads weir.latest, and then follows weir.updates and weir.alerts of every partition from
// the offsets up to which latest is complete (source, tail). What arrives enters the hub. It keeps the
// newest update of each series and the open alerts, and merges updates into the views that show the series.
// A view is what equal subscriptions share, which differ in id and cursor at most: on its tick it encodes one frame
// and offers the same bytes to all its subscribers. Rows of one series that several views tell alike are written once (rowText).
//
// # Snapshot and live in one step
//
// A subscriber joins at a view's flush, when nothing is pending: all that came before is in the snapshot,
// all that comes after is in later frames, and nothing is in between or twice. An idle view flushes at once.
// A busy one lets joiners wait for its tick, at most 50 ms, so that a thousand clients which reconnect
// together share one snapshot, encoded once, and nobody else is disturbed by more than one early frame.
// Until the state is complete ([Server.Ready]) subscriptions wait.
//
// Since every update is checked, when it enters the store, to begin where the series stood, the rows of a
// view form a chain, and so do those of every client. An update that does not fit is counted, and the views
// it concerns begin anew: resync, then a fresh snapshot.
//
// # Coming back
//
// A cursor is where in the log its client is. Who brings one is greeted at the view's flush like everybody, by what lies
// between the cursor and that moment instead of the snapshot (catchUp, greetings). It comes from the window, which keeps the
// newest records, and before that from the log, which one reads for all who need it (window.read). What cannot be
// told exactly begins anew, and even then the transitions of alerts go on, if their log has them.
//
// When a device is deleted its series leave the views in order with the rows. Their indices are not used again; when
// too many are in no use, the view begins anew.
//
// # Selections
//
// A view whose subscriptions have a filter or a limit does not tell of all its series (selection). It has a row for
// each: of one that is in and has no news the row told last, of every other what was merged since then, which is what the
// filter and the order look at. So updates of a series that is out go on merging, at the cost of one row, and when it
// comes in its row begins where the subscribers left it: the chain holds. Only series that have changed since the view
// spoke last are looked at; with a limit two heaps, of those in and of those that could be, are put right for these.
// What comes out is a gathered set of rows and the series that have left, and from there on everything is as without.
// The dictionary names a series when it is told of for the first time.
//
// Dictionaries carry what a [Catalog] knows of series. Changes are told by a goroutine of their own ([Server.Describe]),
// in order with the rows; readers of a dictionary keep the one they have.
//
// # Two lanes
//
// Each connection has two lanes, and one writer that exists only while there is something to write.
//
// The lossless lane holds alerts, answers, snapshots and control frames, in order, and always goes first. It
// is bounded in bytes, snapshots aside; when it is full the connection is closed with 4001 and the client
// begins anew. Of snapshots, which are as large as their view, a connection has one at a time: until it has
// been written, its other subscriptions wait for their turn, and when its subscription ends it is dropped.
// Snapshots are made by at most GOMAXPROCS encoders, those for HTTP included; views that find none free wait
// for one, and nothing is copied before.
//
// The lossy lane holds, for each subscription, at most one shared frame that waits for the socket. When the
// next comes and that one still waits, the subscription is a laggard: from now on rows are merged into a
// set, series by series, which is as large as the view has series at most, at whatever rate and for
// however long. When the socket is free, the waiting frame goes out, then the set as one frame, and
// the subscription is up with its view again. So a slow client costs memory and nobody's time, and
// what it gets later still adds up: n, min and max include everything.
//
// All who fell behind their view at the same frame miss the same. They have one set (cohort), into which a frame is merged
// once, and what it is at one moment is encoded once for all who go with it then: when a busy machine lets most dashboards
// fall behind, they cost no more than those that keep up, and catch up. There are never more sets than laggards, beside those
// that are being encoded by who goes with them.
//
// What the kernel has taken can no longer be merged. Send buffers are therefore small, and
// TCP_NOTSENT_LOWAT makes a write wait while 16 KiB are unsent. A write that makes no progress within
// Config.WriteTimeout ends the connection with 4000, if the client still reads it.
//
// A client that is behind is served as fast as it reads. What its subscriptions have gathered is followed by a ping, and
// until the answer says that it has come so far they gather: one set is on its way at a time, whatever the kernels and
// proxies in between would hold (probe). Of one that does not answer the kernel's word counts after a second. Who is behind only
// because its writer has not had its turn of the processor is not asked.
//
// A client that says how many frames of updates it takes (credit) is, beyond them, behind like one that does not read:
// its subscriptions gather, and the lossless lane goes on. A set in which a series has rows and has left goes out
// as two frames, the second one saying that it left. What each subscription was told, and what waits, is counted
// (figures), for the message stats and GET /v1/connections.
//
// # Encodings
//
// A connection is told things in one of five encodings: JSON or protobuf over a WebSocket, either compressed or not, or
// server-sent events in the body of an HTTP response. The lanes, the laggards and the writer are the same for all. What
// several connections are told is encoded once for each encoding that one of them uses: a view's frame and what a
// transition of an alert says under hub.mu, snapshots by their encoders. Compression is slower than the rest together, so
// that the first writer that needs a shared frame compressed does that, outside all locks, and the others have it from
// there. Each message is compressed by itself; no connection keeps a window.
//
// # Who asks
//
// The gate is asked on the handshake, or when a client's first message brings credentials; until then nothing is
// told, and a client may take Config.AuthTimeout. Permission is decided when a client subscribes: all patterns of a
// subscription must be readable. So nothing is checked per row or alert, frames stay shared, and a connection hears of
// alerts only through views it may have. Renewed credentials end the subscriptions that they do not permit, and the
// gate's watch ends the connection with its credentials. It is called without locks, and may call back under its own.
//
// What one principal has of connections, of requests that wait, of views and their rows is counted (account) and bounded, so
// that nobody keeps others out; so is what is read of the log for it (readShares). A view that several principals use
// counts for each. An open server has no principals: there an address is bounded, and this machine by what all may have.
//
// # Goroutines and locks
//
//	2 per partition     tails                 decode, then apply under hub.mu
//	1 per connection    attend, then listen   waits on a small stack, then reads messages of the client
//	0–1 per connection  client.write          encodes private frames, writes
//	1                   describe              what is new in the catalog, for all views
//	1                   sweep                 pings, silence, stalls, for all connections
//	timers              view.tick             frames that had to wait
//	few, short          encoders              snapshots, at most GOMAXPROCS at a time
//
// hub.mu is one lock, not shards, and not a goroutine with a channel: applying an update takes a fraction of
// a microsecond, so one core's worth of hub serves millions of updates a second; a series can be in any
// number of views and a view spans partitions, so shards would have to be locked together; and with a lock,
// subscribing is an ordinary call. Under it: the store, the views, the subscriptions, and the encoding of
// shared frames. Not under it: decoding, snapshots' and private frames' encoding, and anything that can
// wait. client.mu guards one connection's lanes; it may be taken under hub.mu, never the other way round.
//
// gws does the handshake. What comes after it is read here, as in package ingest: wsframe puts messages together, behind a
// guard that ends connections whose frames are not to be taken. A silent client costs a goroutine with a stack of 2 KiB,
// and no buffers; over TLS, where nobody can wait without reading, a stack as deep as its last message and 4 KiB.
// A server's WebSocket frames are not masked, so the bytes that were encoded once, header included, are written to every
// socket as they are.
//
// [Server.Run] owns all of these goroutines, except that connections are accepted by the HTTP server. When
// its context ends it takes no more connections, lets the tails read for a second at most what was written
// before, flushes the views, tells every client that it is draining, lets them read what is left within
// Config.DrainTimeout, and returns when all connections are gone.
package push
