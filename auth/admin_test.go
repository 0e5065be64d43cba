package auth_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/auth"
)

func TestAnAdminGivesNoMoreThanItHas(t *testing.T) {
	w := open(t, nil).run()
	root := w.operator()
	acme := w.token(root, object{
		"sub": "chief", "tenant": "acme", "roles": []string{"admin"}, "read": []string{"acme/#"}, "write": []string{"acme/line1/#"}})
	foreign, _ := w.key(root, object{"name": "other", "tenant": "other", "roles": []string{"viewer"}, "read": []string{"other/#"}})
	global, _ := w.key(root, object{"name": "global", "roles": []string{"viewer"}, "read": []string{"acme/#"}})
	strong, _ := w.key(root, object{"name": "strong", "tenant": "acme", "roles": []string{"admin", "device"}, "read": []string{"#"}, "write": []string{"#"}})
	own, _ := w.key(acme, object{"name": "own", "roles": []string{"viewer", "operator"}, "read": []string{"acme/line1/+"}, "write": []string{"acme/line1/a"}})

	viewer := object{"roles": []string{"viewer"}}
	with := func(more object) object {
		out := object{}
		for _, m := range []object{viewer, more} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		method, path string
		body         object
		code         string
	}{
		"key of another tenant":    {"POST", "/v1/keys", with(object{"tenant": "other"}), "forbidden tenant"},
		"key that reads more":      {"POST", "/v1/keys", with(object{"read": []string{"acme/a", "#"}}), "forbidden read[1]"},
		"key that reads elsewhere": {"POST", "/v1/keys", with(object{"read": []string{"other/#"}}), "forbidden read[0]"},
		"key that writes more":     {"POST", "/v1/keys", with(object{"write": []string{"acme/#"}}), "forbidden write[0]"},
		"key with a role it lacks": {"POST", "/v1/keys", object{"roles": []string{"device"}}, "forbidden roles[0]"},
		"key with a made-up role":  {"POST", "/v1/keys", object{"roles": []string{"root"}}, "field_range roles[0]"},
		"key without a role":       {"POST", "/v1/keys", object{"name": "x"}, "field_missing roles"},
		"key with a broken one":    {"POST", "/v1/keys", with(object{"read": []string{"a//b"}}), "path_segment_empty read[0]"},
		"key with own secrets":     {"POST", "/v1/keys", with(object{"secrets": []string{"a"}}), "field_unknown secrets"},
		"key with an odd tenant":   {"POST", "/v1/keys", with(object{"tenant": "acme/line1"}), "forbidden tenant"},
		"key for ever and a day":   {"POST", "/v1/keys", with(object{"ttl": "999999h"}), "field_range ttl"},
		"token of another tenant":  {"POST", "/v1/tokens", with(object{"sub": "x", "tenant": "other"}), "forbidden tenant"},
		"token that reads more":    {"POST", "/v1/tokens", with(object{"sub": "x", "read": []string{"+/#"}}), "forbidden read[0]"},
		"token for nobody":         {"POST", "/v1/tokens", viewer, "field_missing sub"},
		"token of no time":         {"POST", "/v1/tokens", with(object{"sub": "x", "ttl": "0s"}), "field_range ttl"},
		"token that lasts":         {"POST", "/v1/tokens", with(object{"sub": "x", "ttl": "20000h"}), "field_range ttl"},
		"rotate another tenant's":  {"POST", "/v1/keys/" + foreign + "/rotate", nil, "key_unknown"},
		"rotate one of none":       {"POST", "/v1/keys/" + global + "/rotate", nil, "key_unknown"},
		"rotate a stronger one":    {"POST", "/v1/keys/" + strong + "/rotate", nil, "forbidden"},
		"revoke another tenant's":  {"DELETE", "/v1/keys/" + foreign, nil, "key_unknown"},
		"revoke no key":            {"DELETE", "/v1/keys/nobody", nil, "key_unknown"},
		"revoke for another":       {"POST", "/v1/revocations", object{"subject": "x", "tenant": "other"}, "forbidden tenant"},
		"revoke a foreign key":     {"POST", "/v1/revocations", object{"key": foreign}, "key_unknown"},
		"revoke nothing":           {"POST", "/v1/revocations", object{}, "field_missing key"},
		"revoke two things":        {"POST", "/v1/revocations", object{"token": "a", "subject": "b"}, "field_range subject"},
	} {
		t.Run(name, func(t *testing.T) {
			var body any
			if c.body != nil {
				body = c.body
			}
			if a := w.ask(c.method, c.path, acme, body); a.code() != c.code {
				t.Errorf("%d %s, want %s", a.status, a.raw, c.code)
			}
		})
	}
	list := w.ask("GET", "/v1/keys", acme, nil).raw
	if !strings.Contains(list, own) || !strings.Contains(list, strong) || strings.Contains(list, foreign) || strings.Contains(list, global) {
		t.Errorf("lists %s", list)
	}
	if a := w.ask("POST", "/v1/keys/"+own+"/rotate", acme, nil); a.status != 200 {
		t.Errorf("its own: %d %s", a.status, a.raw)
	}
	if a := w.ask("DELETE", "/v1/keys/"+strong, acme, nil); a.status != 204 {
		t.Errorf("revoking gives nothing: %d %s", a.status, a.raw)
	}
	// What it makes is its tenant's, although it did not say so.
	p, err := w.Token(context.Background(), w.token(acme, object{"sub": "x", "roles": []string{"viewer"}, "read": []string{"acme/#"}}))
	must(t, err)
	if p.Tenant != "acme" {
		t.Errorf("%+v", p)
	}
}

