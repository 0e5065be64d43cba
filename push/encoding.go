package push

import "weir/wire"

// encoding is how what a connection is told becomes bytes. What several connections are told is encoded once for each
// encoding that one of them uses.
type encoding uint8

const (
	asJSON         encoding = iota // text messages of a WebSocket
	asJSONDeflate                  // the same, compressed
	asProto                        // binary messages of a WebSocket, in protobuf
	asProtoDeflate                 // the same, compressed
	asEvents                       // server-sent events, the body of an HTTP response

	encodings = iota
)

// plain is what the encoding compresses; it is itself if it does not compress.
func (e encoding) plain() encoding {
	switch e {
	case asJSONDeflate:
		return asJSON
	case asProtoDeflate:
		return asProto
	default:
		return e
	}
}

// deflated is the encoding, compressed.
func (e encoding) deflated() encoding {
	if e == asProto {
		return asProtoDeflate
	}
	return asJSONDeflate
}

// protocol is the subprotocol that messages are in.
func (e encoding) protocol() string {
	if e.plain() == asProto {
		return wire.LiveProtocolProto
	}
	return wire.LiveProtocol
}

func (e encoding) deflates() bool { return e.plain() != e }

// variants are what connections of other encodings get instead of a frame of text messages. They are made when the
// first needs them, under the lock or by the one goroutine that hands the frame out.
type variants [encodings]*frame

// frame is that of rows in an encoding: what is neither compressed nor an event is made by encode. The cursor is an event's id.
func (v *variants) frame(e encoding, cursor string, encode func(encoding) frame) *frame {
	if v[e] != nil {
		return v[e]
	}
	var f frame
	switch {
	case e.deflates():
		f = v.frame(e.plain(), cursor, encode).toSqueeze()
	case e == asEvents:
		f = v.frame(asJSON, cursor, encode).events(cursor)
	default:
		f = encode(e)
	}
	v[e] = &f
	return v[e]
}

// forMany says of a frame that several connections will get it.
func forMany(f frame) frame {
	f.made = new(variants)
	return f
}

// in is the frame, made of text and control messages, in another encoding.
func (f frame) in(e encoding) frame {
	if e == asJSON {
		return f
	}
	if f.made == nil {
		return f.translate(e)
	}
	if f.made[e] == nil {
		made := f.translate(e)
		f.made[e] = &made
	}
	return *f.made[e]
}

func (f frame) translate(e encoding) frame {
	switch {
	case e.deflates():
		return f.in(e.plain()).toSqueeze()
	case e == asProto:
		return f.proto()
	default:
		return f.events("")
	}
}

// toSqueeze is the frame for connections that agreed on compression.
func (f frame) toSqueeze() frame {
	f.squeezed = new(squeezed)
	return f
}
