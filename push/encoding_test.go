package push

import (
	"fmt"
	"testing"

	"github.com/lxzan/gws"

	"weir/telemetry"
	"weir/wire"
)

// webSockets are the encodings that a WebSocket can agree on.
var webSockets = map[string]dialOptions{
	"JSON":                 {},
	"JSON, compressed":     {deflate: true},
	"protobuf":             {protocol: wire.LiveProtocolProto},
	"protobuf, compressed": {protocol: wire.LiveProtocolProto, deflate: true},
}

// inEach runs a test for each of them.
func inEach(t *testing.T, test func(t *testing.T, o dialOptions)) {
	for name, o := range webSockets {
		t.Run(name, func(t *testing.T) { test(t, o) })
	}
}

func (o dialOptions) follower(t testing.TB) *follower {
	f := newFollower(t)
	f.proto = o.protocol == wire.LiveProtocolProto
	return f
}

func TestALaggardLosesNothingInAnyEncoding(t *testing.T) {
	const names, last = 200, 600
	inEach(t, func(t *testing.T, o dialOptions) {
		s := startServer(t, smallBuffers)
		s.feed(fleet(names, 0)...)
		o.recvBuffer, o.stalled = 2<<10, true
		c, f := s.dial(o), o.follower(t)
		c.subscribe("all", "#", 0)
		eventually(t, "it has subscribed", func() bool { return s.hub.m.subscriptions.Load() == 1 })
		for v := telemetry.Version(1); v <= last; v++ {
			s.feed(fleet(names, v)...)
		}
		s.feed(single("new/a/m", 0, 7))
		c.read()
		c.followUntil(f, "the end", func() bool {
			for i := range names {
				if got := f.series("all", fmt.Sprintf("plant/line%d/temperature", i)); got == nil || got.seen != last {
					return false
				}
			}
			return f.series("all", "new/a/m") != nil
		})
		if got := f.series("all", "plant/line7/temperature"); got.n != uint64(last-got.base) {
			t.Errorf("n adds up to %d, want %d", got.n, last-got.base)
		}
		if s.hub.m.frames[framePrivate].Get() == 0 {
			t.Error("no private frame was sent: the client did not stall")
		}
	})
}

func TestAReturnIsAnsweredInAnyEncoding(t *testing.T) {
	inEach(t, func(t *testing.T, o dialOptions) {
		s := startServer(t, nil)
		s.tailed()
		s.write(fleet(50, 0)...)
		cursor := s.snapshotOf(t, "series=%23").Cursor
		s.write(fleet(50, 1)...)
		for _, cursor := range []string{cursor, "nonsense"} {
			c, f := s.dial(o), o.follower(t)
			c.send(`{"type":"subscribe","payload":{"id":"my \"x\"","patterns":["#"],"cursor":%q}}`, cursor)
			sub := await[*wire.Subscribed](c, f)
			if sub.ID != `my "x"` || sub.Resumed == (cursor == "nonsense") || len(sub.Rows) != 50 || f.resyncs > 0 == sub.Resumed {
				t.Errorf("after %s: %q with %d rows, resumed %v, %d resyncs", cursor, sub.ID, len(sub.Rows), sub.Resumed, f.resyncs)
			}
		}
	})
}

func TestEveryEncodingTellsTheSame(t *testing.T) {
	const names = 30
	s := startServer(t, nil)
	s.feed(fleet(names, 0)...)
	type reader struct {
		*wsClient
		*follower
	}
	readers := make(map[string]reader)
	for name, o := range webSockets {
		r := reader{s.dial(o), o.follower(t)}
		if w := await[*wire.Welcome](r.wsClient, r.follower); w.Protocol != o.protocol && (o.protocol != "" || w.Protocol != wire.LiveProtocol) {
			t.Errorf("%s is welcomed to %s", name, w.Protocol)
		}
		r.send(`{"type":"subscribe","payload":{"id":"x","patterns":["#"],"max_hz":0,"fields":["last","max","state"]}}`)
		await[*wire.Subscribed](r.wsClient, r.follower)
		readers[name] = r
	}
	if got := s.hub.m.views.Load(); got != 1 {
		t.Errorf("%d views, want 1 for all", got)
	}
	for v := telemetry.Version(1); v < 10; v++ {
		s.feed(append(fleet(names, v), single(fmt.Sprintf("new/%d/m", v), 0, 1))...)
		s.hub.alerts(0, []telemetry.Alert{alert("a", "new/1/m", telemetry.Firing, v)}, int64(v))
		for name, r := range readers {
			r.followUntil(r.follower, "the alert and the rows", func() bool {
				return len(r.alerts) == int(v) && r.series("x", "plant/line0/temperature").seen == v
			})
			if got, want := r.series("x", "plant/line3/temperature"), readers["JSON"].series("x", "plant/line3/temperature"); name != "JSON" && want.seen == v &&
				fmt.Sprint(got.newest) != fmt.Sprint(want.newest) {
				t.Errorf("%s has\n%+v\nand JSON\n%+v", name, got.newest, want.newest)
			}
		}
	}
	if got := readers["protobuf"].alerts[8]; got.ID != "a" || got.Version != 9 {
		t.Errorf("the last alert is %+v", got)
	}
	eventually(t, "all frames were shared ones", func() bool { return s.hub.m.frames[frameShared].Get() == uint64(9*len(readers)) })
}

func TestAClientOfProtobufMaySpeakIt(t *testing.T) {
	s := startServer(t, nil)
	o := webSockets["protobuf"]
	c, f := s.dial(o), o.follower(t)
	say := func(b []byte) {
		if err := c.conn.WriteMessage(gws.OpcodeBinary, b); err != nil {
			t.Fatal(err)
		}
	}
	say(wire.AppendClientJSON(nil, []byte(`{"type":"app_ping","payload":7}`)))
	if pong := await[*wire.Pong](c, f); string(pong.Payload) != "7" {
		t.Errorf("answered by %s", pong.Payload)
	}
	say([]byte("nonsense"))
	if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeJSONSyntax {
		t.Errorf("nonsense is answered by %+v", e)
	}
	c.send(`{"type":"app_ping","payload":8}`) // text
	if pong := await[*wire.Pong](c, f); string(pong.Payload) != "8" {
		t.Errorf("answered by %s", pong.Payload)
	}
}

func TestTheFirstSubprotocolThatIsSpokenIsChosen(t *testing.T) {
	s := startServer(t, nil)
	for offers, want := range map[string]string{
		"weir.v1.json, weir.v1.proto":        wire.LiveProtocol,
		"other, weir.v1.proto, weir.v1.json": wire.LiveProtocolProto,
		"weir.token.abc, weir.v1.proto":      wire.LiveProtocolProto,
	} {
		c := s.dial(dialOptions{protocol: offers})
		f := newFollower(t)
		f.proto = want == wire.LiveProtocolProto
		if w := await[*wire.Welcome](c, f); w.Protocol != want || c.conn.SubProtocol() != want {
			t.Errorf("%s: %s, welcomed to %s", offers, c.conn.SubProtocol(), w.Protocol)
		}
	}
}
