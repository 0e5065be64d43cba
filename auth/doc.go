// Package auth says who speaks at Weir's edges and what they may do there.
//
//	request, first message ──► Keeper ──► Principal ──► Router (may it use this route?)
//	                             │                 └──► stage  (may it touch this path?)
//	        API keys ◄── weir.auth ──► revocations, refresh families
//	        tokens   ◄── signing key, configured keys, JWKS
//
// Keeper is the Gate of a server with credentials, Open that of one without. A Router is an http.ServeMux of which
// every route says who may use it. OriginPolicy says which web pages may connect.
//
// What must be the same everywhere (keys, revocations, refresh families) lives in weir.auth, which each process
// follows: a revocation ends live connections of all processes within the time a record takes to them. Secrets
// never lie in weir.auth: of an API key it holds an HMAC.
//
// Verifying an API key or one of Weir's own tokens takes microseconds and no network. Watched principals wait in one
// heap with one timer. The only queues are bounded maps: of addresses with failed attempts, and of one-time codes.
package auth
