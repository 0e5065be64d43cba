package ingest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/mochi-mqtt/server/v2/packets"
	"pgregory.net/rapid"

	"weir/commands"
	"weir/wire"
)

func TestMQTTPubackComesOnlyAfterTheAcknowledgement(t *testing.T) {
	for _, version := range []byte{4, 5} {
		p := &logProducer{hold: true}
		c := start(t, p).mqtt(t, version)
		for id := uint16(1); id <= 3; id++ {
			c.write(publication(id, "plant1/press7/temperature", fmt.Sprintf("%d.5", id)))
		}
		eventually(t, "three records", func() bool { return p.asked() == 3 })
		c.silent("PUBACK before Kafka's acknowledgement")
		p.set(func(p *logProducer) {
			p.held[2]()
			p.held = p.held[:2]
		})
		c.silent("PUBACK before those of earlier publishes")
		p.release()
		for id := uint16(1); id <= 3; id++ {
			if pk := c.expect(packets.Puback, 0); pk.PacketID != id {
				t.Fatalf("PUBACK %d, want %d: out of order", pk.PacketID, id)
			}
		}
		readings := p.readings(t)
		if len(readings) != 3 || readings[0].Metric != "temperature" || readings[2].Value != 3.5 {
			t.Errorf("stored %+v", readings)
		}
		if key := string(p.stored(wire.TopicReadings)[0].Key); key != "plant1/press7" {
			t.Errorf("stored for %q", key)
		}
	}
}

func TestMQTTStreamMayBeCutAnywhere(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.SampledFrom([]byte{4, 5}).Draw(rt, "version")
		c := s.dialMQTT(t, version)
		connect := &packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Connect},
			Connect:     packets.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true}}
		stream := c.bytes(connect)
		n := rapid.IntRange(1, 20).Draw(rt, "publishes")
		for i := range n {
			stream = append(stream, c.bytes(publication(uint16(i+1), "plant1/press7", fmt.Sprintf(`{"metric":"m%d","value":%d}`, i, i)))...)
		}
		for len(stream) > 0 {
			cut := min(len(stream), rapid.OneOf(rapid.Just(1), rapid.IntRange(1, 200)).Draw(rt, "cut"))
			c.raw(stream[:cut])
			stream = stream[cut:]
		}
		c.expect(packets.Connack, 0)
		for i := range n {
			if pk := c.expect(packets.Puback, 0); int(pk.PacketID) != i+1 {
				rt.Fatalf("PUBACK %d, want %d", pk.PacketID, i+1)
			}
		}
		_ = c.conn.NetConn().Close()
	})
}

func TestMQTTConnectIsAnsweredWithWhatIsOffered(t *testing.T) {
	s := start(t, &logProducer{})
	c := s.dialMQTT(t, 5)
	pk := c.connect(func(pk *packets.Packet) { pk.Connect.ClientIdentifier = "" })
	p := &pk.Properties
	if pk.ReasonCode != 0 || p.AssignedClientID == "" || p.ReceiveMaximum != 64 || p.MaximumQos != 1 || !p.MaximumQosFlag || !p.RetainAvailableFlag ||
		p.RetainAvailable != 0 || p.TopicAliasMaximum != 16 || p.MaximumPacketSize != 1<<20 || p.ServerKeepAlive != 60 || !p.SessionExpiryIntervalFlag ||
		!p.WildcardSubAvailableFlag || p.WildcardSubAvailable != 0 || !p.SubIDAvailableFlag || !p.SharedSubAvailableFlag {
		t.Errorf("CONNACK %d with %+v", pk.ReasonCode, *p)
	}
}

