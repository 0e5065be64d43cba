package ingest

import (
	"testing"

	"weir/auth"
	"weir/wire"
)

func TestALetterOfSeveralTenantsIsForNoneOfThem(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	const good1, bad1, good2, bad2 = `{"device":"plant1/a","metric":"m","value":1}`, `{"device":"plant1/a","metric":"m","value":"x"}`,
		`{"device":"plant2/b","metric":"m","value":1}`, `{"device":"plant2/b","metric":"m","value":"x"}`
	const unnamed = `{"metric":"m","value":"x"}`
	gateway, plant1, only := writerOf(t, "", "#"), writerOf(t, "plant1", "plant1/a"), writerOf(t, "", "plant1/a")
	for _, c := range []struct {
		name                           string
		who                            *auth.Principal
		device, frame, letter, ofThose string
	}{
		{"refused of another than what is stored", gateway, "", "[" + good1 + "," + bad2 + "]", "", ""},
		{"stored of several", gateway, "", "[" + good1 + "," + good2 + "," + bad1 + "]", "", ""},
		{"refused of several", gateway, "", "[" + bad1 + "," + bad2 + "]", "", ""},
		{"refused of one", gateway, "", "[" + bad1 + "," + bad1 + "]", "", ""},
		{"of one", gateway, "", "[" + good1 + "," + bad1 + "]", "plant1/a", ""},
		{"of another than the connection's", gateway, "plant1/own", bad2, "", ""},
		{"of another than the connection's, which it names too", gateway, "plant1/own", "[" + unnamed + "," + bad2 + "]", "", ""},
		{"not to be told", gateway, "plant1/own", unnamed, "plant1/own", ""},
		{"an open server", nil, "plant1/own", "[" + good1 + "," + bad2 + "]", "", ""},
		{"forbidden to a key of no tenant", only, "", good2, "", ""},
		{"forbidden to a tenant's key, beside what is not", plant1, "", "[" + good1 + "," + good2 + "]", "plant1/a", "plant1"},
		{"forbidden to a tenant's key", plant1, "", good2, "plant1/a", "plant1"},
		{"of a tenant's key", plant1, "", "[" + good1 + "," + unnamed + "]", "plant1/a", "plant1"},
		{"that is not understood", plant1, "", "[", "plant1/a", "plant1"},
	} {
		before := len(p.stored(wire.TopicDeadLetters))
		submitAs(t, s.Server, c.who, c.device, c.frame)
		stored := p.stored(wire.TopicDeadLetters)[before:]
		if len(stored) != 1 {
			t.Fatalf("%s: %d letters", c.name, len(stored))
		}
		letter, err := wire.DecodeDeadLetter(stored[0].Value)
		if err != nil || letter.Device != c.letter || letter.Tenant != c.ofThose || string(stored[0].Key) != c.letter || string(letter.Raw) != c.frame {
			t.Errorf("%s: a letter of %q and %q, want %q and %q (%v)", c.name, letter.Device, letter.Tenant, c.letter, c.ofThose, err)
		}
	}
}

func TestATenantUsesUpNobodyElsesLimit(t *testing.T) {
	m := newLimiter(&Limits{Key: Limit{Rate: 10, Burst: 100}, Remembered: 1 << 10}, Limit{}, perServer)
	token := func(tenant, subject string) *auth.Principal {
		return &auth.Principal{Subject: subject, Tenant: tenant, Method: auth.MethodToken}
	}
	key := func(tenant, id string) *auth.Principal {
		return &auth.Principal{Subject: id, KeyID: id, Tenant: tenant, Method: auth.MethodKey}
	}
	const now = int64(1e9)
	waits := func(p *auth.Principal, n int) bool {
		var q quota
		_, wait := q.take(m, p, []charge{{"d", n}}, now)
		return wait > 0
	}
	for _, p := range []*auth.Principal{token("plant1", "gateway"), token("plant1", "kid1"), token("plant1", "")} {
		if waits(p, 1000) {
			t.Fatalf("%+v waits for a full bucket", p)
		}
	}
	for _, p := range []*auth.Principal{token("plant2", "gateway"), token("", "gateway"), key("plant2", "kid1"), key("plant1", "kid1"), key("", "plant1")} {
		if waits(p, 1) {
			t.Errorf("%+v waits for what others have used up", p)
		}
	}
	again := token("plant1", "gateway")
	again.TokenID = "another"
	if !waits(again, 1) {
		t.Error("another token of the same subject has a limit of its own")
	}
	// A connection on which credentials are renewed, or of a request, counts for who speaks at present.
	var q quota
	if _, wait := q.take(m, again, []charge{{"d", 1}}, now); wait == 0 {
		t.Error("it does not wait")
	}
	if _, wait := q.take(m, token("plant3", "gateway"), []charge{{"d", 1}}, now); wait > 0 {
		t.Error("it waits for who spoke before")
	}
}

func TestWhoMaySpeakNoLongerLeavesNoWill(t *testing.T) {
	const hello = `{"type":"hello","payload":{"device":"a/1","will":{"readings":[{"metric":"up","value":0}],"text":"lost"}}}`
	for name, c := range map[string]struct {
		code string
		want int
	}{
		"revoked": {wire.CodeTokenRevoked, 0}, "expired": {wire.CodeTokenExpired, 0}, "cut off": {"", 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newDoorman()
			who := g.let("good", "press7")
			p := &logProducer{}
			r, change, join := withDevices(t)
			s := start(t, p, guarded(g, change))
			join(s)
			d := s.dial(t, "", bearer("good"))
			d.send(hello)
			d.message()
			// The device that follows has a will, too: once that is stored, the first would be.
			other := s.dial(t, "", bearer("good"))
			if c.code != "" {
				g.endFirst(who, c.code)
			} else {
				_ = d.conn.NetConn().Close()
			}
			awaitState(t, r, "a/1", "offline")
			other.send(`{"type":"hello","payload":{"device":"a/2","will":{"readings":[{"metric":"second","value":0}]}}}`)
			other.message()
			_ = other.conn.NetConn().Close()
			seen := func(metric string) int {
				n := 0
				for _, reading := range p.readings(t) {
					if reading.Metric == metric {
						n++
					}
				}
				return n
			}
			eventually(t, "the other's will is stored", func() bool { return seen("second") == 1 })
			if n := seen("up"); n != c.want {
				t.Errorf("its will is stored %d times, want %d", n, c.want)
			}
		})
	}
}

// endFirst ends the credentials for the connection that was the first to have them.
func (d *doorman) endFirst(p *auth.Principal, code string) {
	d.mu.Lock()
	ended := d.watched[p][0]
	d.mu.Unlock()
	ended(wire.NewError(code, ""))
}
