// Package sim plays devices: a made-up fleet, this host, and recorded series, each over WebSocket
// connections of its own to /v1/ingest.
//
//	Source ──Step──▶ Device ──envelopes──▶ server
//	                   ▲  └─ unreceipted frames (≤ credit)
//	                   └──── receipts ─────────┘
//
// A [Source] is one device's readings in time. A [Device] sends them with the SDK of devices
// (weir/sdk/go), which keeps up to 64 frames that have no receipt. While it cannot send more it asks its Source
// for nothing; the Source keeps the last 30 s and counts what it had to forget as skipped. So memory is bounded whatever the server does. A [Swarm]
// runs one Device for each of many sources.
//
// What a Source makes depends on its seed and on when it is started, not on how often it is asked, except
// for [Host], which measures.
package sim
