// Package nodes keeps the list of Weir's processes in the compacted topic weir.nodes: what each does, where it is
// reached, and how far it is behind on the partitions that it owns.
//
//	pipeline ─▶ Reporter ──every 2 s──▶ [weir.nodes] ──▶ Registry ─▶ ingest (admission), GET /v1/nodes
//	                                   committed offsets ──┘ of partitions that nobody reports
//
// A process is gone when nothing has come from it for 10 s. Its record stays for a while, so that an operator sees
// which one is missing, and is then deleted by whoever notices. A process that stops in order deletes its own. After
// a standstill in which nobody was heard, not even this process itself, the 10 s begin anew.
//
// Of a partition that nobody reports, because its owner has died or none has restored it yet, the Registry asks the
// broker: what the pipeline's group has committed, and how old the first record is that it has not. That is behind
// what is applied by up to a checkpoint's period, so it errs on the careful side.
package nodes
