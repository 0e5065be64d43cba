package mqtt

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"weir/auth"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLink keeps what a Session does. Frames are answered at once.
type fakeLink struct {
	session  *Session
	frames   []Frame
	sent     []byte
	reserved int64
	room     int64
	closed   []string
	last     []Frame
	refusal  error
}

func (l *fakeLink) Authenticate(string) (*auth.Principal, error) {
	if l.refusal != nil {
		return nil, l.refusal
	}
	return auth.Everybody(), nil
}
func (l *fakeLink) Admit(*auth.Principal) *wire.Error { return nil }
func (l *fakeLink) Submit(f *Frame, tag uint64) bool {
	kept := *f
	kept.Payload = bytes.Clone(f.Payload)
	l.frames = append(l.frames, kept)
	l.sent = l.session.Answer(l.sent, tag, &wire.Receipt{Accepted: 1, Err: f.Refusal})
	return true
}
func (l *fakeLink) Defer(tag uint64, start func(context.Context, func(*wire.Error))) bool {
	start(context.Background(), func(e *wire.Error) { l.sent = l.session.Answer(l.sent, tag, &wire.Receipt{Err: e}) })
	return true
}
func (l *fakeLink) Last(f *Frame)                 { l.last = append(l.last, *f) }
func (l *fakeLink) Send(p []byte) bool            { l.sent = append(l.sent, p...); return true }
func (l *fakeLink) Wake()                         {}
func (l *fakeLink) Close(_ uint16, reason string) { l.closed = append(l.closed, reason) }
func (l *fakeLink) End(_ uint16, reason string)   { l.closed = append(l.closed, reason) }
func (l *fakeLink) Reserve(n int64) bool {
	if l.reserved+n > l.room {
		return false
	}
	l.reserved += n
	return true
}
func (l *fakeLink) GiveBack() { l.reserved = 0 }

func open(change ...func(*Options)) (*Session, *fakeLink) {
	o := &Options{MaxPacket: 1 << 20, ReceiveMaximum: 8, ConnectTimeout: time.Second, PacketTimeout: time.Second, KeepAlive: time.Minute, Clients: NewClients()}
	for _, c := range change {
		c(o)
	}
	l := &fakeLink{room: 8 << 20}
	l.session = New(o, l)
	return l.session, l
}

func connectPacket(version byte) []byte {
	return clientPacket(&packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: version,
		Connect: packets.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true, ClientIdentifier: "press7"}})
}

func clientPacket(pk *packets.Packet) []byte {
	var buf bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectEncode(&buf)
	case packets.Publish:
		err = pk.PublishEncode(&buf)
	case packets.Subscribe:
		err = pk.SubscribeEncode(&buf)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&buf)
	case packets.Pingreq:
		err = pk.PingreqEncode(&buf)
	}
	if err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func publishPacket(version byte, id uint16, topic, payload string) []byte {
	qos := byte(1)
	if id == 0 {
		qos = 0
	}
	return clientPacket(&packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos}, ProtocolVersion: version, PacketID: id, TopicName: topic, Payload: []byte(payload)})
}

func TestPacketsAreTheSameHoweverTheStreamIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.SampledFrom([]byte{4, 5}).Draw(t, "version")
		stream := connectPacket(version)
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(100_000, 200_000)), 1, 6).Draw(t, "sizes")
		for i, size := range sizes {
			stream = append(stream, publishPacket(version, uint16(i+1), "plant1/press7", `{"x":"`+string(bytes.Repeat([]byte{'x'}, size))+`"}`)...)
		}
		s, l := open()
		for len(stream) > 0 {
			n := min(len(stream), rapid.OneOf(rapid.Just(1), rapid.IntRange(1, 50), rapid.IntRange(1, 300_000)).Draw(t, "cut"))
			if !s.Take(stream[:n]) {
				t.Fatalf("ended: %v", l.closed)
			}
			stream = stream[n:]
		}
		if len(l.frames) != len(sizes) {
			t.Fatalf("%d frames of %d", len(l.frames), len(sizes))
		}
		for i, f := range l.frames {
			if want := sizes[i] + len(`{"x":""}`); len(f.Payload) != want || f.Device != "plant1/press7" {
				t.Fatalf("frame %d has %d bytes for %q, want %d", i, len(f.Payload), f.Device, want)
			}
		}
		if l.reserved != 0 {
			t.Fatalf("%d bytes stay reserved", l.reserved)
		}
		if s.in.begun() {
			t.Fatal("something stays in the reader")
		}
	})
}