func TestOnlyAdminsHandleCredentials(t *testing.T) {
	w := open(t, nil).run()
	root := w.operator()
	operator := w.token(root, object{"sub": "o", "roles": []string{"operator", "viewer", "device"}, "read": []string{"#"}, "write": []string{"#"}})
	for _, c := range []struct{ method, path string }{
		{"GET", "/v1/keys"}, {"POST", "/v1/keys"}, {"POST", "/v1/keys/x/rotate"}, {"DELETE", "/v1/keys/x"}, {"POST", "/v1/tokens"}, {"POST", "/v1/revocations"},
	} {
		if a := w.ask(c.method, c.path, operator, nil); a.status != 403 {
			t.Errorf("an operator, %s %s: %d", c.method, c.path, a.status)
		}
		if a := w.ask(c.method, c.path, "", nil); a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("nobody, %s %s: %d", c.method, c.path, a.status)
		}
	}
}

func TestRevokingASubjectEndsWhatItHadAndNotWhatItGetsLater(t *testing.T) {
	w := open(t, issuer(t)).run()
	root := w.operator()
	alice := object{"sub": "alice", "roles": []string{"viewer"}, "tenant": "acme"}
	before := w.token(root, alice)
	elsewhere := w.token(root, object{"sub": "alice", "roles": []string{"viewer"}, "tenant": "other"})
	foreign := sign(t, "HS256", "HS256", []byte(sharedSecret), object{"tenant": "acme", "iat": nil})
	ended, stop := w.watch(before)
	defer stop()
	stays, stop2 := w.watch(elsewhere)
	defer stop2()
	if a := w.ask("POST", "/v1/revocations", root, object{"subject": "alice", "tenant": "acme"}); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	wantEnd(t, ended, "token_revoked")
	w.wantRefusal(before, "token_revoked")
	w.wantRefusal(foreign, "token_revoked")
	w.wantRefusal(elsewhere, "")
	wantOpen(t, stays)
	w.wantRefusal(w.token(root, alice), "")
	if a := w.ask("POST", "/v1/revocations", root, object{"subject": "alice"}); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	wantEnd(t, stays, "token_revoked")
}

// slowStore takes as long to write as Kafka.
type slowStore struct {
	auth.Store
	slow atomic.Bool
}

func (s *slowStore) Put(ctx context.Context, key string, value []byte) error {
	if s.slow.Load() {
		time.Sleep(20 * time.Millisecond)
	}
	return s.Store.Put(ctx, key, value)
}

func TestRevokingASubjectCannotBeOutrun(t *testing.T) {
	st := new(slowStore)
	w := open(t, func(o *auth.Options) { st.Store, o.Store = o.Store, st }).run()
	root := w.operator()
	alice := object{"sub": "alice", "roles": []string{"admin"}, "ttl": "24h"}
	stolen := w.token(root, alice)
	st.slow.Store(true)
	revoked := make(chan answer, 1)
	go func() { revoked <- w.ask("POST", "/v1/revocations", root, object{"subject": "alice"}) }()
	// All that a thief makes until the revocation is visible: sessions, and tokens for the same subject.
	var made []string
	for {
		if a := w.ask("POST", "/v1/tokens", stolen, alice); a.status == 201 {
			made = append(made, a.text("token"))
		}
		if len(made) < 15 { // of which there may be so many a minute
			if a := w.ask("POST", "/v1/session", "", object{"token": stolen}); a.status == 200 {
				made = append(made, cookieOf(t, a, "weir_session").Value)
			}
		}
		select {
		case a := <-revoked:
			if a.status != 200 {
				t.Fatal(a.raw)
			}
		default:
			continue
		}
		break
	}
	if len(made) < 2 {
		t.Fatalf("nothing was made meanwhile: %d", len(made))
	}
	for i, one := range made {
		if refusal(w, one) != "token_revoked" {
			t.Errorf("%d of %d is still good", i, len(made))
		}
	}
	w.wantRefusal(w.token(root, alice), "") // what an admin makes afterwards is good at once
}

