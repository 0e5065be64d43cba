// Package commands carries commands from operators to devices, and the results back.
//
//	POST /v1/commands/{device} ─▶ [weir.messages, key = device] ─▶ every instance's Hub ─▶ who is attached to the device
//	        GET …, ?wait=      ◀─ every instance's Hub ◀─ [weir.messages] ◀─ result  ◀─────────────┘
//
// A command, that it was handed to a device, and its result are records of one partition, so every Hub comes to
// the same view of them, whichever instance the operator asked and whichever the device is connected to. The first
// command of an id counts, and its first result.
//
// # What is promised
//
// A device gets a command at least once while it has not expired: when it comes, and again whenever the device
// attaches before it has answered. The id is there for the device to know a repetition by. After its time to live
// a command is neither delivered nor is its result taken.
//
// # What is bounded
//
// A device has at most MaxPerDevice commands waiting; a Hub holds at most MaxBytes of commands and results. Finished
// ones make way for others, the oldest first, and of a device the last 16 are kept. A command for which there is no
// room is refused when it is given, with 429 and 503. One that comes through another instance all the same is left out here and
// counted (weir_commands_dropped_total).
//
// Deliver functions are called with the Hub locked: they must not block, nor call the Hub.
package commands
