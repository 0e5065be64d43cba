package ingest

import (
	"net/http"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"weir/wire"
)

func TestAnMQTTClientIsAStrangerUntilItsConnectWhateverItsRequestShowed(t *testing.T) {
	g := newDoorman()
	g.let("good", "press7")
	s := start(t, nullProducer{}, guarded(g, func(o *Options) { o.Config.MaxUnauthenticated = 2 }))
	const mqtt = "Sec-WebSocket-Protocol: mqtt"
	for _, credential := range []string{"X-Nothing: none", "Authorization: Bearer bad", "Authorization: Bearer expired"} {
		conn, br := s.rawDial(t, nil, mqtt, credential)
		if n := s.strangers.Load(); n != 1 {
			t.Fatalf("%s: %d strangers are counted", credential, n)
		}
		announce(t, conn, strangerBytes+1)
		closedWith(t, br, wire.CloseTooLarge, wire.ReasonFrameTooLarge)
		fragments, br := s.rawDial(t, nil, mqtt, credential)
		_, _ = fragments.Write(clientFrame(opBinary, false, true, strangerBytes))
		_, _ = fragments.Write(clientFrame(0, true, true, 1))
		closedWith(t, br, wire.CloseTooLarge, wire.ReasonFrameTooLarge)
		_, _ = conn.Close(), fragments.Close()
		eventually(t, "they are gone", func() bool { return s.connections.Load() == 0 })
	}
	if s.pending.taken.Load() != 0 {
		t.Error("room was taken")
	}
	s.rawDial(t, nil, mqtt, "Authorization: Bearer bad")
	late := s.dialMQTT(t, 5)
	refused(t, s, http.Header{"Sec-Websocket-Protocol": {"mqtt"}, "Authorization": {"Bearer bad"}}, wire.CodeTooManyConns)
	if pk := late.connect(withPassword("good")); pk.FixedHeader.Type != packets.Connack || pk.ReasonCode != 0 {
		t.Fatalf("CONNECT is answered by %+v", pk)
	}
	if n := s.strangers.Load(); n != 1 {
		t.Errorf("%d strangers are counted", n)
	}
	late.write(publication(1, "a/b", string(padded(mib-100))))
	late.expect(packets.Puback, 0)
}

func TestStrangersOfOneAddressKeepNoOthersOut(t *testing.T) {
	g := newDoorman()
	g.let("good", "press7")
	s := start(t, nullProducer{}, guarded(g, func(o *Options) {
		o.Config.MaxUnauthenticated, o.Proxies = 8, mustProxies("127.0.0.0/8", "::1")
	}))
	from := func(address string) http.Header { return http.Header{"X-Forwarded-For": {address}} }
	one := []*device{s.dial(t, "", from("2001:db8::1")), s.dial(t, "", from("2001:db8::2"))}
	refused(t, s, from("2001:db8::3"), wire.CodeLimitAddress)
	mqtt := from("2001:db8::3")
	mqtt.Set("Sec-WebSocket-Protocol", "mqtt")
	mqtt.Set("Authorization", "Bearer bad")
	refused(t, s, mqtt, wire.CodeLimitAddress)
	signed := from("2001:db8::3")
	signed.Set("Authorization", "Bearer good")
	s.dial(t, "", signed).accepts(readingOfA)

	one[0].send(authMessage("good"))
	one[0].authenticated("press7")
	_ = one[1].conn.NetConn().Close()
	eventually(t, "both places are free", func() bool { return s.strangersAt.holders() == 0 })
	one = []*device{s.dial(t, "", from("2001:db8::1")), s.dial(t, "", from("2001:db8::2"))}
	refused(t, s, from("2001:db8::3"), wire.CodeLimitAddress)

	for range 6 { // the machine itself may have all that are left
		s.dial(t, "", nil)
	}
	refused(t, s, from("192.0.2.1"), wire.CodeTooManyConns)
	if n := s.strangersAt.holders(); n != 1 {
		t.Errorf("%d addresses are held to have strangers", n)
	}
	for _, d := range one {
		_ = d.conn.NetConn().Close()
	}
	eventually(t, "all are given back", func() bool { return s.strangersAt.holders() == 0 && s.strangers.Load() == 6 })
}
