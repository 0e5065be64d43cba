package push

import (
	"weir/auth"
	"weir/wire"
)

// closeReason is why a connection ended. Each has a counter that exists from the start.
type closeReason uint8

const (
	endedByClient closeReason = iota
	endedLost
	endedDraining
	endedOrigin
	endedNoProgress
	endedOverflow
	endedHeartbeat
	endedProtocol
	endedTooLarge
	endedInternal
	endedUnauthenticated
	endedAuthTimeout
	endedTokenInvalid
	endedTokenExpired
	endedTokenRevoked
	endedForbidden
	endedLimitPrincipal
	endedSubprotocol
)

// closeReasons are what each reason is called in metrics, and for those that the server decides what is
// said to the client.
var closeReasons = [...]struct {
	code   uint16
	reason string
}{
	endedByClient:   {wire.CloseNormal, wire.ReasonNormal},
	endedLost:       {0, "connection_lost"},
	endedDraining:   {wire.CloseDraining, wire.ReasonDraining},
	endedOrigin:     {wire.CloseRefused, wire.ReasonOriginRefused},
	endedNoProgress: {wire.CloseNoProgress, wire.ReasonNoProgress},
	endedOverflow:   {wire.CloseResyncOverflow, wire.ReasonResyncOverflow},
	endedHeartbeat:  {wire.CloseHeartbeat, wire.ReasonHeartbeat},
	endedProtocol:   {wire.CloseProtocolError, wire.ReasonProtocolError},
	endedTooLarge:   {wire.CloseTooLarge, wire.ReasonFrameTooLarge},
	endedInternal:   {wire.CloseInternal, wire.ReasonInternal},

	endedUnauthenticated: {wire.CloseRefused, wire.ReasonUnauthenticated},
	endedAuthTimeout:     {wire.CloseRefused, wire.ReasonAuthTimeout},
	endedTokenInvalid:    {wire.CloseRefused, wire.ReasonTokenInvalid},
	endedTokenExpired:    {wire.CloseTokenExpired, wire.ReasonTokenExpired},
	endedTokenRevoked:    {wire.CloseTokenRevoked, wire.ReasonTokenRevoked},
	endedForbidden:       {wire.CloseRefused, wire.ReasonForbidden},
	endedLimitPrincipal:  {wire.CloseRefused, wire.ReasonLimitPrincipal},
	endedSubprotocol:     {wire.CloseUnsupportedProtocol, wire.ReasonUnsupportedProtocol},
}

// endedFor is the reason that goes with what the gate says. One that was not foreseen counts as unauthenticated.
func endedFor(e *wire.Error) closeReason {
	code, reason := auth.CloseOf(e)
	for r, info := range closeReasons {
		if info.code == code && info.reason == reason {
			return closeReason(r)
		}
	}
	return endedUnauthenticated
}
