// Package kafka carries bytes through Kafka: topics, an idempotent producer, tails, groups with sticky
// partitions, and the fence that keeps a partition's former owner from writing. It knows no domain type.
// It stands on kafka-go, except where that has a cost per record (fetching) or per partition (offsets):
// there conn.go speaks the protocol itself.
//
// # Producer
//
//	Produce ──copy──▶ open batch ─▶ batches ─▶ sender ──one request──▶ leader of the partition
//	   │              └───────── queue: one per topic-partition ─────────┘
//	   └ blocks while accepted and unacknowledged bytes reach MaxBufferedBytes
//
// Callers encode into the last batch of the partition's queue under its lock; one goroutine per partition
// that was ever written to sends the first. It has one request under way at a time, so batches arrive in
// order and their sequence numbers have no holes. While a request is under way, callers fill the next
// batch: the busier, the larger the batches. Linger is leading-edge: a partition that was quiet sends at
// once, then at most once per Linger unless a batch is full. A call's records are never split.
//
// A request without an answer is sent again with the same sequence, by which the broker tells a retry from
// a new batch: no duplicate, no reordering. When the outcome cannot be learned (DeliveryTimeout, or a broker
// that has forgotten the producer in between) the calls fail with ErrInDoubt, and only then does the
// partition go on under another identity. If nothing is in doubt it does so silently. An answer leaves the
// outcome open too, unless it is one of the few that a broker gives before it appends.
//
// With a TransactionalID a later producer of the same id fences this one. Brokers enforce that per
// partition, and from the first record on that the successor has written there: hence FenceRecord.
// ErrFenced is permanent. No transactions are opened.
//
// # When queues are full
//
//   - Producer: Produce blocks until there is room or ctx ends. Nothing is ever dropped: every accepted call
//     is answered once, with an error if the broker cannot be had within about DeliveryTimeout.
//   - Tail: there is no queue. What is not asked for by Next stays at the broker; not calling Next is how
//     to push back. A reader overtaken by retention gets *ErrOffsetOutOfRange and decides where to go on, one
//     that comes to a damaged batch *CorruptError, and goes past it with SeekTo.
//   - Group: no queue; Own reads with a Tail.
//   - CopyForward holds the keys of the part it rewrites; the caller bounds that by how often it calls.
//
// # Concurrency
//
// Client and Producer are safe for concurrent use. done functions run on the partition's sender goroutine,
// in order of the calls; they must not block, and must not call Produce, which may. A Tail belongs to one
// goroutine, except for Close; its records are valid until the next Next. Group.Run owns the goroutines
// that call Own and returns when they have ended. Close of a Client comes after that of all made from it.
//
// # Groups
//
// Kafka's eager protocol stops every member at every change. Here members tell the group what they run
// (balancer.go), keep that over generations, and a partition that moves is first given to nobody: its
// runner's ctx ends, Own returns (or ReleaseTimeout passes), and the runner joins again without claiming
// it. So two members do not run a partition at the same time, and all others are not interrupted, also not
// while the group waits for a member that is silent. A member that cannot reach the coordinator for about a
// session stops by itself. For what is left (a process
// that was paused, an Own that does not return) there is the fence.
package kafka
