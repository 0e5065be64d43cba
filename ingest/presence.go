package ingest

import (
	"context"
	"encoding/json"
	"errors"

	"weir/auth"
	"weir/devices"
	"weir/wire"
)

// Presence is told which devices a connection speaks for; *devices.Registry is one.
type Presence interface {
	Connect(p devices.Peer) *devices.Conn
}

// arrive begins the presence of the devices that the connection will speak for, p being the first to speak.
func (c *conn) arrive(p *auth.Principal) {
	if c.srv.presence == nil || c.presence != nil {
		return
	}
	transport := "websocket"
	if c.mqtt != nil {
		transport = "mqtt"
	}
	c.presence = c.srv.presence.Connect(devices.Peer{Transport: transport, Principal: p.Subject, Remote: c.remote.String()})
	if c.enc != nil {
		c.enc.presence = c.presence
	}
	if device := c.device; device != "" {
		c.presence.Attach(device)
	} else if device := onlyDevice(p); device != "" {
		c.presence.Attach(device)
	}
}

// depart ends it. A server that stops is no reason for last wills, and who may speak no longer leaves none.
func (c *conn) depart() {
	if c.presence != nil {
		c.presence.Close(c.orderly || c.draining.Load() || c.ousted.Load() != nil)
	}
}

// greet hands on a hello, and answers it.
func (c *conn) greet(ctx context.Context, p *auth.Principal, device string, payload json.RawMessage) *wire.Error {
	if c.presence != nil {
		ctx = devices.WithConn(ctx, c.presence)
	}
	if refusal := c.srv.hello.Hello(ctx, p, device, payload); refusal != nil {
		return refusal
	}
	name, err := json.Marshal(device)
	if err != nil {
		return wire.NewError(wire.CodeInternal, "")
	}
	c.say(append(append([]byte(`{"type":"hello_ok","payload":{"device":`), name...), "}}"...))
	return nil
}

// StoreWill stores a frame of readings that a device has left behind, as if it had sent it. It returns when the
// frame is stored, or why it is not.
func (s *Server) StoreWill(ctx context.Context, device string, frame []byte) error {
	if refusal := s.enter(); refusal != nil {
		return refusal
	}
	defer s.work.Done()
	r, err := s.storeAlone(ctx, true, func(r *receipt) {
		newEncoder(s, dialect{device: device, format: wire.FormatJSON}).submit(ctx, frame, r)
	})
	switch {
	case err != nil:
		return err
	case r.Err != nil:
		return r.Err
	case len(r.Rejected) > 0:
		return errors.New(r.Rejected[0].Code)
	}
	return nil
}
