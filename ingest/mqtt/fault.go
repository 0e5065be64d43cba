package mqtt

import (
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"

	"weir/wire"
)

// fault is what a client does that ends its connection.
type fault struct {
	code   packets.Code
	detail string
}

func (f fault) Error() string { return f.code.Reason + ": " + f.detail }

// reasonOf is the MQTT reason code for an error of reading packets.
func reasonOf(err error) packets.Code {
	var f fault
	if errors.As(err, &f) {
		return f.code
	}
	var c packets.Code
	if errors.As(err, &c) {
		return c
	}
	return packets.ErrMalformedPacket
}

// closeOf is how the WebSocket ends for a reason code of this side's DISCONNECT.
func closeOf(code packets.Code) (uint16, string) {
	switch code.Code {
	case packets.ErrPacketTooLarge.Code:
		return wire.CloseTooLarge, wire.ReasonFrameTooLarge
	case packets.ErrServerBusy.Code, packets.ErrQuotaExceeded.Code:
		return wire.CloseNoProgress, wire.ReasonNoProgress
	case packets.ErrNotAuthorized.Code:
		return wire.CloseRefused, wire.ReasonForbidden
	}
	return wire.CloseProtocolError, wire.ReasonProtocolError
}

// farewells are the reason codes of DISCONNECT for the reasons with which connections are closed.
var farewells = map[string]packets.Code{
	wire.ReasonNormal:           packets.CodeDisconnect,
	wire.ReasonDraining:         packets.ErrServerShuttingDown,
	wire.ReasonServerRestart:    packets.ErrServerShuttingDown,
	wire.ReasonHeartbeat:        packets.ErrKeepAliveTimeout,
	wire.ReasonAuthTimeout:      packets.ErrMaxConnectTime,
	wire.ReasonNoProgress:       packets.ErrQuotaExceeded,
	wire.ReasonFrameTooLarge:    packets.ErrPacketTooLarge,
	wire.ReasonProtocolError:    packets.ErrProtocolViolation,
	wire.ReasonUnauthenticated:  packets.ErrNotAuthorized,
	wire.ReasonForbidden:        packets.ErrNotAuthorized,
	wire.ReasonTokenInvalid:     packets.ErrNotAuthorized,
	wire.ReasonTokenExpired:     packets.ErrNotAuthorized,
	wire.ReasonTokenRevoked:     packets.ErrNotAuthorized,
	wire.ReasonLimitAddress:     packets.ErrQuotaExceeded,
	wire.ReasonLimitPrincipal:   packets.ErrQuotaExceeded,
	wire.ReasonSessionTakenOver: packets.ErrSessionTakenOver,
}
