// Package alerts is what people do to alerts: look, acknowledge, comment, assign, and silence.
//
//	POST /v1/alerts/{id}/ack ─▶ [weir.readings, the alert's partition] ─▶ pipeline ─▶ [weir.alerts] ─▶ push ─▶ the answer
//	POST /v1/silences        ─▶ [weir.devices, silence/<id>] and [weir.readings, every partition] ─▶ pipeline
//
// Whoever asks changes nothing here: a command is a record among the readings, so it has an offset, and a replay applies it
// at the same place. The request is answered when the transition it caused is back, which everybody who subscribes to the
// series has seen by then; if that takes longer than the asker waits, with 202.
//
// # Repetitions
//
// Acknowledging what is acknowledged, and assigning to who has it, is answered at once and writes nothing. A comment is new each
// time, unless the request carries the Idempotency-Key of an earlier one, which this process remembers for a while.
// A silence has an id, which the asker may choose; a repetition of the id changes that silence.
//
// # Silences
//
// The list of silences is kept under silence/ in weir.devices, which every process holds in memory. It is written first, so that a
// silence which has not reached every partition is seen, and can be repeated or ended. What silences an alert are the records
// in its own partition.
package alerts
