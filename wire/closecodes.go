package wire

import "slices"

// WebSocket close codes. 4000–4099 ask a client to reconnect and subscribe anew, 4100–4199 to get a new token
// first, 4200–4299 not to come back.
const (
	CloseNormal    uint16 = 1000
	CloseDraining  uint16 = 1001
	CloseMalformed uint16 = 1002
	CloseNotText   uint16 = 1007
	CloseRefused   uint16 = 1008
	CloseTooLarge  uint16 = 1009
	CloseInternal  uint16 = 1011

	CloseNoProgress     uint16 = 4000
	CloseResyncOverflow uint16 = 4001
	CloseServerRestart  uint16 = 4002
	CloseHeartbeat      uint16 = 4003

	CloseTokenExpired uint16 = 4100
	CloseTokenRevoked uint16 = 4101

	CloseProtocolError       uint16 = 4200
	CloseUnsupportedProtocol uint16 = 4201
	CloseSessionTakenOver    uint16 = 4202
)

// Reasons that go with the close codes. A code may have several.
const (
	ReasonNormal              = "normal"
	ReasonDraining            = "draining"
	ReasonOriginRefused       = "origin_refused"
	ReasonUnauthenticated     = CodeUnauthenticated
	ReasonAuthTimeout         = CodeAuthTimeout
	ReasonTokenInvalid        = CodeTokenInvalid
	ReasonForbidden           = CodeForbidden
	ReasonLimitAddress        = CodeLimitAddress
	ReasonLimitPrincipal      = CodeLimitPrincipal
	ReasonTokenRevoked        = CodeTokenRevoked
	ReasonTooManyConns        = "connections_too_many"
	ReasonFrameTooLarge       = "frame_too_large"
	ReasonInternal            = "internal"
	ReasonNoProgress          = "slow_no_progress"
	ReasonResyncOverflow      = "resync_overflow"
	ReasonServerRestart       = "server_restart"
	ReasonHeartbeat           = "heartbeat_missed"
	ReasonTokenExpired        = "token_expired"
	ReasonProtocolError       = "protocol_error"
	ReasonUnsupportedProtocol = "unsupported_protocol"
	ReasonSessionTakenOver    = "session_taken_over"
)

// What a client does after a close.
const (
	// ActionNone: nothing; the end was wanted.
	ActionNone = "none"
	// ActionReconnect: connect again with back-off, and resume.
	ActionReconnect = "reconnect"
	// ActionToken: get a new token, then connect again.
	ActionToken = "token"
	// ActionStop: do not come back without a change.
	ActionStop = "stop"
)

// CloseInfo describes a close code with one of its reasons.
type CloseInfo struct {
	Code    uint16 `json:"code"`
	Reason  string `json:"reason"`
	Action  string `json:"action"`
	Meaning string `json:"meaning"`
}

// CloseCodes lists all close codes and reasons.
func CloseCodes() []CloseInfo { return slices.Clone(closeCodes) }

var closeCodes = []CloseInfo{
	{CloseNormal, ReasonNormal, ActionNone, "the connection has served its purpose"},
	{CloseDraining, ReasonDraining, ActionReconnect, "the server is stopping; another one, or its successor, takes over"},
	{CloseMalformed, ReasonProtocolError, ActionStop, "the client's frames are not WebSocket's"},
	{CloseNotText, ReasonProtocolError, ActionStop, "the reason in the client's close frame is not UTF-8"},
	{CloseRefused, ReasonUnauthenticated, ActionToken, "credentials are needed"},
	{CloseRefused, ReasonAuthTimeout, ActionToken, "no credentials came in time"},
	{CloseRefused, ReasonTokenInvalid, ActionToken, "the credentials are not valid"},
	{CloseRefused, ReasonForbidden, ActionStop, "the credentials do not permit this"},
	{CloseRefused, ReasonLimitAddress, ActionReconnect, "too many connections from this address"},
	{CloseRefused, ReasonLimitPrincipal, ActionReconnect, "too many connections with these credentials"},
	{CloseRefused, ReasonOriginRefused, ActionStop, "a page of this origin may not connect"},
	{CloseRefused, ReasonTooManyConns, ActionReconnect, "too many connections"},
	{CloseTooLarge, ReasonFrameTooLarge, ActionStop, "a frame was larger than allowed"},
	{CloseInternal, ReasonInternal, ActionReconnect, "the server failed"},
	{CloseNoProgress, ReasonNoProgress, ActionReconnect, "the client took or sent nothing complete for too long"},
	{CloseResyncOverflow, ReasonResyncOverflow, ActionReconnect, "more alerts were due than may wait for the client"},
	{CloseServerRestart, ReasonServerRestart, ActionReconnect, "the server restarts"},
	{CloseHeartbeat, ReasonHeartbeat, ActionReconnect, "the client did not answer pings"},
	{CloseTokenExpired, ReasonTokenExpired, ActionToken, "the token has expired"},
	{CloseTokenRevoked, ReasonTokenRevoked, ActionToken, "the credentials have been revoked"},
	{CloseProtocolError, ReasonProtocolError, ActionStop, "the client broke the protocol repeatedly"},
	{CloseUnsupportedProtocol, ReasonUnsupportedProtocol, ActionStop, "none of the client's subprotocols is spoken here"},
	{CloseSessionTakenOver, ReasonSessionTakenOver, ActionStop, "the MQTT client has connected again under its id"},
}
