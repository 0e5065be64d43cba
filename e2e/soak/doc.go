// Package soak holds the tests that break everything for minutes and then count. Servers, devices and the network
// between all of them are killed, cut, slowed and held at random; in the end everything is brought back, and what is
// in Kafka is compared with what the devices have written down.
//
//	device process ──proxy──▶ weir serve (ingest) ──proxy──▶ Kafka ◀──proxy── weir serve (pipeline, push)
//	   │  SIGKILL               SIGKILL                                           SIGKILL
//	   ▼
//	journal: each reading before it is handed to Send, each receipt
//
// The pipeline has a soak of its own, without devices: a stream of readings, deletions, plans and commands is written into
// weir.readings while pipelines and the nodes of their Kafka are killed, held and replaced. In the end, and now and then on
// the way, every row, alert and partial is compared with what the sequential model makes of the same records
// (pipeline.Replay), and the model with a count that shares no code with it. `make soak-pipeline`.
//
// Push has one, too: devices count, 1, 2, 3, …, and 500 live clients of sdk/go, 20 of sdk/ts in Node and 10 of server-sent events,
// whose connections are cut and stalled and whose servers are killed or leave, check of every row that it holds exactly the
// numbers after the one known. They talk in rooms, as programs do by POST /v1/publish: each member is told each message once and
// in order, which is what the receipts say; and every transition of an alert in weir.alerts once. So are users that come and
// go, members that come late or back, and whoever is there of what is said to all or to a session. Each has a file with what
// is sent, who is told, and the oracle. `make soak-push`.
//
// `make soak-ingest` and `make soak-overload` run them; both leave their figures in bench/results. A seed decides
// which faults come when; how the processes run beside one another it does not.
package soak
