package mqtt

import (
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"
)

// subscribe answers SUBSCRIBE, and then delivers the commands that are waiting.
func (s *Session) subscribe(pk *packets.Packet) error {
	if code := pk.SubscribeValidate(); code != packets.CodeSuccess {
		return fault{code, "SUBSCRIBE"}
	}
	answer := &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Suback}, PacketID: pk.PacketID, Mods: s.mods()}
	granted := make(map[string]byte)
	for i := range pk.Filters {
		code := s.grant(pk, &pk.Filters[i])
		if code.Code <= 1 {
			device, _ := commandTopic(pk.Filters[i].Filter)
			granted[strings.Clone(device)] = code.Code
		} else if s.version < 5 {
			code = packets.ErrUnspecifiedError // the one failure of 3.1.1
		}
		answer.ReasonCodes = append(answer.ReasonCodes, code.Code)
	}
	if err := s.send(answer); err != nil {
		return err
	}
	for device, qos := range granted {
		s.attach(device, qos)
	}
	return nil
}

// grant is the QoS granted for a filter, or why none is.
func (s *Session) grant(pk *packets.Packet, sub *packets.Subscription) packets.Code {
	device, ok := commandTopic(sub.Filter)
	switch {
	case len(pk.Properties.SubscriptionIdentifier) > 0:
		return packets.ErrSubscriptionIdentifiersNotSupported
	case strings.HasPrefix(sub.Filter, "$share/"):
		return packets.ErrSharedSubscriptionsNotSupported
	case strings.ContainsAny(sub.Filter, "+#"):
		return packets.ErrWildcardSubscriptionsNotSupported
	case !ok || s.opts.Commands == nil || !s.principal.MaySpeakFor(device):
		return packets.ErrNotAuthorized
	case !s.out.has(device) && s.out.subscriptions() >= maxSubscriptions:
		return packets.ErrQuotaExceeded
	case sub.Qos == 0:
		return packets.CodeGrantedQos0
	}
	return packets.CodeGrantedQos1
}

// unsubscribe answers UNSUBSCRIBE.
func (s *Session) unsubscribe(pk *packets.Packet) error {
	if code := pk.UnsubscribeValidate(); code != packets.CodeSuccess {
		return fault{code, "UNSUBSCRIBE"}
	}
	answer := &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Unsuback}, PacketID: pk.PacketID, Mods: s.mods()}
	for i := range pk.Filters {
		code := packets.CodeNoSubscriptionExisted
		if device, ok := commandTopic(pk.Filters[i].Filter); ok && s.out.detach(device) {
			code = packets.CodeSuccess
		}
		answer.ReasonCodes = append(answer.ReasonCodes, code.Code)
	}
	return s.send(answer)
}
