// Package bridge carries records of any topic into Weir: as messages to rooms, users and everybody, as commands to devices,
// and as readings of series.
//
//	any topic ─group─▶ place ─ filter, target, expressions ─▶ [weir.messages]  rooms, commands
//	                     │                                 ├─▶ [weir.readings]  (too old: [weir.backlog])
//	                     └── commit ◀── acknowledged ◀──── └─▶ [weir.dead-letters]
//
// A [Plan] is a file of bridges, read by [Parse], which tells all faults at once. A [Bridge] makes of a record an [Outcome]
// ([Bridge.Apply]), which depends on the record alone. A [Server] runs the bridges of a plan and follows another one
// ([Server.Apply]): those that have changed go on where they are.
//
// # Once
//
// A place evaluates at most Config.InFlight records, waits until Kafka has acknowledged what came of them, and commits. So
// a record is carried at least once. What it becomes has an id made of its place, or a session and a number, by which those
// who read the log drop a repetition as they drop what clients send twice. A record of which nothing can be made is a dead letter,
// and never stops its topic.
//
// # When something is full or missing
//
// Nothing is queued: a place fetches when it has committed, so what is not carried stays in its topic. It waits while the
// producer's buffer is full, and with a reading while the pipeline is behind (Options.Held). A topic that is not there is looked
// for again and again; a coordinator that refuses is asked again. No bridge ends the process.
//
// # Goroutines
//
// Server.Run owns one goroutine per bridge (runner), and each of these a member of its group, whose calls of own are one
// goroutine per partition (place); a further one looks whether the topic has other partitions. Run returns when all have ended.
// runner.mu guards what is told of the partitions; place.mu the acknowledgements that are waited for, which come from the
// producer's goroutines.
package bridge