func TestMQTTRefusesConnections(t *testing.T) {
	s := start(t, &logProducer{}, keyed)
	password := func(text string) func(*packets.Packet) {
		return func(pk *packets.Packet) { withKey(pk); pk.Connect.Password = []byte(text) }
	}
	for _, c := range []struct {
		name    string
		version byte
		change  func(*packets.Packet)
		reason  byte
	}{
		{"no credentials, 3.1.1", 4, func(*packets.Packet) {}, 5},
		{"no credentials, 5", 5, func(*packets.Packet) {}, 0x87},
		{"a wrong password, 3.1.1", 4, password("no"), 4},
		{"a wrong password, 5", 5, password("no"), 0x86},
		{"an expired one", 5, password("expired"), 0x86},
		{"no client id and no clean session", 4, func(pk *packets.Packet) { withKey(pk); pk.Connect.ClientIdentifier, pk.Connect.Clean = "", false }, 2},
		{"extended authentication", 5, func(pk *packets.Packet) { withKey(pk); pk.Properties.AuthenticationMethod = "SCRAM" }, 0x8c},
		{"a will with QoS 2", 5, func(pk *packets.Packet) { withKey(pk); will(pk); pk.Connect.WillQos = 2 }, 0x9b},
		{"a will to be retained", 5, func(pk *packets.Packet) { withKey(pk); will(pk); pk.Connect.WillRetain = true }, 0x9a},
	} {
		client := s.dialMQTT(t, c.version)
		if pk := client.connect(c.change); pk.FixedHeader.Type != packets.Connack || pk.ReasonCode != c.reason {
			t.Errorf("%s: reason %#x, want %#x", c.name, pk.ReasonCode, c.reason)
		}
		client.closeCode()
	}
	for version, reason := range map[byte]byte{2: 1, 6: 0x84} {
		client := s.dialMQTT(t, min(max(version, 4), 5))
		client.raw([]byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', version, 2, 0, 0, 0, 0})
		client.expect(packets.Connack, reason)
		client.closeCode()
	}
	s.mqtt(t, 4, withKey)
	s.mqtt(t, 5, func(pk *packets.Packet) { // the user name alone
		pk.Connect.UsernameFlag, pk.Connect.Username = true, []byte(deviceKey)
	})
}

func will(pk *packets.Packet) {
	pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, "plant1/press7/online", []byte("false")
}

func TestMQTTEndsWhatItDoesNotServe(t *testing.T) {
	s := start(t, &logProducer{})
	qos2 := publication(1, "plant1/press7/t", "1")
	qos2.FixedHeader.Qos = 2
	for name, c := range map[string]struct {
		packet *packets.Packet
		reason byte
	}{
		"QoS 2":              {qos2, 0x9b},
		"a second CONNECT":   {&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, Connect: packets.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true}}, 0x82},
		"a wildcard topic":   {publication(1, "plant1/+/t", "1"), 0x82},
		"an alias too many":  {&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish}, TopicName: "a/b/c", Properties: packets.Properties{TopicAlias: 17, TopicAliasFlag: true}}, 0x94},
		"an alias not known": {&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish}, Properties: packets.Properties{TopicAlias: 3, TopicAliasFlag: true}}, 0x94},
	} {
		client := s.mqtt(t, 5, func(pk *packets.Packet) { pk.Connect.ClientIdentifier = name })
		client.write(c.packet)
		if pk := client.read(); pk.FixedHeader.Type != packets.Disconnect || pk.ReasonCode != c.reason {
			t.Errorf("%s: packet %d with %#x, want %#x", name, pk.FixedHeader.Type, pk.ReasonCode, c.reason)
		}
		if code, _ := client.closeCode(); code != wire.CloseProtocolError {
			t.Errorf("%s: closed with %d", name, code)
		}
	}
	client := s.mqtt(t, 5)
	client.raw([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	client.expect(packets.Disconnect, 0x95)
	if code, _ := client.closeCode(); code != wire.CloseTooLarge {
		t.Errorf("a packet too large: closed with %d", code)
	}
	client = s.mqtt(t, 5)
	if err := client.conn.WriteMessage(gws.OpcodeText, client.bytes(publication(1, "a/b/c", "1"))); err != nil {
		t.Fatal(err)
	}
	client.expect(packets.Disconnect, 0x82)
}

func TestMQTTPubackSaysWhatWasRefused(t *testing.T) {
	p := &logProducer{}
	s := start(t, p, keyed)
	c := s.mqtt(t, 5, withKey)
	for id, x := range []struct {
		topic, payload, contentType string
		reason                      byte
		sentence                    string
	}{
		{"plant1/press7", `[{"metric":"a","value":1},{"metric":"b"}]`, "", 0, "value_missing at [1].value"},
		{"plant1/press7", `{"metric":"a","value":"x"}`, "", 0x99, "value_type at value"},
		{"plant1/press7", `{"metric`, "", 0x99, "json_syntax"},
		{"plant1/press8/t", `1`, "", 0x87, "forbidden at device"},
		{"plant1/_all/t", `1`, "", 0x90, "path_reserved at topic"},
		{"plant1/press7", `x`, "video/mp4", 0x99, "format_unknown at content_type"},
	} {
		pk := publication(uint16(id+1), x.topic, x.payload)
		pk.Properties.ContentType = x.contentType
		c.write(pk)
		if got := c.expect(packets.Puback, x.reason); got.Properties.ReasonString != x.sentence {
			t.Errorf("%s to %s: %q, want %q", x.payload, x.topic, got.Properties.ReasonString, x.sentence)
		}
	}
	if n := len(p.readings(t)); n != 1 {
		t.Errorf("%d readings stored, want 1", n)
	}
	if n := len(p.stored(wire.TopicDeadLetters)); n != 6 {
		t.Errorf("%d dead letters, want 6", n)
	}
	old := s.mqtt(t, 4, withKey)
	old.write(publication(9, "plant1/press7", `{"metric`))
	old.expect(packets.Puback, 0)
	if n := len(p.stored(wire.TopicDeadLetters)); n != 7 {
		t.Errorf("%d dead letters, want 7", n)
	}
}

func TestMQTTDeadLettersOfOneDevicesCredentialsAreOfThatDevice(t *testing.T) {
	p := &logProducer{}
	c := start(t, p, func(o *Options) { o.Gate = onlyGate{} }).mqtt(t, 5)
	for i, topic := range []string{"plant1/press7", "plant1/press7/temperature"} {
		c.write(publication(uint16(i+1), topic, "warm"))
		c.expect(packets.Puback, 0x99)
		letter, err := wire.DecodeDeadLetter(p.stored(wire.TopicDeadLetters)[i].Value)
		if err != nil || letter.Device != "plant1/press7" || letter.Code != wire.CodeFormatUnknown {
			t.Errorf("%s: dead letter %+v, %v", topic, letter, err)
		}
	}
}

func TestMQTT311HasNoPubackForWhatWasNotStored(t *testing.T) {
	p := &logProducer{err: context.DeadlineExceeded}
	c := start(t, p, quickly).mqtt(t, 4)
	c.write(publication(1, "plant1/press7/t", "1"))
	if code, _ := c.closeCode(); code != wire.CloseNoProgress {
		t.Errorf("closed with %d", code)
	}
	if len(c.messages) > 0 {
		t.Errorf("answered with %x", <-c.messages)
	}
	five := start(t, p).mqtt(t, 5)
	five.write(publication(1, "plant1/press7/t", "1"))
	five.expect(packets.Puback, 0x83)
}

func TestMQTTPropertiesMakeAResendADuplicate(t *testing.T) {
	p := &logProducer{}
	c := start(t, p).mqtt(t, 5)
	for id := uint16(1); id <= 2; id++ {
		pk := publication(id, "plant1/press7/t", "1")
		pk.Properties.User = []packets.UserProperty{{Key: "session", Val: "boot-1"}, {Key: "seq", Val: "7"}}
		c.write(pk)
		got := c.expect(packets.Puback, 0)
		if duplicate := len(got.Properties.User) > 1 && got.Properties.User[1].Val == "1"; duplicate != (id == 2) {
			t.Errorf("publish %d: duplicate is %v", id, duplicate)
		}
	}
	if n := len(p.readings(t)); n != 1 {
		t.Errorf("stored %d times", n)
	}
}

func TestMQTTTopicAliases(t *testing.T) {
	p := &logProducer{}
	c := start(t, p).mqtt(t, 5)
	for id := uint16(1); id <= 3; id++ {
		pk := publication(id, "plant1/press7/t", "1")
		if id == 2 {
			pk.TopicName = ""
		}
		if id < 3 {
			pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 16, true
		}
		c.write(pk)
		c.expect(packets.Puback, 0)
	}
	if n := len(p.readings(t)); n != 3 {
		t.Errorf("%d readings", n)
	}
}

func TestMQTTIsNotReadBeyondTheReceiveMaximum(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p, func(o *Options) { o.Config.Credit = 4 })
	c := s.mqtt(t, 5)
	for id := uint16(1); id <= 10; id++ {
		c.write(publication(id, "plant1/press7/t", "1"))
	}
	eventually(t, "four taken", func() bool { return p.asked() == 4 })
	c.silent("answered")
	if p.asked() != 4 {
		t.Errorf("%d taken, want 4", p.asked())
	}
	p.release()
	for id := uint16(1); id <= 10; id++ {
		c.expect(packets.Puback, 0)
	}
}

