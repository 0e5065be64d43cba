// Package deadletter lets an operator see what was refused, mend it and send it again.
//
//	ingest, pipeline ─▶ weir.dead-letters ─▶ Store ─▶ list, show
//	                         ▲                  │
//	                         └── resolutions ◀──┴─ replay ─▶ weir.readings
//
// A letter is a record of weir.dead-letters, its id the record's partition and offset. Nothing changes it; what
// became of it is another record in the same partition, a resolution, which every instance follows.
//
// # Replaying once
//
// A replay stores what the letter's frame had refused, and only that, under a session and seq of its own, which follow
// from those of the frame, or from the letter's partition and offset, and then writes the resolution. So the pipeline
// takes a repeated one for a duplicate, and after the resolution it is refused. What is left: a crash between the
// two, followed by more than 1,024 replays for the same device before the letter is replayed again; and two
// processes that replay a letter of the backlog at once, which nobody but a reader of the backlog can tell.
package deadletter