func TestALargePacketInPiecesNeedsRoom(t *testing.T) {
	s, l := open()
	l.room = 0
	s.Take(connectPacket(5))
	large := publishPacket(5, 1, "plant1/press7", string(make([]byte, 100_000)))
	if s.Take(large[:20]) {
		t.Fatal("a large packet began without room")
	}
	if !bytes.HasSuffix(bytes.TrimSuffix(l.sent, []byte("server busy: no room for a packet in pieces")), []byte{0, 43}) {
		t.Errorf("no farewell that says why: %q", l.sent)
	}
	s, l = open()
	l.room = 0
	s.Take(connectPacket(5))
	if !s.Take(large) || len(l.frames) != 1 {
		t.Error("a large packet that comes whole needs no room of its own")
	}
}

func TestWhatIsReservedForAPacketEndsWithIt(t *testing.T) {
	s, l := open()
	s.Take(connectPacket(5))
	large := publishPacket(5, 1, "plant1/press7", string(make([]byte, 100_000)))
	s.Take(large[:10])
	for range 100 { // no message ever ends with a packet
		s.Take(append(bytes.Clone(large[10:]), large[:10]...))
		if l.reserved != int64(len(large)) {
			t.Fatalf("%d bytes reserved for one packet of %d", l.reserved, len(large))
		}
	}
	s.Take(large[10:])
	if l.reserved != 0 {
		t.Errorf("%d bytes stay reserved", l.reserved)
	}
}

func TestAPacketThatTricklesEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open()
		s.Take(connectPacket(5))
		packet := publishPacket(5, 1, "plant1/press7", "some payload")
		for i := range packet[:8] {
			s.Take(packet[i : i+1])
			_, reason, over := s.Verdict(now())
			if want := i > 4; over != want {
				t.Fatalf("after %d bytes: over is %v (%s)", i+1, over, reason)
			}
			time.Sleep(time.Second / 4)
		}
	})
}

func TestNothingIsTakenBeforeConnect(t *testing.T) {
	for name, packet := range map[string][]byte{
		"publish": publishPacket(4, 0, "plant1/press7", "1"), "ping": clientPacket(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}}),
		"http": []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		s, l := open()
		if s.Take(packet) || len(l.frames) > 0 || len(l.sent) > 0 || len(l.closed) != 1 {
			t.Errorf("%s before CONNECT: sent %x, closed %v", name, l.sent, l.closed)
		}
	}
}

func TestWhatATopicMeans(t *testing.T) {
	for _, c := range []struct{ topic, contentType, payload, device, out, refusal string }{
		{"a/b", "", `{"metric":"t","value":1}`, "a/b", `{"metric":"t","value":1}`, ""},
		{"a/b", "", `[{"metric":"t","value":1}]`, "a/b", `[{"metric":"t","value":1}]`, ""},
		{"a/b", "", `{"readings":[{"metric":"t","value":1}]}`, "a/b", `{"readings":[{"metric":"t","value":1}]}`, ""},
		{"a/b/t", "", `21.5`, "", `{"device":"a/b","metric":"t","value":21.5}`, ""},
		{"a/b/t", "", ` true `, "", `{"device":"a/b","metric":"t","value":true}`, ""},
		{"a/b/t", "text/plain", `-1e3`, "", `{"device":"a/b","metric":"t","value":-1e3}`, ""},
		{"a/b/t", "", `{"value":21.5,"ts":1}`, "", `{"device":"a/b","metric":"t","value":21.5,"ts":1}`, ""},
		{"a/b/t", "", `{"ts":1, "value":{"metric":1}}`, "", `{"device":"a/b","metric":"t","ts":1, "value":{"metric":1}}`, ""},
		{"a/b/t", "", `{"note":"\"value\":","ts":1}`, "a/b/t", `{"note":"\"value\":","ts":1}`, ""},
		{`a/b"/t`, "", `1`, "", `{"device":"a/b\"","metric":"t","value":1}`, ""},
		{"a/b", "application/vnd.influx", `temp v=1`, "a/b", `temp v=1`, ""},
		{"a/b/1", "application/senml+json", `1`, "a/b/1", `1`, ""},
		{"a", "", `1`, "a", `1`, ""},
		{"a/_b/t", "", `1`, "", `1`, "path_reserved"},
		{"/a", "", `{}`, "", `{}`, "path_segment_empty"},
		{"a/b/", "", `1`, "", `1`, "path_empty"},
	} {
		f := frameOf(c.topic, &packets.Packet{Payload: []byte(c.payload), Properties: packets.Properties{ContentType: c.contentType}})
		refusal := ""
		if f.Refusal != nil {
			refusal = f.Refusal.Code
		}
		if f.Device != c.device || string(f.Payload) != c.out || refusal != c.refusal {
			t.Errorf("%s with %s: device %q, payload %s, refusal %q", c.topic, c.payload, f.Device, f.Payload, refusal)
		}
	}
}

