// Package auth decides who may use Weir's edges. Until identity arrives it holds one rule: which web
// pages may open a WebSocket (OriginPolicy).
package auth
