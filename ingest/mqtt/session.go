package mqtt

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"weir/auth"
	"weir/wire"
)

const (
	aliasMaximum     = 16
	maxSubscriptions = 16
	// maxConnect bounds packets before the client is known.
	maxConnect = 64 << 10
)

// Session is one client's use of MQTT.
type Session struct {
	opts *Options
	link Link

	// The reader's. version, client's limits and principal do not change once connected is set.
	in        reader
	version   byte
	client    string
	principal *auth.Principal
	aliases   map[uint16]string
	topicName string // of the last publish
	will      *Frame
	maxPacket uint32 // the client's; 0: none
	quiet     bool   // the client wants no reason strings nor user properties
	forget    func() // leaves Clients

	connected atomic.Bool
	farewell  atomic.Bool // DISCONNECT was sent, or came
	takenOver atomic.Bool

	opened    int64        // µs
	keepAlive atomic.Int64 // 1.5 of the interval, µs; 0: none
	heard     atomic.Int64 // when the last packet came, µs
	began     atomic.Int64 // when the packet that is coming began, µs; 0: none is
	giveUp    atomic.Int64 // when the connection ends because a publish stays unacknowledged, µs; 0: none does
	out       outbox
}

// New makes the Session of a connection that has been opened.
func New(o *Options, link Link) *Session {
	s := &Session{opts: o, link: link, opened: now()}
	s.in = reader{limit: min(maxConnect, o.MaxPacket), reserve: link.Reserve, giveBack: link.GiveBack}
	s.heard.Store(s.opened)
	s.out.init()
	return s
}

// Take reads what has come. The connection has ended when it returns false.
func (s *Session) Take(data []byte) bool {
	if len(data) > 0 && !s.in.begun() && !s.connected.Load() && data[0] != packets.Connect<<4 {
		s.fail(fault{packets.ErrProtocolViolationRequireFirstConnect, "first packet"})
		return false
	}
	heard := s.heard.Load()
	err := s.in.feed(data, s.packet)
	if s.heard.Load() != heard {
		s.heard.Store(now()) // what the packets had to wait for is not the client's silence
	}
	if s.in.begun() {
		s.began.CompareAndSwap(0, now())
	}
	if err == nil {
		return true
	}
	if !errors.Is(err, errEnded) {
		s.fail(err)
	}
	return false
}

// errEnded stops the reading of packets.
var errEnded = fault{packets.CodeDisconnect, "ended"}

// packet takes one.
func (s *Session) packet(first byte, body []byte) error {
	s.heard.Store(now())
	s.began.Store(0)
	kind := first >> 4
	if !s.connected.Load() {
		if kind != packets.Connect {
			return fault{packets.ErrProtocolViolationRequireFirstConnect, "first packet"}
		}
		return s.connect(first, body)
	}
	if kind == packets.Connect {
		return fault{packets.ErrProtocolViolationSecondConnect, "second CONNECT"}
	}
	pk, err := decode(first, body, s.version)
	if err != nil {
		return err
	}
	switch kind {
	case packets.Publish:
		return s.publish(pk)
	case packets.Puback:
		return s.acknowledged(pk)
	case packets.Subscribe:
		return s.subscribe(pk)
	case packets.Unsubscribe:
		return s.unsubscribe(pk)
	case packets.Pingreq:
		return s.send(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingresp}})
	default: // DISCONNECT; decode takes no other
		return s.disconnected(pk)
	}
}

func (s *Session) send(pk *packets.Packet) error {
	pk.ProtocolVersion = s.version
	if !s.link.Send(encode(nil, pk)) {
		return errEnded
	}
	return nil
}

// mods are what the encoder has to heed.
func (s *Session) mods() packets.Mods {
	return packets.Mods{MaxSize: s.maxPacket, DisallowProblemInfo: s.quiet, AllowResponseInfo: true}
}

// fail ends the connection of a client that does what it must not.
func (s *Session) fail(err error) {
	reason := reasonOf(err)
	s.sayFarewell(reason, err.Error())
	s.link.Close(closeOf(reason))
}

// Farewell says why the connection is about to be closed, once.
func (s *Session) Farewell(reason string) {
	code, ok := farewells[reason]
	if !ok {
		code = packets.ErrUnspecifiedError
	}
	s.sayFarewell(code, reason)
}

// sayFarewell sends DISCONNECT; there is none from servers in 3.1.1.
func (s *Session) sayFarewell(code packets.Code, reason string) {
	if !s.connected.Load() || s.farewell.Swap(true) || s.version < 5 {
		return
	}
	s.link.Send(encode(nil, &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ProtocolVersion: s.version, ReasonCode: code.Code, Mods: s.mods(),
		Properties: packets.Properties{ReasonString: reason},
	}))
}

// disconnected takes the client's farewell. With reason 0x04 it wants its will published all the same.
func (s *Session) disconnected(pk *packets.Packet) error {
	s.farewell.Store(true)
	if pk.ReasonCode != packets.CodeDisconnectWillMessage.Code {
		s.will = nil
	}
	s.link.Close(wire.CloseNormal, wire.ReasonNormal)
	return errEnded
}

// Ended is for when the reader has returned, whatever the reason, once. draining tells that the server wanted the end.
func (s *Session) Ended(draining bool) {
	if s.forget != nil {
		s.forget()
	}
	s.out.detachAll()
	s.link.GiveBack()
	if s.will != nil && !draining && !s.takenOver.Load() {
		s.link.Last(s.will)
	}
}

// TakeOver ends the connection because the client has made another.
func (s *Session) TakeOver() {
	s.takenOver.Store(true)
	s.link.End(wire.CloseSessionTakenOver, wire.ReasonSessionTakenOver)
}

// Verdict is how the connection has to end by now, if it has to. It does not block.
func (s *Session) Verdict(now int64) (code uint16, reason string, over bool) {
	began, giveUp, keepAlive := s.began.Load(), s.giveUp.Load(), s.keepAlive.Load()
	switch {
	case !s.connected.Load():
		if now-s.opened > s.opts.ConnectTimeout.Microseconds() {
			return wire.CloseRefused, wire.ReasonAuthTimeout, true
		}
	case giveUp != 0 && now > giveUp, began != 0 && now-began > s.opts.PacketTimeout.Microseconds():
		return wire.CloseNoProgress, wire.ReasonNoProgress, true
	case keepAlive != 0 && now-s.heard.Load() > keepAlive:
		return wire.CloseHeartbeat, wire.ReasonHeartbeat, true
	}
	return 0, "", false
}

func now() int64 { return time.Now().UnixMicro() }