func TestPropertiesNumberAFrame(t *testing.T) {
	user := func(kv ...string) (p packets.Properties) {
		for i := 0; i < len(kv); i += 2 {
			p.User = append(p.User, packets.UserProperty{Key: kv[i], Val: kv[i+1]})
		}
		return p
	}
	f := frameOf("a/b", &packets.Packet{Properties: user("session", "boot-1", "seq", "7", "other", "x")})
	if f.Session != "boot-1" || f.Seq != 7 || !f.HasSeq || f.Refusal != nil {
		t.Errorf("numbers are lost: %+v", f)
	}
	for _, bad := range []packets.Properties{user("session", ""), user("seq", "-1"), user("session", "s"), user("seq", "9223372036854775808")} {
		if f := frameOf("a/b", &packets.Packet{Properties: bad}); f.Refusal == nil {
			t.Errorf("taken: %+v", bad.User)
		}
	}
	text := &packets.Packet{Payload: []byte{0xff}, Properties: packets.Properties{PayloadFormat: 1, PayloadFormatFlag: true}}
	if f := frameOf("a/b", text); f.Refusal == nil || f.Refusal.Code != wire.CodeJSONUTF8 {
		t.Errorf("text that is not UTF-8 is taken")
	}
}

// FuzzMQTT gives a session any bytes, in pieces of any size: it must neither panic nor hold what it has refused.
func FuzzMQTT(f *testing.F) {
	for _, version := range []byte{3, 4, 5} {
		seed := connectPacket(version)
		seed = append(seed, publishPacket(version, 1, "plant1/press7", `{"metric":"t","value":1}`)...)
		seed = append(seed, publishPacket(version, 0, "plant1/press7/t", `21.5`)...)
		seed = append(seed, clientPacket(&packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, ProtocolVersion: version, PacketID: 2,
			Filters: packets.Subscriptions{{Filter: "plant1/press7/_commands", Qos: 1}}})...)
		seed = append(seed, clientPacket(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ProtocolVersion: version})...)
		f.Add(seed, uint8(7))
		f.Add(seed, uint8(255))
	}
	f.Add([]byte{0x82, 3, 0, 1, 0}, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		for _, prefix := range [][]byte{nil, connectPacket(4), connectPacket(5)} {
			s, l := open(func(o *Options) { o.MaxPacket = 4096 })
			live := prefix == nil || s.Take(prefix)
			rest := data
			for live && len(rest) > 0 {
				n := min(len(rest), int(piece)+1)
				live = s.Take(bytes.Clone(rest[:n]))
				rest = rest[n:]
			}
			if live == (len(l.closed) > 0) {
				t.Fatalf("going on is %v, closed %v", live, l.closed)
			}
			if len(s.in.partial) > 4096 {
				t.Fatalf("%d bytes held", len(s.in.partial))
			}
			s.Ended(false)
		}
	})
}
