// Package ingest takes readings from devices, over WebSocket (GET /v1/ingest) and HTTP (POST
// /v1/readings), and answers each frame with a receipt once Kafka has acknowledged all of it.
//
//	         reader                                     producer's goroutines      writer
//	socket ─▶ decode ─▶ take a place in the ring ─▶ Produce ─▶ … acknowledged ─▶ ready ─▶ receipts ─▶ socket
//	              ▲            (credit)               (buffer)                             │
//	              └──────────────── waits when either is full ◀──── place is free again ───┘
//
// A connection has a reader while its client speaks, and a writer while there is something to be written or frames
// keep coming. One that is silent has a goroutine with a shallow stack, which waits for the client to speak again.
//
// # What is bounded, and what happens when it is full
//
// A connection holds at most Credit frames without a receipt written, and at most receiptBytes of
// rejections; the producer's buffer is bounded by its own options. When any of these is full the reader
// waits, so the socket is not read and TCP slows the device down: nothing is dropped. Idle deadlines are
// suspended meanwhile. A device that does not read its receipts stops being read in the same way, and is
// closed when a write has made no progress for WriteTimeout. Connections beyond MaxConnections and requests
// beyond MaxRequests are refused with 429 and 503 before they cost anything.
//
// A message beyond freeBytes costs its length from the moment its header is there. All that are on their way or
// being dealt with have MaxPendingBytes together: when those are taken, a socket is not read beyond the header,
// and a request is answered 503. A connection that takes longer than MessageTimeout over one message is closed,
// so that its room comes free; smaller messages need none and go on meanwhile.
//
// What is compressed costs the largest message as soon as more than freeBytes come out of it, and is refused when it
// would be longer.
//
// # Who speaks
//
// A connection begins with what the gate says to its request, or as a stranger, who has AuthTimeout to send
// credentials, messages of strangerBytes at most, and no part of MaxPendingBytes; there are MaxUnauthenticated of them. The
// reader signs in, and again when credentials are renewed; the gate's watch ends the connection from outside: the writer
// closes it, whatever the reader is about. An address and a principal have bounded numbers of connections.
//
// Messages with a type are not frames: the reader answers them at once. Others have messages for a device by post, up to
// outboxBytes.
//
// # What a receipt says
//
// A frame's receipt is written after every record made of the frame is acknowledged: the readings of each
// of its devices, and the dead letter that keeps a frame with something refused in it. Receipts leave in the
// order of the frames; those of a device that keeps sending are gathered for ReceiptDelay into one write, while
// one that waits for its receipt gets it at once. When Kafka does not acknowledge within the producer's time, the receipt carries the
// error "not_stored" and nothing of the frame counts as accepted; part of it may have been stored, which a
// session and seq make harmless.
//
// # What is taken, and what is not for now
//
// Between decoding and producing, a frame passes, in this order: permission (readings of devices that its sender may
// not write are rejected), de-duplication (what this instance knows to be stored), the lag of the pipeline on the
// partitions concerned, the backlog's room, whether the same frame is just being stored there, and the limits of rates.
// All but the first two take a frame as a whole or refuse it with a time to wait; a refused frame has cost nothing and
// is no dead letter. Readings of the past take a lane of their own, into weir.backlog, that neither what is live nor the pipeline waits for.
//
// Credit falls at once with the lag and with the producer's buffer, and grows back in time. It is what the receipt
// says, and how many places of the ring may be taken.
//
// A duplicate in a receipt is what this instance knows: it saw the same (device, session, seq) acknowledged.
// Everything else is stored, and the pipeline decides. Nobody decides for the backlog, so there a frame that comes
// again while it is being stored is refused until that has ended.
package ingest
