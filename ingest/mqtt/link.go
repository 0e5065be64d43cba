package mqtt

import (
	"context"
	"time"

	"weir/auth"
	"weir/commands"
	"weir/wire"
)

// Link is the connection that a Session lives on.
type Link interface {
	// Authenticate asks who speaks. An empty credential stands for those the handshake brought. The error is as
	// auth.Gate's.
	Authenticate(credential string) (*auth.Principal, error)
	// Admit takes the principal for the connection's, from now on and until its credentials end, or says why not.
	Admit(p *auth.Principal) *wire.Error
	// Submit stores a frame. Its receipt comes to Answer with the tag, in the order of the calls. It blocks while
	// there is no room; false: the connection is ending.
	Submit(f *Frame, tag uint64) bool
	// Defer takes a place in the same order for what start stores; done is to be called once.
	Defer(tag uint64, start func(ctx context.Context, done func(*wire.Error))) bool
	// Last stores a frame after the end of the connection. No receipt comes.
	Last(f *Frame)
	// Send writes packets at once.
	Send(packets []byte) bool
	// Wake has the writer ask Due.
	Wake()
	// Close says farewell and ends the connection; the reader returns.
	Close(code uint16, reason string)
	// End does so from another goroutine, soon.
	End(code uint16, reason string)
	// Reserve takes room for a packet that comes in pieces; GiveBack returns all of it.
	Reserve(bytes int64) bool
	GiveBack()
}

// Frame is what a device published, in the terms of the device protocol.
type Frame struct {
	// Device is the default for readings that name none.
	Device string
	// Refusal is why nothing of it can be taken, if it cannot.
	Refusal *wire.Error
	// ContentType names the format; empty: it is recognised.
	ContentType string
	// Session and Seq, of the publish's properties, replace those of the payload.
	Session string
	Seq     uint64
	HasSeq  bool
	// Payload is valid until the call returns.
	Payload []byte
}

// Commands brings commands to devices; *commands.Hub is one.
type Commands interface {
	Attach(device string, deliver func(*commands.Command) bool) (detach func())
	Delivered(device, id string)
	Result(ctx context.Context, device, id string, r commands.Result, done func(error))
}

// Options are what Sessions of one server share.
type Options struct {
	// MaxPacket is the longest packet, in bytes.
	MaxPacket int
	// ReceiveMaximum is how many publishes may be unacknowledged.
	ReceiveMaximum int
	// ConnectTimeout bounds the time to the CONNECT packet, PacketTimeout that of one packet from its first byte.
	ConnectTimeout, PacketTimeout time.Duration
	// KeepAlive is the longest interval that a client of version 5 may have, and the default.
	KeepAlive time.Duration
	// Commands, nil: nobody may subscribe.
	Commands Commands
	// Clients finds a client that connects twice.
	Clients *Clients
}