func TestMQTTClientsThatAreSilentEnd(t *testing.T) {
	t.Parallel() // it waits
	hasty := start(t, &logProducer{}, func(o *Options) { o.Config.AuthTimeout = 200 * time.Millisecond })
	stranger := hasty.dialMQTT(t, 5)
	if code, reason := stranger.closeCode(); code != wire.CloseRefused || reason != wire.ReasonAuthTimeout {
		t.Errorf("without CONNECT: closed with %d %s", code, reason)
	}
	s := start(t, &logProducer{}, quickly)
	c := s.mqtt(t, 5, func(pk *packets.Packet) { pk.Connect.Keepalive = 1 })
	c.expect(packets.Disconnect, 0x8d)
	if code, _ := c.closeCode(); code != wire.CloseHeartbeat {
		t.Errorf("keep alive: closed with %d", code)
	}
	slow := s.mqtt(t, 5, func(pk *packets.Packet) { pk.Connect.ClientIdentifier = "slow" })
	slow.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	slow.expect(packets.Pingresp, 0)
	slow.raw([]byte{0x30, 100, 0})
	slow.expect(packets.Disconnect, 0x97)
}

func TestMQTTDrainsWithReceiptsFirst(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p)
	c := s.mqtt(t, 5)
	c.write(publication(1, "plant1/press7/t", "1"))
	eventually(t, "taken", func() bool { return p.asked() == 1 })
	var stopped sync.WaitGroup
	stopped.Go(s.stop)
	eventually(t, "draining", func() bool { return s.Ready() != nil })
	p.release()
	c.expect(packets.Puback, 0)
	c.expect(packets.Disconnect, 0x8b)
	if code, _ := c.closeCode(); code != wire.CloseDraining {
		t.Errorf("closed with %d", code)
	}
	stopped.Wait()
}

