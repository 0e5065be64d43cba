// Package mqtt speaks MQTT 3.1.1 and 5 to one device: a Session takes the bytes that come, as they come, and a
// Link, which is the connection, stores what is published and sends what is answered.
//
//	socket ─▶ Link ─▶ Session.Take ─▶ packets ─▶ Link.Submit ─▶ … acknowledged by Kafka
//	socket ◀─ Link ◀─ Session.Answer (PUBACK), Session.Due (commands) ◀───┘
//
// It is not a broker. What is published goes to Weir's readings; nothing is retained, no session outlives its
// connection, and all that can be subscribed to is a device's own commands. docs/protocol/mqtt.md says what a client
// may rely on.
//
// # Who calls what
//
// Take and Ended are the reader's, Answer and Due the writer's; they may be called at the same time. Verdict, Farewell and
// TakeOver are anybody's. Link's methods are called by the reader, but for Wake and End, which do not block.
//
// # What is bounded
//
// The packets that have begun and are not complete (Options.MaxPacket each; beyond 64 KiB their bytes are
// reserved with the Link), the commands that wait for one client (maxQueued; more end the connection, and come again on the next), its subscriptions
// (maxSubscriptions), and its topic aliases (aliasMaximum). How many publishes may be unacknowledged is the Link's to bound:
// Submit blocks, nothing is read meanwhile.
package mqtt
