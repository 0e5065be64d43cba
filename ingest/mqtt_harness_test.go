package ingest

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/mochi-mqtt/server/v2/packets"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// mqttClient is an MQTT client that says what a test wants said.
type mqttClient struct {
	*device
	version byte
	stream  []byte
}

func (s *site) dialMQTT(t testing.TB, version byte) *mqttClient {
	t.Helper()
	d := &device{t: t, messages: make(chan []byte, 1<<14), closed: make(chan error, 1)}
	conn, _, err := gws.NewClient(d, &gws.ClientOption{
		Addr: "ws" + strings.TrimPrefix(s.url, "http") + "/mqtt", RequestHeader: http.Header{"Sec-Websocket-Protocol": {"mqtt"}}})
	if err != nil {
		t.Fatal(err)
	}
	d.conn = conn
	var loop sync.WaitGroup
	loop.Go(conn.ReadLoop)
	t.Cleanup(func() { _ = conn.NetConn().Close(); loop.Wait() })
	return &mqttClient{device: d, version: version}
}

// connect sends CONNECT as change makes it, and returns the answer.
func (c *mqttClient) connect(change ...func(*packets.Packet)) *packets.Packet {
	c.t.Helper()
	pk := &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connect},
		Connect:     packets.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true, ClientIdentifier: "press7"}}
	for _, f := range change {
		f(pk)
	}
	c.write(pk)
	return c.read()
}

// accepted connects and expects to be let in.
func (s *site) mqtt(t testing.TB, version byte, change ...func(*packets.Packet)) *mqttClient {
	t.Helper()
	c := s.dialMQTT(t, version)
	if pk := c.connect(change...); pk.FixedHeader.Type != packets.Connack || pk.ReasonCode != 0 || pk.SessionPresent {
		t.Fatalf("CONNECT is answered by %+v", pk)
	}
	return c
}

func (c *mqttClient) bytes(pk *packets.Packet) []byte {
	c.t.Helper()
	pk.ProtocolVersion = c.version
	var buf bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectEncode(&buf)
	case packets.Publish:
		err = pk.PublishEncode(&buf)
	case packets.Puback:
		err = pk.PubackEncode(&buf)
	case packets.Subscribe:
		pk.FixedHeader.Qos = 1
		err = pk.SubscribeEncode(&buf)
	case packets.Unsubscribe:
		pk.FixedHeader.Qos = 1
		err = pk.UnsubscribeEncode(&buf)
	case packets.Pingreq:
		err = pk.PingreqEncode(&buf)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&buf)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return buf.Bytes()
}

func (c *mqttClient) write(pk *packets.Packet) {
	c.t.Helper()
	c.raw(c.bytes(pk))
}

func (c *mqttClient) raw(data []byte) {
	c.t.Helper()
	if err := c.conn.WriteMessage(gws.OpcodeBinary, data); err != nil {
		c.t.Fatal(err)
	}
}

func publication(id uint16, topic, payload string) *packets.Packet {
	pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish}, PacketID: id, TopicName: topic, Payload: []byte(payload)}
	if id > 0 {
		pk.FixedHeader.Qos = 1
	}
	return pk
}

// read returns the next packet of the server's.
func (c *mqttClient) read() *packets.Packet {
	c.t.Helper()
	for {
		if pk := c.next(); pk != nil {
			return pk
		}
		c.stream = append(c.stream, c.message()...)
	}
}

func (c *mqttClient) next() *packets.Packet {
	if len(c.stream) < 2 {
		return nil
	}
	length, n, err := packets.DecodeLength(bytes.NewReader(c.stream[1:]))
	if err != nil || len(c.stream) < 1+n+length {
		return nil
	}
	body := c.stream[1+n : 1+n+length]
	pk := &packets.Packet{ProtocolVersion: c.version}
	if err := pk.FixedHeader.Decode(c.stream[0]); err != nil {
		c.t.Fatal(err)
	}
	pk.FixedHeader.Remaining = length
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback:
		err = pk.PubackDecode(body)
	case packets.Suback:
		err = pk.SubackDecode(body)
	case packets.Unsuback:
		err = pk.UnsubackDecode(body)
	case packets.Disconnect:
		err = pk.DisconnectDecode(body)
	}
	if err != nil {
		c.t.Fatalf("packet of type %d: %v", pk.FixedHeader.Type, err)
	}
	c.stream = c.stream[1+n+length:]
	return pk
}

// expect reads a packet of a type and reason.
func (c *mqttClient) expect(kind, reason byte) *packets.Packet {
	c.t.Helper()
	pk := c.read()
	if pk.FixedHeader.Type != kind || pk.ReasonCode != reason {
		c.t.Fatalf("packet of type %d with reason %#x (%s), want %d with %#x",
			pk.FixedHeader.Type, pk.ReasonCode, pk.Properties.ReasonString, kind, reason)
	}
	return pk
}

// keyGate knows one key, of a device, and can revoke it.
type keyGate struct {
	auth.Gate
	mu    sync.Mutex
	ended map[int]func(*wire.Error)
	n     int
}

const deviceKey = "weir_press7_secret"

func (g *keyGate) Request(*http.Request) (*auth.Principal, error) { return nil, auth.ErrNoCredentials }

func (g *keyGate) Token(_ context.Context, token string) (*auth.Principal, error) {
	switch token {
	case deviceKey:
		own, err := telemetry.ParsePattern("plant1/press7/#")
		if err != nil {
			return nil, err
		}
		return &auth.Principal{Subject: "press7", Method: auth.MethodKey, Tenant: "plant1", Roles: []string{auth.RoleDevice}, Write: []telemetry.Pattern{own}}, nil
	case "expired":
		return nil, wire.NewError(wire.CodeTokenExpired, "")
	}
	return nil, wire.NewError(wire.CodeTokenInvalid, "")
}

func (g *keyGate) Watch(_ *auth.Principal, ended func(*wire.Error)) func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended == nil {
		g.ended = make(map[int]func(*wire.Error))
	}
	g.n++
	n := g.n
	g.ended[n] = ended
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.ended, n)
	}
}

func (g *keyGate) revoke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.ended {
		f(wire.NewError(wire.CodeTokenRevoked, ""))
	}
}

func withKey(pk *packets.Packet) {
	pk.Connect.UsernameFlag, pk.Connect.Username = true, []byte("anything")
	pk.Connect.PasswordFlag, pk.Connect.Password = true, []byte(deviceKey)
}

func keyed(o *Options) { o.Gate = &keyGate{} }

func quickly(o *Options) { o.Config.MessageTimeout = 400 * time.Millisecond }

// onlyGate knows everybody for one device.
type onlyGate struct{ auth.Open }

func (onlyGate) Request(*http.Request) (*auth.Principal, error) {
	own, err := telemetry.ParsePattern("plant1/press7")
	return &auth.Principal{Subject: "press7", Method: auth.MethodKey, Tenant: "plant1", Roles: []string{auth.RoleDevice}, Write: []telemetry.Pattern{own}}, err
}
