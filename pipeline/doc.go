// Package pipeline turns readings into updates and alerts: one member of a consumer group, with a graph of
// stages for each partition of weir.readings that it owns, every reading counted exactly once.
//
// # The graph
//
// A partition's graph is in topology.go. Its items are batches (the records of one fetch), never single
// readings. Every stage is a goroutine; what a stage remembers of a series is in a part of the series struct
// that no other stage touches, and what it finds out travels on in the batch.
//
//	kafka.Tail ──▶ fetch ──▶ driver ──▶ source ═ stages ═▶ emit ──▶ kafka.Producer
//	                ▲         │  ▲                          │            │
//	                └─ free ◀─┼──┼──────── batch ◀──────────┤            │
//	                          │  └──────── barrier ◀────────┘            │
//	                          │  └──────── tick wanted ◀─ summarise ◀────┘ acknowledged
//	                          └─▶ persist (a checkpoint is written while the graph goes on)
//
// The driver is the only sender into the graph. Besides batches it sends ticks, which end a flush period, and
// barriers. When a barrier has come out at the end, the graph is empty and its state may be read: that is a
// checkpoint. Checkpoints wait for nothing else, and the graph waits only until they are encoded.
//
// # What is bounded
//
// Config.InFlight batches of about Config.FetchBytes exist per partition; while all are in the graph the
// partition is not fetched. One write to weir.updates and one to weir.alerts is on its way; while it is,
// summaries merge, so a slow broker gets fewer and fuller rows. The producer's buffer is bounded; a full one
// blocks emit, and so the graph. Memory grows with the number of series (gauges weir_pipeline_series and
// weir_pipeline_devices): 2.1 to 2.4 KB a series after its first reading, 2.9 KB with a full window, and about 0.9 KB
// for each function of a window it has, for that is a series, too. Of an idle
// device a stub of about 90 bytes stays, see Idle devices; while another plan comes into force that may concern them, all
// are in memory.
//
// # Exactly once
//
// A partition has one owner at a time (owner.go), made so by the producer epoch of its transactional id and a
// fence record in every topic it writes to. It restores (restore.go) what its predecessor had checkpointed,
// reads back what that had emitted since, and replays the readings after the checkpoint: a record that a
// device's state contains is skipped, a reading that was emitted is applied to the state and left out of the
// summaries. Until the replay has passed everything read back there is no checkpoint. model_test.go checks
// the protocol, and that each rule is needed, on thousands of random histories; exactness_test.go the code,
// on a broker.
//
// So everything a stage decides must follow from the readings alone: not from the clock, not from another
// topic. Only when a summary goes out follows the clock. What has to follow the clock (timers) or a file (the plan)
// becomes a record of weir.readings first (planned.go), and its effect has that record's version. [Replay] is the graph
// without owner and broker: what it makes of a log is what owners must have made of it, however many there were.
//
// # Treatment
//
// What is done with a series is its treatment (treat.go), resolved by decode from the plan in force and handed on with
// each reading, so that stages further on can still be at readings of before. A stage's part of a series knows by which
// settings it was made and begins anew under others. Parts are restored as bytes (frozen) and taken apart when their
// series speaks again.
//
// A series may lead to others (compute.go, derive.go): those are admitted together with it, belong to its device, and
// do not count against what a device may have. Groups over devices are devices of their own; partitions send them
// partials.
//
// A device's state contains all records of the partition up to its applied offset (device.contained): a tick or a plan
// up to there has been heard, and is passed over for that device in a replay.
//
// # Idle devices
//
// A device that was not heard of for Config.EvictAfter, with no timer due and no alert open, is written to weir.state
// once more, whole and in one batch, after a checkpoint; if nothing has come for it by the next one it leaves memory but
// for a stub, which says where that is (evict.go). Its next record, a command to it, a question about it, or a plan that
// may mean something to it, brings it back with one fetch (wake.go), in decode, so that no later stage notices. A new
// owner finds such batches in a first pass over weir.state and leaves them where they are (survey.go), unless something
// newer is known of the device. Nothing that readers see depends on who is in memory, so the owner's clock may decide.
// Compaction on an embedded broker says where it moved the batches; a Kafka broker keeps offsets and what is newest of a
// key. A batch that is gone is counted (weir_pipeline_wakes_lost_total) and the device's series begin anew.
//
// What was not heard of for Config.DropAfter is deleted by a command that its owner writes, like any other.
//
// # Deletion
//
// A device is deleted by a command among its readings (wire.Control): it has an offset, so a replay meets it where
// the first pass did. All rows of before go out, then a record in weir.updates which says that the device's series
// are no more; their alerts end; the next checkpoint writes tombstones to weir.state and weir.latest (bury.go). What
// the device sends afterwards makes series without a past: their first update begins at no version, and ends, as
// versions are offsets, above all that was deleted. The word of a deletion may go out twice, after a crash; readers
// compare its version.
//
// # Faults
//
// A record that cannot be decoded or read from the log, whose device belongs to another partition, or on which a
// stage panics, goes to weir.dead-letters and the partition goes on; nothing of it is left behind. The readings
// of a record that a stage panicked on count as invalid. Of a device that has Config.MaxSeriesPerDevice series,
// readings of further metrics go the same way and the others count. Dead letters are written with the next
// checkpoint: each is there at least once. A panic anywhere else, or a write that fails, ends the owner; the
// group begins a new one after a pause.
//
// An owner refuses to begin, naming the topic, when a topic ends before what was written to it, and when what its
// predecessor emitted since the last checkpoint was deleted: it could go out twice (Config.AcceptLoss). It refuses,
// too, when the plan in force is not one that it understands. What changed of a device is one batch of weir.state; of a
// device with more than a broker takes, the largest parts are left out (oversize.go). Readings
// that were deleted unread are counted and passed over, for nothing brings them back.
package pipeline
