package push

import (
	"fmt"
	"strings"
	"testing"

	"weir/telemetry"
	"weir/wire"
)

// What clients must not send is answered with its code on their own connection, and the others go on.
func TestAbuseIsAnsweredWithItsCodeAndOthersAreNotDisturbed(t *testing.T) {
	many := func(n int) string {
		return `{"type":"subscribe","payload":{"id":"a","patterns":[` + strings.TrimSuffix(strings.Repeat(`"p/+/m",`, n), ",") + `]}}`
	}
	for _, tc := range []struct {
		name, said, code string
	}{
		{"unknown type", `{"type":"subscribe_v2","payload":{}}`, wire.CodeMessageType},
		{"more patterns than allowed", many(wire.MaxPatterns + 1), wire.CodePatternsTooMany},
		{"credit too far ahead", `{"type":"credit","payload":{"frames":1002}}`, wire.CodeCreditInvalid},
		{"credit beyond all numbers", `{"type":"credit","payload":{"frames":9223372036854775808}}`, wire.CodeFieldRange},
		{"nonsense", `{`, wire.CodeJSONSyntax},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startServer(t, nil)
			s.feed(single("p/a/m", 0, 1))
			witness, f := s.dial(dialOptions{query: "?subscribe=%23&max_hz=0"}), newFollower(t)
			await[*wire.Subscribed](witness, f)
			abuser, g := s.dial(dialOptions{}), newFollower(t)
			for v := range telemetry.Version(20) {
				abuser.send("%s", tc.said)
				if e := await[*wire.ErrorMsg](abuser, g); e.Code != tc.code {
					t.Fatalf("answered %s: %s", e.Code, e.Message)
				}
				s.feed(single("p/a/m", v+1, 1))
				witness.followUntil(f, "its frame", func() bool { return f.series("#", "p/a/m").seen == v+1 })
			}
			for range 2 * mistakesBurst {
				_ = abuser.conn.WriteString(tc.said)
			}
			abuser.waitClosed(wire.CloseProtocolError, wire.ReasonProtocolError)
			if got := f.series("#", "p/a/m").rows; got != 20 {
				t.Errorf("the witness was told %d frames, want 20", got)
			}
		})
	}
}

func TestMessageOfTenThousandPatternsEndsItsConnectionOnly(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1))
	witness, f := s.dial(dialOptions{query: "?subscribe=%23&max_hz=0"}), newFollower(t)
	await[*wire.Subscribed](witness, f)
	abuser := s.dial(dialOptions{})
	abuser.send(`{"type":"subscribe","payload":{"id":"a","patterns":["#"%s]}}`, strings.Repeat(`,"p/+/m"`, 10_000))
	abuser.waitClosed(wire.CloseTooLarge, wire.ReasonFrameTooLarge)
	s.feed(single("p/a/m", 1, 1))
	await[*wire.Updates](witness, f)
}

func TestStormOfSubscriptionsIsBoundedAndOthersAreNotDisturbed(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1))
	witness, f := s.dial(dialOptions{query: "?subscribe=%23&max_hz=0"}), newFollower(t)
	await[*wire.Subscribed](witness, f)
	storm := s.dial(dialOptions{stalled: true})
	for i := range 2000 {
		if storm.conn.WriteString(fmt.Sprintf(`{"type":"subscribe","payload":{"id":"%d","patterns":["p/+/m","x%d/#"]}}`, i, i)) != nil {
			break
		}
	}
	storm.read()
	storm.waitClosed(wire.CloseProtocolError, wire.ReasonProtocolError)
	eventually(t, "it is gone", func() bool { return s.hub.m.connections.Load() == 1 && s.hub.m.subscriptions.Load() == 1 })
	if got := s.hub.m.views.Load(); got != 1 {
		t.Errorf("%d views are left", got)
	}
	s.feed(single("p/a/m", 1, 1))
	await[*wire.Updates](witness, f)
}
