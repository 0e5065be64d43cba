package ingest

import (
	"net/http"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// mere makes a principal one of all roles but that of a device, for one device if it is to.
func mere(t testing.TB, device string) func(*auth.Principal) {
	return func(p *auth.Principal) {
		p.Roles = []string{auth.RoleViewer, auth.RoleOperator, auth.RoleAdmin}
		if device == "" {
			return
		}
		own, err := telemetry.ParsePattern(device)
		if err != nil {
			t.Fatal(err)
		}
		p.Read, p.Write = []telemetry.Pattern{own}, []telemetry.Pattern{own}
	}
}

func TestWhoIsNoDeviceSpeaksForNone(t *testing.T) {
	g := newDoorman()
	g.let("all", "anna", mere(t, ""))
	g.let("one", "berta", mere(t, "a/b"))
	book := &commandBook{}
	p := &logProducer{}
	r, change, join := withDevices(t)
	s := start(t, p, guarded(g, change, func(o *Options) { o.Commands = book }))
	join(s)
	const nameless = `{"metric":"m","value":1}`
	for _, token := range []string{"all", "one"} {
		for query, frame := range map[string]string{"": readingOfA, "?device=a/b": nameless} {
			res, got := s.post(t, query, frame, "Authorization", "Bearer "+token)
			if looked := len(got.Rejected) > 0; res.StatusCode != http.StatusForbidden || looked == (query != "") {
				t.Errorf("POST %s of %s: %d %+v", query, token, res.StatusCode, got)
			}
		}
		s.dial(t, "?device=a/b", bearer(token)).closedAs(wire.CloseRefused, wire.ReasonForbidden)
		d := s.dial(t, "", bearer(token))
		d.send(readingOfA)
		if got := d.receipt(); len(got.Rejected) != 1 || got.Rejected[0].Code != wire.CodeForbidden {
			t.Errorf("%s: %+v", token, got)
		}
		d.send(nameless)
		if got := d.receipt(); len(got.Rejected) != 1 || got.Rejected[0].Code != wire.CodeDeviceMissing {
			t.Errorf("%s, without a name: %+v", token, got)
		}
		d.refuses(`{"type":"hello","payload":{"device":"a/b"}}`, wire.CodeForbidden, "payload.device")
		d.refuses(`{"type":"command_result","payload":{"device":"a/b","id":"c1","ok":true}}`, wire.CodeForbidden, "payload.device")
	}
	if len(p.stored(wire.TopicReadings)) != 0 || len(book.attached) != 0 || len(book.results) != 0 || stateOf(r, "a/b") != "" {
		t.Errorf("stored %d, commands for %v, results %v, the device is %q",
			len(p.stored(wire.TopicReadings)), book.attached, book.results, stateOf(r, "a/b"))
	}
}

func TestWhoIsNoDeviceSpeaksForNoneOverMQTTEither(t *testing.T) {
	g := newDoorman()
	g.let("all", "anna", mere(t, ""))
	book := &commandBook{}
	p := &logProducer{}
	s := start(t, p, guarded(g, func(o *Options) { o.Commands = book }))
	c := s.mqtt(t, 5, withPassword("all"))
	c.write(publication(1, "a/b/m", "1"))
	c.expect(packets.Puback, 0x87)
	c.write(publication(2, "a/b/_commands/c1/result", `{"ok":true}`))
	c.expect(packets.Puback, 0x87)
	c.write(&packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3,
		Filters: packets.Subscriptions{{Filter: "a/b/_commands", Qos: 1}}})
	if answer := c.expect(packets.Suback, 0); answer.ReasonCodes[0] != 0x87 {
		t.Errorf("the subscription is answered %#x", answer.ReasonCodes[0])
	}
	if len(p.stored(wire.TopicReadings)) != 0 || len(book.attached) != 0 || len(book.results) != 0 {
		t.Errorf("stored %d, commands for %v, results %v", len(p.stored(wire.TopicReadings)), book.attached, book.results)
	}
}

func withPassword(text string) func(*packets.Packet) {
	return func(pk *packets.Packet) { withKey(pk); pk.Connect.Password = []byte(text) }
}