func TestARevocationOfASubjectHoldsForASecondInstanceThatHasNotHeardOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signing := filepath.Join(t.TempDir(), "signing.key")
		must(t, os.WriteFile(signing, []byte("one-secret-for-all-of-the-processes"), 0o600))
		with := func(o *auth.Options) { o.Config.SigningKeyFile = signing }
		a, deaf := open(t, with).run(), open(t, with).run() // each on a store of its own
		alice := object{"sub": "alice", "roles": []string{"viewer"}, "ttl": "24h"}
		if got := a.ask("POST", "/v1/revocations", a.operator(), object{"subject": "alice"}); got.status != 200 {
			t.Fatal(got.raw)
		}
		time.Sleep(time.Second)
		a.wantRefusal(deaf.token(deaf.operator(), alice), "token_revoked")
		a.wantRefusal(a.token(a.operator(), alice), "")
		time.Sleep(5 * time.Second)
		a.wantRefusal(deaf.token(deaf.operator(), alice), "")
	})
}

func TestASessionMadeAfterARevocationOfOlderCredentialsIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		root := w.operator()
		token := w.token(root, object{"sub": "alice", "roles": []string{"viewer"}, "ttl": "24h"})
		time.Sleep(time.Minute)
		session := cookieOf(t, w.ask("POST", "/v1/session", "", object{"token": token}), "weir_session").Value
		family := w.ask("POST", "/v1/session", "", object{"token": token, "refresh": true})
		// A revocation from between the two, as it arrives from another process.
		between, err := json.Marshal(object{
			"v": 1, "kind": "subject", "value": "alice", "time": w.now().Add(-30 * time.Second), "until": w.now().Add(time.Hour)})
		must(t, err)
		must(t, w.store.Put(t.Context(), "revoked/subject/*/alice", between))
		for _, one := range []string{token, session, family.text("access_token")} {
			w.wantRefusal(one, "token_revoked")
		}
		if a := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": family.text("refresh_token")}); a.code() != "token_revoked" {
			t.Errorf("%d %s", a.status, a.raw)
		}
	})
}

func TestATenantCannotRevokeWithAnothersNames(t *testing.T) {
	w := open(t, nil).run()
	root := w.operator()
	acme := w.token(root, object{"sub": "chief", "tenant": "acme", "roles": []string{"admin"}})
	victim := w.token(root, object{"sub": "v", "tenant": "other", "roles": []string{"viewer"}})
	pair := w.ask("POST", "/v1/session", "", object{"token": victim, "refresh": true})
	p, err := w.Token(context.Background(), pair.text("access_token"))
	must(t, err)
	for _, body := range []object{{"token": p.TokenID}, {"subject": "v"}, {"family": p.Family}} {
		if a := w.ask("POST", "/v1/revocations", acme, body); a.status != 200 {
			t.Errorf("%d %s", a.status, a.raw) // says nothing about whether there is one
		}
	}
	w.wantRefusal(pair.text("access_token"), "")
	if a := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": pair.text("refresh_token")}); a.status != 200 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := w.ask("POST", "/v1/revocations", root, object{"family": p.Family}); a.status != 200 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	w.wantRefusal(pair.text("access_token"), "token_revoked")
}

func TestWhatIsOverIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(o *auth.Options) {
			c := &o.Config
			c.MaxTokenLifetime, c.SessionLifetime, c.RefreshLifetime = 2*time.Hour, time.Hour, time.Hour
		}).run()
		root := w.operator()
		_, key := w.key(root, object{"roles": []string{"admin"}})
		id, gone := w.key(root, object{"roles": []string{"viewer"}})
		w.ask("DELETE", "/v1/keys/"+id, root, nil)
		token := w.token(key, object{"sub": "x", "roles": []string{"viewer"}, "ttl": "2h"})
		w.ask("POST", "/v1/revocations", key, object{"subject": "x"})
		count := func(prefix string) (n int) {
			w.store.Range(prefix, func(string, []byte) bool { n++; return true })
			return n
		}
		time.Sleep(2*time.Hour - time.Second)
		w.wantRefusal(token, "token_revoked")
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if n := count("revoked/"); n != 0 {
			t.Errorf("%d revocations are kept", n)
		}
		w.wantRefusal(token, "token_expired")
		w.wantRefusal(gone, "token_revoked")
		keys := count("key/")
		time.Sleep(31 * 24 * time.Hour)
		synctest.Wait()
		if n := count("key/"); n != keys-1 {
			t.Errorf("%d of %d keys are kept", n, keys)
		}
		w.wantRefusal(key, "")
		w.wantRefusal(gone, "token_invalid")
	})
}
