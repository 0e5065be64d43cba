package mqtt

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"weir/commands"
	"weir/wire"
)

// publish takes what the client publishes. It returns when there is a place for the next.
func (s *Session) publish(pk *packets.Packet) error {
	if pk.FixedHeader.Qos > 1 {
		return fault{packets.ErrQosNotSupported, "publish with QoS 2"}
	}
	if code := pk.PublishValidate(aliasMaximum); code != packets.CodeSuccess {
		return fault{code, "PUBLISH"}
	}
	topic, err := s.topic(pk)
	if err != nil {
		return err
	}
	tag := uint64(pk.PacketID) // 0 with QoS 0: no answer is wanted
	if device, id, ok := resultTopic(topic); ok && s.opts.Commands != nil {
		return s.result(tag, device, id, pk.Payload)
	}
	f := frameOf(topic, pk)
	if !s.link.Submit(&f, tag) {
		return errEnded
	}
	return nil
}

// topic resolves an alias, or learns one. What it returns may be kept, as the packet's own name may not.
func (s *Session) topic(pk *packets.Packet) (string, error) {
	alias := pk.Properties.TopicAlias
	if pk.TopicName != s.topicName && pk.TopicName != "" {
		s.topicName = strings.Clone(pk.TopicName)
	}
	if alias == 0 {
		return s.topicName, nil
	}
	if pk.TopicName == "" {
		topic, ok := s.aliases[alias]
		if !ok {
			return "", fault{packets.ErrTopicAliasInvalid, "topic alias without a topic"}
		}
		return topic, nil
	}
	if s.aliases == nil {
		s.aliases = make(map[uint16]string)
	}
	s.aliases[alias] = s.topicName
	return s.topicName, nil
}

// result stores what a device answers to a command.
func (s *Session) result(tag uint64, device, id string, payload []byte) error {
	_, r, err := commands.DecodeResult(payload)
	start := func(ctx context.Context, done func(*wire.Error)) {
		switch {
		case !s.principal.MaySpeakFor(device):
			done(wire.NewError(wire.CodeForbidden, "topic"))
		case err != nil:
			done(wire.AsError(err))
		default:
			s.opts.Commands.Result(ctx, device, id, r, func(err error) {
				if err != nil {
					done(wire.AsError(err))
					return
				}
				done(nil)
			})
		}
	}
	if !s.link.Defer(tag, start) {
		return errEnded
	}
	return nil
}

// unackedGrace is how long a client of 3.1.1 keeps its connection after a publish that it has to send again: it does that
// only when it connects anew.
const unackedGrace = time.Second

// Answer appends the PUBACK that a receipt stands for. It is called in the order of the publishes.
func (s *Session) Answer(dst []byte, tag uint64, r *wire.Receipt) []byte {
	if tag == 0 {
		return dst
	}
	id := uint16(tag)
	code := resultOf(r)
	if s.version < 5 {
		if r.Err != nil && again(r.Err.Code) {
			wait := max(unackedGrace, time.Duration(r.RetryAfter)*time.Millisecond)
			s.giveUp.CompareAndSwap(0, now()+wait.Microseconds())
			return dst
		}
		return append(dst, packets.Puback<<4, 2, byte(id>>8), byte(id))
	}
	if code == 0 && len(r.Rejected) == 0 && r.Duplicate == 0 {
		return append(dst, packets.Puback<<4, 2, byte(id>>8), byte(id))
	}
	return encode(dst, &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Puback}, ProtocolVersion: 5, PacketID: id, ReasonCode: code,
		Properties: explain(r), Mods: s.mods()})
}

// resultOf is the reason code of a PUBACK.
func resultOf(r *wire.Receipt) byte {
	switch {
	case r.Err == nil && (len(r.Rejected) == 0 || r.Accepted+r.Duplicate+r.Late > 0):
		return packets.CodeSuccess.Code
	case r.Err == nil:
		for i := range r.Rejected {
			if r.Rejected[i].Code != wire.CodeForbidden {
				return packets.ErrPayloadFormatInvalid.Code
			}
		}
		return packets.ErrNotAuthorized.Code
	case r.Err.Code == wire.CodeForbidden:
		return packets.ErrNotAuthorized.Code
	case r.Err.Path == "topic":
		return packets.ErrTopicNameInvalid.Code
	case strings.HasPrefix(r.Err.Code, "limit_"), r.Err.Code == wire.CodeLagging, r.Err.Code == wire.CodeOverloaded:
		return packets.ErrQuotaExceeded.Code
	case r.Err.Code == wire.CodeNotStored, r.Err.Code == wire.CodeCommandUnknown, r.Err.Code == wire.CodeCommandExpired:
		return packets.ErrImplementationSpecificError.Code
	}
	return packets.ErrPayloadFormatInvalid.Code
}

// again reports whether what was refused for a reason is to be sent again as it is.
func again(code string) bool {
	switch code {
	case wire.CodeNotStored, wire.CodeOverloaded, wire.CodeLagging:
		return true
	}
	return strings.HasPrefix(code, "limit_")
}

// explain puts into properties what a receipt says.
func explain(r *wire.Receipt) packets.Properties {
	var p packets.Properties
	switch {
	case r.Err != nil:
		p.ReasonString = sentence(r.Err.Code, r.Err.Path)
	case len(r.Rejected) > 0:
		p.ReasonString = sentence(r.Rejected[0].Code, r.Rejected[0].Path)
	}
	add := func(key string, n int64) {
		p.User = append(p.User, packets.UserProperty{Key: key, Val: strconv.FormatInt(n, 10)})
	}
	add("accepted", int64(r.Accepted))
	add("duplicate", int64(r.Duplicate))
	add("rejected", int64(len(r.Rejected)))
	if r.RetryAfter > 0 {
		add("retry_after_ms", r.RetryAfter)
	}
	return p
}

func sentence(code, path string) string {
	if path == "" {
		return code
	}
	return code + " at " + path
}
