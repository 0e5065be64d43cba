// Package sim plays devices: a made-up fleet, this host, and recorded series, each over WebSocket
// connections of its own to /v1/ingest.
//
//	Source ──Step──▶ Device ──envelopes──▶ server
//	                   ▲  └─ unreceipted frames (≤ credit)
//	                   └──── receipts ─────────┘
//
// A [Source] is one device's readings in time. A [Device] sends them as a careful device would: it numbers
// frames within a session, keeps each until it is receipted, sends no more than the server's credit
// allows, and after a lost connection dials again with exponential back-off and full jitter and resends
// what has no receipt. While it cannot send it asks its Source for nothing; the Source keeps the last 30 s
// and counts what it had to forget as skipped. So memory is bounded whatever the server does. A [Swarm]
// runs one Device for each of many sources.
//
// What a Source makes depends on its seed and on when it is started, not on how often it is asked, except
// for [Host], which measures.
package sim
