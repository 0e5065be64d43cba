package push

import "weir/wire"

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
}