func TestMQTTEndsWithItsCredentials(t *testing.T) {
	gate := &keyGate{}
	p := &logProducer{}
	s := start(t, p, func(o *Options) { o.Gate = gate })
	c := s.mqtt(t, 5, withKey, will)
	gate.revoke()
	c.expect(packets.Disconnect, 0x87)
	if code, _ := c.closeCode(); code != wire.CloseTokenRevoked {
		t.Errorf("closed with %d", code)
	}
	eventually(t, "gone", func() bool { return s.connections.Load() == 0 })
	if n := len(p.readings(t)); n != 0 {
		t.Errorf("the will of who was signed out is stored")
	}
}

func TestMQTTClientThatConnectsAgainReplacesItself(t *testing.T) {
	s := start(t, &logProducer{})
	first := s.mqtt(t, 5)
	other := s.mqtt(t, 5, func(pk *packets.Packet) { pk.Connect.ClientIdentifier = "other" })
	second := s.mqtt(t, 4)
	first.expect(packets.Disconnect, 0x8e)
	if code, _ := first.closeCode(); code != wire.CloseSessionTakenOver {
		t.Errorf("closed with %d", code)
	}
	for _, c := range []*mqttClient{other, second} {
		c.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
		c.expect(packets.Pingresp, 0)
	}
}

func TestMQTTWillIsStoredOnAnAbnormalEndOnly(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*mqttClient)
		want int
	}{
		"cut": {func(c *mqttClient) { _ = c.conn.NetConn().Close() }, 1},
		"disconnect": {func(c *mqttClient) {
			c.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
		}, 0},
		"disconnect with will": {func(c *mqttClient) {
			c.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ReasonCode: 4})
		}, 1},
		"protocol error": {func(c *mqttClient) { c.raw([]byte{0xf0, 0}) }, 1},
	} {
		p := &logProducer{}
		s := start(t, p)
		client := s.mqtt(t, 5, will)
		c.end(client)
		eventually(t, "gone", func() bool { return s.connections.Load() == 0 })
		if n := len(p.readings(t)); n != c.want {
			t.Errorf("%s: the will is stored %d times, want %d", name, n, c.want)
		}
	}
}

// commandBook gives one command to whoever attaches, and keeps results.
type commandBook struct {
	mu        sync.Mutex
	attached  map[string]int
	delivered []string
	results   []string
}

func (b *commandBook) Attach(device string, deliver func(*commands.Command) bool) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.attached == nil {
		b.attached = make(map[string]int)
	}
	b.attached[device]++
	deliver(&commands.Command{ID: "c1", Device: device, Name: "restart", Args: []byte(`{"in":5}`), Expires: time.Now().Add(time.Minute)})
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.attached[device]--
	}
}

