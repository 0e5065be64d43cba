package push

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
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

func TestWhoSpeaksAByteAtATimeIsHeardAndOthersAreNotDisturbed(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1))
	witness, f := s.dial(dialOptions{query: "?subscribe=%23&max_hz=0"}), newFollower(t)
	await[*wire.Subscribed](witness, f)
	slow := s.dialRaw(t, "")
	said := clientFrame(0x81, `{"type":"subscribe","payload":{"id":"x","patterns":["p/#"]}}`)
	for i := range said {
		if _, err := slow.Write(said[i : i+1]); err != nil {
			t.Fatal(err)
		}
		s.feed(single("p/a/m", telemetry.Version(i+1), 1))
		witness.followUntil(f, "its frame", func() bool { return f.series("#", "p/a/m").seen == telemetry.Version(i+1) })
	}
	slow.followUntilTold(newFollower(t), func(f *follower) bool { return f.series("x", "p/a/m") != nil })
}

func TestWhoReadsAByteAtATimeHasRowsMergedAndOthersAreNotDisturbed(t *testing.T) {
	const names, rounds = 100, 200
	s := startServer(t, smallBuffers)
	batch := func(v telemetry.Version) (us []telemetry.Update) {
		for i := range names {
			us = append(us, single(fmt.Sprintf("p/%d/m", i), v, 1))
		}
		return us
	}
	s.feed(batch(0)...)
	witness, f := s.dial(dialOptions{query: "?subscribe=%23&max_hz=0"}), newFollower(t)
	witness.keep = false
	await[*wire.Subscribed](witness, f)
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetReadBuffer(2 << 10); err != nil {
		t.Fatal(err)
	}
	slow := upgradeRaw(t, conn, "?subscribe=%23&max_hz=0")
	eventually(t, "it has subscribed", func() bool { return s.hub.m.subscriptions.Load() == 2 })
	var dripped []byte
	for v := telemetry.Version(1); v <= rounds; v++ {
		s.feed(batch(v)...)
		var one [1]byte
		if _, err := io.ReadFull(slow.in, one[:]); err != nil {
			t.Fatal(err)
		}
		dripped = append(dripped, one[0])
		witness.followUntil(f, "its frame", func() bool { return f.series("#", "p/0/m").seen == v })
		if rows := s.hub.m.laggingRows.Load(); rows > 2*names {
			t.Fatalf("%d rows wait for two views of %d series", rows, names)
		}
	}
	slow.in = bufio.NewReader(io.MultiReader(bytes.NewReader(dripped), slow.in))
	g := newFollower(t)
	slow.followUntilTold(g, func(f *follower) bool {
		last := f.series("#", fmt.Sprintf("p/%d/m", names-1))
		return last != nil && last.seen == rounds
	})
	if rows := g.series("#", "p/0/m").rows; rows >= rounds/2 {
		t.Errorf("%d frames for one that reads a byte a frame", rows)
	}
}

// followUntilTold lets a follower read until done.
func (r *rawClient) followUntilTold(f *follower, done func(*follower) bool) {
	r.t.Helper()
	for !done(f) {
		switch op, body, err := r.frame(); {
		case err != nil || op == opClose:
			r.t.Fatalf("opcode %d, %q, %v", op, body, err)
		case op == opPing:
			if _, err := r.Write(clientFrame(0x8a, string(body))); err != nil {
				r.t.Fatal(err)
			}
		default:
			f.take(body)
		}
	}
}
