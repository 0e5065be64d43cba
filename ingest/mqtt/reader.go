package mqtt

import (
	"bytes"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	// maxHeader is the longest fixed header: the type, and a length of up to four bytes.
	maxHeader = 5
	// freeBytes of a packet that comes in pieces need no reservation.
	freeBytes = 64 << 10
	// keepBytes is how large a buffer may be to be kept between packets.
	keepBytes = 4 << 10
)

// reader cuts a stream of bytes, which may come in any pieces, into packets.
type reader struct {
	limit    int // of a whole packet
	reserve  func(bytes int64) bool
	giveBack func() // all that was reserved

	partial []byte // of a packet that is not complete
	total   int    // its length, 0: not known yet
}

// feed calls take for every packet that data completes, with its first byte and what follows the fixed header. Both are valid
// during the call. It stops at the first error.
func (r *reader) feed(data []byte, take func(first byte, body []byte) error) error {
	for len(data) > 0 {
		if len(r.partial) == 0 {
			head, total, err := r.measure(data)
			if err != nil {
				return err
			}
			if total > 0 && total <= len(data) { // as nearly always: nothing is copied
				if err := take(data[0], data[head:total]); err != nil {
					return err
				}
				data = data[total:]
				continue
			}
		}
		rest, err := r.gather(data)
		if err != nil {
			return err
		}
		data = rest
		if r.total == 0 || len(r.partial) < r.total {
			continue
		}
		if err := r.complete(take); err != nil {
			return err
		}
	}
	return nil
}

// gather moves what belongs to the packet that is coming from data to partial: the header by the byte, until the
// length is known.
func (r *reader) gather(data []byte) (rest []byte, err error) {
	for r.total == 0 && len(data) > 0 {
		r.partial = append(r.partial, data[0])
		data = data[1:]
		if _, r.total, err = r.measure(r.partial); err != nil {
			return nil, err
		}
		if r.total > freeBytes && !r.reserve(int64(r.total)) {
			return nil, fault{packets.ErrServerBusy, "no room for a packet in pieces"}
		}
	}
	n := min(r.total-len(r.partial), len(data))
	if n > 0 {
		r.partial = append(r.partial, data[:n]...)
		data = data[n:]
	}
	return data, nil
}

func (r *reader) complete(take func(first byte, body []byte) error) error {
	packet := r.partial
	head, _, err := r.measure(packet)
	if err != nil {
		return err
	}
	if r.partial, r.total = packet[:0], 0; cap(packet) > keepBytes {
		r.partial = nil
	}
	if len(packet) > freeBytes {
		defer r.giveBack()
	}
	return take(packet[0], packet[head:])
}

// begun reports whether a packet is coming of which something is missing.
func (r *reader) begun() bool { return len(r.partial) > 0 }

// measure reads a fixed header: its length, and that of the whole packet, or 0 when more bytes are needed.
func (r *reader) measure(p []byte) (head, total int, err error) {
	length, shift := 0, 0
	for i := 1; i < len(p); i++ {
		if i == maxHeader {
			return 0, 0, fault{packets.ErrMalformedVariableByteInteger, "remaining length"}
		}
		length |= int(p[i]&0x7f) << shift
		if p[i]&0x80 == 0 {
			if i+1+length > r.limit {
				return 0, 0, fault{packets.ErrPacketTooLarge, "packet"}
			}
			return i + 1, i + 1 + length, nil
		}
		shift += 7
	}
	return 0, 0, nil
}

// decode reads one packet. What it returns shares body's memory. The package's decoders index beyond the end of some
// malformed packets.
func decode(first byte, body []byte, version byte) (pk *packets.Packet, err error) {
	defer func() {
		if recover() != nil {
			err = fault{packets.ErrMalformedPacket, "packet"}
		}
	}()
	pk = &packets.Packet{ProtocolVersion: version}
	if err := pk.FixedHeader.Decode(first); err != nil {
		return nil, err
	}
	pk.FixedHeader.Remaining = len(body)
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback:
		err = pk.PubackDecode(body)
	case packets.Subscribe:
		err = pk.SubscribeDecode(body)
	case packets.Unsubscribe:
		err = pk.UnsubscribeDecode(body)
	case packets.Pingreq:
		err = pk.PingreqDecode(body)
	case packets.Disconnect:
		err = pk.DisconnectDecode(body)
	default:
		return nil, fault{packets.ErrProtocolViolation, "a packet of this type is not taken"}
	}
	if err != nil {
		return nil, err
	}
	return pk, nil
}

// encode appends a packet that this package has made.
func encode(dst []byte, pk *packets.Packet) []byte {
	var buf bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackEncode(&buf)
	case packets.Publish:
		err = pk.PublishEncode(&buf)
	case packets.Puback:
		err = pk.PubackEncode(&buf)
	case packets.Suback:
		err = pk.SubackEncode(&buf)
	case packets.Unsuback:
		err = pk.UnsubackEncode(&buf)
	case packets.Pingresp:
		err = pk.PingrespEncode(&buf)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&buf)
	}
	if err != nil {
		return dst
	}
	return append(dst, buf.Bytes()...)
}