func (b *commandBook) Delivered(_, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delivered = append(b.delivered, id)
}

func (b *commandBook) Result(_ context.Context, device, id string, r commands.Result, done func(error)) {
	b.mu.Lock()
	b.results = append(b.results, fmt.Sprintf("%s %s %v %s", device, id, r.OK, r.Result))
	b.mu.Unlock()
	if id != "c1" {
		done(wire.NewError(wire.CodeCommandUnknown, ""))
		return
	}
	done(nil)
}

func (b *commandBook) count(f func() int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return f()
}

func TestMQTTSubscriptionsAreToOwnCommandsOnly(t *testing.T) {
	book := &commandBook{}
	s := start(t, &logProducer{}, keyed, func(o *Options) { o.Commands = book })
	filters := []struct {
		filter   string
		old, now byte
	}{
		{"plant1/press7/_commands", 1, 1},
		{"plant1/press8/_commands", 0x80, 0x87},
		{"plant1/press7", 0x80, 0x87},
		{"plant1/+/_commands", 0x80, 0xa2},
		{"#", 0x80, 0xa2},
		{"$share/g/plant1/press7/_commands", 0x80, 0x9e},
	}
	for _, version := range []byte{4, 5} {
		c := s.mqtt(t, version, withKey)
		pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3}
		for _, f := range filters {
			pk.Filters = append(pk.Filters, packets.Subscription{Filter: f.filter, Qos: 2})
		}
		c.write(pk)
		answer := c.expect(packets.Suback, 0)
		for i, f := range filters {
			want := f.now
			if version == 4 {
				want = f.old
			}
			if answer.ReasonCodes[i] != want {
				t.Errorf("%s in %d: %#x, want %#x", f.filter, version, answer.ReasonCodes[i], want)
			}
		}
		command := c.expect(packets.Publish, 0)
		if command.TopicName != "plant1/press7/_commands" || command.FixedHeader.Qos != 1 || command.PacketID == 0 {
			t.Errorf("command %+v", command)
		}
		if version == 5 && (command.Properties.ResponseTopic != "plant1/press7/_commands/c1/result" || command.Properties.ContentType != "application/json") {
			t.Errorf("properties %+v", command.Properties)
		}
		before := book.count(func() int { return len(book.delivered) })
		c.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: command.PacketID})
		eventually(t, "delivered", func() bool { return book.count(func() int { return len(book.delivered) }) == before+1 })
		c.write(publication(4, "plant1/press7/_commands/c1/result", `{"ok":true,"result":{"up":1}}`))
		c.expect(packets.Puback, 0)
		if version == 5 {
			for topic, reason := range map[string]byte{
				"plant1/press7/_commands/c9/result": 0x83, "plant1/press8/_commands/c1/result": 0x87, "plant1/press7/_commands/x": 0x90} {
				c.write(publication(5, topic, `{"ok":true}`))
				c.expect(packets.Puback, reason)
			}
			c.write(publication(6, "plant1/press7/_commands/c1/result", `nonsense`))
			c.expect(packets.Puback, 0x99)
			c.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: 7, Filters: packets.Subscriptions{{Filter: filters[0].filter}, {Filter: "x"}}})
			if pk := c.expect(packets.Unsuback, 0); pk.ReasonCodes[0] != 0 || pk.ReasonCodes[1] != 0x11 {
				t.Errorf("UNSUBACK %x", pk.ReasonCodes)
			}
		}
		_ = c.conn.NetConn().Close()
		eventually(t, "detached", func() bool { return book.count(func() int { return book.attached["plant1/press7"] }) == 0 })
	}
}

func TestTheEncodersInUseAreKept(t *testing.T) {
	in := newIntake(newConn(start(t, nullProducer{}).Server, dialect{}))
	first := in.encoder("first", wire.FormatJSON)
	for i := range 3 * keepEncoders {
		other := in.encoder(fmt.Sprint("other", i), wire.FormatJSON)
		if other == first || in.encoder("first", wire.FormatJSON) != first {
			t.Fatalf("another encoder after %d devices", i+1)
		}
	}
	if len(in.encoders) != keepEncoders || len(in.order) != keepEncoders {
		t.Errorf("%d encoders are kept, %d in order", len(in.encoders), len(in.order))
	}
}
