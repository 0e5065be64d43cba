package mqtt

import (
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"weir/auth"
	"weir/wire"
)

// connect answers CONNECT.
func (s *Session) connect(first byte, body []byte) error {
	version := versionOf(body)
	if version != 3 && version != 4 && version != 5 {
		s.version = min(max(version, 4), 5)
		return s.refuse(packets.ErrUnsupportedProtocolVersion, "MQTT 3.1.1 and 5 are spoken here")
	}
	s.version = version
	pk, err := decode(first, body, version)
	if err != nil {
		return s.refuse(reasonOf(err), err.Error())
	}
	if code, detail := check(pk); code.Code != 0 {
		return s.refuse(code, detail)
	}
	principal, err := s.link.Authenticate(credential(&pk.Connect))
	if err != nil {
		return s.refuseFor(err)
	}
	if refusal := s.link.Admit(principal); refusal != nil {
		return s.refuseFor(refusal)
	}
	s.principal = principal
	return s.accept(pk)
}

// versionOf is the protocol level in a CONNECT packet, 0 if it is not there.
func versionOf(body []byte) byte {
	if len(body) < 2 {
		return 0
	}
	at := 2 + int(body[0])<<8 + int(body[1])
	if at >= len(body) {
		return 0
	}
	return body[at]
}

// check refuses what breaks the protocol, or asks for what is not offered. The zero code is consent.
func check(pk *packets.Packet) (packets.Code, string) {
	c := &pk.Connect
	// Empty passwords and wills are legal, but not to the package.
	c.PasswordFlag = len(c.Password) > 0
	valid := *pk
	if c.WillFlag && len(c.WillPayload) == 0 {
		valid.Connect.WillPayload = []byte{0}
	}
	switch code := valid.ConnectValidate(); {
	case code != packets.CodeSuccess:
		return code, "CONNECT"
	case pk.Properties.AuthenticationMethod != "":
		return packets.ErrBadAuthenticationMethod, "credentials are a password"
	case c.ClientIdentifier == "" && !c.Clean && pk.ProtocolVersion < 5:
		return packets.ErrClientIdentifierNotValid, "an empty client identifier needs a clean session"
	case pk.ProtocolVersion == 5 && c.WillFlag && c.WillRetain:
		return packets.ErrRetainNotSupported, "will"
	case c.WillFlag && c.WillQos > 1 && pk.ProtocolVersion == 5:
		return packets.ErrQosNotSupported, "will"
	}
	return packets.Code{}, ""
}

// credential is the password, or the user name of a client that sends no password.
func credential(c *packets.ConnectParams) string {
	if len(c.Password) > 0 {
		return string(c.Password)
	}
	return string(c.Username)
}

// accept begins the session.
func (s *Session) accept(pk *packets.Packet) error {
	c, p := &pk.Connect, &pk.Properties
	answer := packets.Properties{
		SessionExpiryIntervalFlag: true, ReceiveMaximum: uint16(min(s.opts.ReceiveMaximum, 65535)), MaximumQos: 1, MaximumQosFlag: true,
		RetainAvailableFlag: true, MaximumPacketSize: uint32(s.opts.MaxPacket), TopicAliasMaximum: aliasMaximum,
		WildcardSubAvailableFlag: true, SubIDAvailableFlag: true, SharedSubAvailableFlag: true,
	}
	s.client = strings.Clone(c.ClientIdentifier)
	if s.client == "" {
		s.client = rand.Text()
		answer.AssignedClientID = s.client
	}
	keepAlive := time.Duration(c.Keepalive) * time.Second
	if s.version == 5 {
		if keepAlive == 0 || keepAlive > s.opts.KeepAlive {
			keepAlive = s.opts.KeepAlive
			answer.ServerKeepAlive, answer.ServerKeepAliveFlag = uint16(max(1, keepAlive/time.Second)), true
		}
		s.maxPacket = p.MaximumPacketSize
		s.quiet = p.RequestProblemInfoFlag && p.RequestProblemInfo == 0
		s.out.limit(p.ReceiveMaximum)
	}
	s.keepAlive.Store((keepAlive * 3 / 2).Microseconds())
	s.in.limit = s.opts.MaxPacket
	s.will = willOf(c)
	s.forget = s.opts.Clients.enter(s)
	s.connected.Store(true)
	return s.send(&packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connack}, Properties: answer, Mods: s.mods()})
}

// willOf keeps the last will beyond the packet.
func willOf(c *packets.ConnectParams) *Frame {
	if !c.WillFlag || len(c.WillPayload) == 0 {
		return nil
	}
	f := frameOf(strings.Clone(c.WillTopic), &packets.Packet{
		Payload: append([]byte(nil), c.WillPayload...),
		Properties: packets.Properties{
			ContentType: strings.Clone(c.WillProperties.ContentType), PayloadFormat: c.WillProperties.PayloadFormat, User: c.WillProperties.User},
	})
	return &f
}

// refuseFor turns a refusal of the gate, or a limit, into a CONNACK.
func (s *Session) refuseFor(err error) error {
	e := auth.Refusal(err)
	code := packets.ErrBadUsernameOrPassword
	switch {
	case errors.Is(err, auth.ErrNoCredentials), e.Code == wire.CodeUnauthenticated, e.Code == wire.CodeForbidden:
		code = packets.ErrNotAuthorized
	case e.Code == wire.CodeDraining:
		code = packets.ErrServerShuttingDown
	case e.Code == wire.CodeInternal, e.Code == wire.CodeNotReady, e.Code == wire.CodeOverloaded:
		code = packets.ErrServerUnavailable
	case wire.StatusOf(e.Code) == 429:
		code = packets.ErrQuotaExceeded
	}
	return s.refuse(code, e.Code)
}

// returnCodes are those of CONNACK in 3.1.1, by the reason code of 5. Others have none there: the connection is closed.
var returnCodes = map[byte]byte{
	packets.ErrUnsupportedProtocolVersion.Code: 1,
	packets.ErrClientIdentifierNotValid.Code:   2,
	packets.ErrServerUnavailable.Code:          3,
	packets.ErrServerShuttingDown.Code:         3,
	packets.ErrQuotaExceeded.Code:              3,
	packets.ErrBadUsernameOrPassword.Code:      4,
	packets.ErrNotAuthorized.Code:              5,
}

// refuse answers CONNECT with a reason, and ends the connection.
func (s *Session) refuse(code packets.Code, detail string) error {
	answer := &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connack}, ReasonCode: code.Code, Properties: packets.Properties{ReasonString: detail}}
	if s.version < 5 {
		answer.ReasonCode = returnCodes[code.Code]
	}
	if answer.ReasonCode != 0 {
		_ = s.send(answer)
	}
	switch code.Code {
	case packets.ErrBadUsernameOrPassword.Code, packets.ErrNotAuthorized.Code:
		s.link.Close(wire.CloseRefused, wire.ReasonUnauthenticated)
	case packets.ErrServerShuttingDown.Code, packets.ErrServerUnavailable.Code:
		s.link.Close(wire.CloseDraining, wire.ReasonDraining)
	case packets.ErrQuotaExceeded.Code:
		s.link.Close(wire.CloseRefused, wire.ReasonLimitPrincipal)
	default:
		s.link.Close(wire.CloseProtocolError, wire.ReasonProtocolError)
	}
	return errEnded
}
