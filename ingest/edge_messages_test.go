package ingest

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// listener keeps what it is told.
type listener struct{ heard chan string }

func (l listener) Hello(_ context.Context, p *auth.Principal, device string, payload json.RawMessage) *wire.Error {
	if strings.Contains(string(payload), "nonsense") {
		return wire.NewError(wire.CodeFieldUnknown, "payload.nonsense")
	}
	l.heard <- "hello " + p.Subject + " " + device + " " + string(payload)
	return nil
}

func (l listener) CommandResult(_ context.Context, p *auth.Principal, device string, payload json.RawMessage) *wire.Error {
	l.heard <- "result " + p.Subject + " " + device + " " + string(payload)
	return nil
}

// refuses sends a message that is answered with an error.
func (d *device) refuses(message, code, path string) {
	d.t.Helper()
	d.send(message)
	var m struct {
		Type    string
		Payload wire.Error
	}
	text := d.message()
	if err := json.Unmarshal(text, &m); err != nil || m.Type != wire.TypeError || m.Payload.Code != code || m.Payload.Path != path {
		d.t.Errorf("%s answered with %s, want %s at %q", message, text, code, path)
	}
}

func TestMessagesWithATypeAreRefusedWithoutAnEnd(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	d := s.dial(t, "", nil)
	d.refuses(`{"type":"dance"}`, wire.CodeMessageType, "type")
	d.refuses(" {\n\"type\" : 7}", wire.CodeJSONSyntax, "")
	d.refuses(`{"type":"hello","payload":{"device":"a/b"}}`, wire.CodeNotFound, "type")
	d.refuses(`{"type":"command_result","payload":{"device":"a/b"}}`, wire.CodeNotFound, "type")
	d.refuses(`{"type":"auth","payload":{"token":7}}`, wire.CodeFieldMissing, "payload.token")
	d.refuses(`{"type":"auth","payload":{"token":"weir_secret`, wire.CodeJSONSyntax, "")
	d.refuses(`{"type":"app_ping","pad":"`+strings.Repeat("x", maxTypedBytes)+`"}`, wire.CodeFrameTooLarge, "")
	if n := s.count(`weir_ingest_messages_refused_total{code="message_type"}`); n != 1 {
		t.Errorf("counted %d times", n)
	}
	d.accepts(readingOfA)
	if letters := p.stored(wire.TopicDeadLetters); len(letters) != 0 {
		t.Errorf("%d became dead letters", len(letters))
	}
}

func TestHelloAndCommandResultsGoToWhoTakesThem(t *testing.T) {
	l := listener{make(chan string, 10)}
	g := newDoorman()
	g.let("good", "press7")
	s := start(t, nullProducer{}, guarded(g, func(o *Options) { o.Hello, o.CommandResults = l, l }))
	d := s.dial(t, "?device=a/own", bearer("good"))
	d.send(`{"type":"hello","payload":{"unit":"C"}}`)
	d.send(`{"type":"command_result","payload":{"device":"a/b","ok":true}}`)
	for _, want := range []string{`hello press7 a/own {"unit":"C"}`, `result press7 a/b {"device":"a/b","ok":true}`} {
		if got := <-l.heard; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	if m := string(d.message()); m != `{"type":"hello_ok","payload":{"device":"a/own"}}` {
		t.Errorf("answer %s", m)
	}
	d.refuses(`{"type":"hello","payload":{"nonsense":1}}`, wire.CodeFieldUnknown, "payload.nonsense")
	d.refuses(`{"type":"hello","payload":{"device":"b/b"}}`, wire.CodeForbidden, "payload.device")
	d.refuses(`{"type":"hello","payload":{"device":"a/#"}}`, "path_wildcard", "payload.device")
	d.refuses(`{"type":"hello","payload":[]}`, wire.CodeFieldType, "payload")
	only, err := telemetry.ParsePattern("a/only")
	if err != nil {
		t.Fatal(err)
	}
	g.let("one", "press8", func(p *auth.Principal) { p.Write = []telemetry.Pattern{only} })
	s.dial(t, "", bearer("one")).send(`{"type":"command_result","payload":{"ok":true}}`)
	if got := <-l.heard; got != `result press8 a/only {"ok":true}` {
		t.Errorf("heard %s of credentials for one device", got)
	}
	nameless := s.dial(t, "", bearer("good"))
	nameless.refuses(`{"type":"hello"}`, wire.CodeDeviceMissing, "payload.device")
}

func TestAFloodOfMessagesWithATypeEndsTheConnection(t *testing.T) {
	s := start(t, nullProducer{})
	conn, br := s.rawDial(t, nil)
	go func() {
		for range 2 * typedAtOnce {
			if _, err := conn.Write(masked(opText, []byte(`{"type":"app_ping"}`))); err != nil {
				return
			}
		}
	}()
	closedWith(t, br, wire.CloseProtocolError, wire.ReasonProtocolError)
}

func TestWhatOthersHaveForADeviceIsBounded(t *testing.T) {
	s := start(t, nullProducer{})
	d := s.dial(t, "", nil)
	d.accepts(readingOfA)
	var c *conn
	s.each(func(one *conn) { c = one })
	if !c.post([]byte(`{"type":"command"}`)) {
		t.Fatal("not posted")
	}
	if m := string(d.message()); m != `{"type":"command"}` {
		t.Errorf("%s", m)
	}
	if c.post(make([]byte, outboxBytes+1)) {
		t.Error("more was taken than may wait")
	}
	_ = d.conn.WriteClose(1000, nil)
	eventually(t, "it is gone", func() bool { return s.connections.Load() == 0 })
	if c.post([]byte(`{}`)) {
		t.Error("taken for a device that is gone")
	}
}

func TestOnlyObjectsThatBeginWithATypeAreMessages(t *testing.T) {
	for text, want := range map[string]bool{
		`{"type":"x"}`: true, "{\r\n\t\"type\" :1}": true, `{"type"`: false, `[{"type":"x"}]`: false,
		`{"device":"a","type":"x"}`: false, `{"types":1}`: false, ``: false, `{`: false, "type": false,
	} {
		if got := isTyped([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
