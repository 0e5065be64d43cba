// Package wire holds every format that leaves or enters a part of Weir, and nothing else: it does no input
// or output of its own.
//
//	device ──frame──▶ FrameDecoder ──▶ telemetry.Batch ──AppendReadingBatch──▶ weir.readings
//	                                                ReadingColumns.Unmarshal ◀──┘
//	pipeline ──AppendUpdateBatch──▶ weir.updates ──DecodeUpdateBatch──▶ push
//	push ──AppendRow, Updates──▶ dashboard          LiveDecoder ◀── Go clients
//
// # Devices
//
// [NewFrameDecoder] makes the decoder of a [Format]: JSON ([Decoder]), SenML, the line protocol, or columns. Each
// works over the bytes of a frame and allocates nothing once it has seen a device's names. What they find goes
// through the same rules (gathering). [Templates] name the device and metric of formats that have neither. A frame that cannot be understood
// yields an [Error]; a reading that cannot be accepted yields a [Rejection] beside the ones that can.
// [Receipt] is the answer.
//
// # Records
//
// The values of Kafka records are protobuf messages (proto/weir/v1, generated code in weirpb), columnar
// where there are many of a kind. The functions here convert between them and package telemetry. Decoding
// checks what the types cannot: equal column lengths, dictionary indexes, the limit of readings per record.
// Bytes from a broken or hostile record give an error, never a panic, and never allocate more than a small
// multiple of their length. Topics and the keys of weir.latest are named here too.
//
// # Live protocol
//
// The messages between push and its clients, {"type": …, "payload": …}, with the one hot part, the rows of
// updates, written by hand. [LiveDecoder] is the other end, for clients written in Go.
//
// # Codes
//
// [Codes] and [CloseCodes] are the only tables of error codes and WebSocket close codes. They and examples
// of every format are written to testdata/golden, which the tests of the TypeScript code read as well.
package wire
