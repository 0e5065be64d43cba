package mqtt

import (
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"weir/commands"
	"weir/wire"
)

const (
	// maxQueued is how many commands may wait for one client.
	maxQueued = 1024
	// maxUnacked is how many of them it is sent without a PUBACK, if it takes that many.
	maxUnacked = 16
)

// outbox holds the commands for one client.
type outbox struct {
	mu       sync.Mutex
	subs     map[string]*subscription // by device
	queue    []delivery
	unacked  map[uint16]delivery
	receives int // how many unacknowledged ones the client takes
	lastID   uint16
	full     bool
}

type subscription struct {
	qos    byte
	detach func()
}

type delivery struct {
	command *commands.Command
	qos     byte
}

func (o *outbox) init() {
	o.subs, o.unacked, o.receives = make(map[string]*subscription), make(map[uint16]delivery), maxUnacked
}

// limit heeds the client's Receive Maximum; 0: it has not said.
func (o *outbox) limit(receiveMaximum uint16) {
	if receiveMaximum > 0 {
		o.receives = min(o.receives, int(receiveMaximum))
	}
}

func (o *outbox) has(device string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.subs[device] != nil
}

func (o *outbox) subscriptions() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.subs)
}

// attach begins a subscription, or begins it anew: what is waiting is delivered again. It is called without the
// lock, as Commands calls deliver under its own.
func (s *Session) attach(device string, qos byte) {
	s.out.detach(device)
	sub := &subscription{qos: qos}
	s.out.mu.Lock()
	s.out.subs[device] = sub
	s.out.mu.Unlock()
	detach := s.opts.Commands.Attach(device, func(c *commands.Command) bool {
		s.deliver(c, qos)
		return false // until it is acknowledged, or written
	})
	s.out.mu.Lock()
	sub.detach = detach
	s.out.mu.Unlock()
}

// detach ends a subscription. Both are the reader's, so detach is set.
func (o *outbox) detach(device string) bool {
	o.mu.Lock()
	sub := o.subs[device]
	delete(o.subs, device)
	o.mu.Unlock()
	if sub == nil {
		return false
	}
	sub.detach()
	return true
}

func (o *outbox) detachAll() {
	o.mu.Lock()
	subs := o.subs
	o.subs = make(map[string]*subscription)
	o.mu.Unlock()
	for _, sub := range subs {
		sub.detach()
	}
}

// deliver queues a command.
func (s *Session) deliver(c *commands.Command, qos byte) {
	s.out.mu.Lock()
	full := len(s.out.queue) >= maxQueued
	if !full {
		s.out.queue = append(s.out.queue, delivery{c, qos})
	}
	first := full && !s.out.full
	s.out.full = s.out.full || full
	s.out.mu.Unlock()
	if first {
		s.link.End(wire.CloseNoProgress, wire.ReasonNoProgress)
		return
	}
	s.link.Wake()
}

// Due appends the commands that the client can take now.
func (s *Session) Due(dst []byte) []byte {
	for {
		d, id, ok := s.out.next()
		if !ok {
			return dst
		}
		at := time.Now()
		if !at.Before(d.command.Expires) {
			s.out.drop(id)
			continue
		}
		start := len(dst)
		dst = s.encodeCommand(dst, d, id, at)
		if s.maxPacket > 0 && len(dst)-start > int(s.maxPacket) {
			dst = dst[:start] // a client does not get what it cannot take: the command stays as it is, and expires
			s.out.drop(id)
			continue
		}
		if d.qos == 0 {
			s.opts.Commands.Delivered(d.command.Device, d.command.ID)
		}
	}
}

// next takes a command from the queue, if the client may be sent one; id is 0 for QoS 0.
func (o *outbox) next() (d delivery, id uint16, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 || o.queue[0].qos > 0 && len(o.unacked) >= o.receives {
		return d, 0, false
	}
	d = o.queue[0]
	if o.queue = o.queue[1:]; len(o.queue) == 0 {
		o.queue = nil
	}
	if d.qos > 0 {
		id = o.freeID()
		o.unacked[id] = d
	}
	return d, id, true
}

// freeID is a packet id that is not in use; there are far more than maxUnacked.
func (o *outbox) freeID() uint16 {
	for {
		if o.lastID++; o.lastID != 0 {
			if _, used := o.unacked[o.lastID]; !used {
				return o.lastID
			}
		}
	}
}

func (o *outbox) drop(id uint16) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.unacked, id)
}

func (s *Session) encodeCommand(dst []byte, d delivery, id uint16, at time.Time) []byte {
	c := d.command
	topic := c.Device + commandsSuffix
	return encode(dst, &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: d.qos}, ProtocolVersion: s.version, PacketID: id, TopicName: topic,
		Payload: c.AppendPayload(nil), Mods: s.mods(),
		Properties: packets.Properties{
			ContentType: "application/json", PayloadFormat: 1, PayloadFormatFlag: true,
			MessageExpiryInterval: uint32(max(1, c.Expires.Sub(at)/time.Second)),
			ResponseTopic:         topic + "/" + c.ID + resultSuffix, CorrelationData: []byte(c.ID),
		},
	})
}

// acknowledged takes the client's PUBACK for a command.
func (s *Session) acknowledged(pk *packets.Packet) error {
	s.out.mu.Lock()
	d, ok := s.out.unacked[pk.PacketID]
	delete(s.out.unacked, pk.PacketID)
	more := len(s.out.queue) > 0
	s.out.mu.Unlock()
	if ok && pk.ReasonCode < packets.ErrUnspecifiedError.Code {
		s.opts.Commands.Delivered(d.command.Device, d.command.ID)
	}
	if more {
		s.link.Wake()
	}
	return nil
}
