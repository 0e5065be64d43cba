package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/auth"
)

func TestAKeySpeaksForWhatItWasMadeFor(t *testing.T) {
	w := open(t, nil).run()
	_, key := w.key(w.operator(), object{"name": "press 7", "roles": []string{"device"}, "write": []string{"plant1/press7/#"}, "tenant": "plant1"})
	p, err := w.Token(context.Background(), key)
	must(t, err)
	if !p.Has(auth.RoleDevice) || p.Has(auth.RoleViewer) || p.Method != auth.MethodKey || p.Tenant != "plant1" {
		t.Errorf("%+v", p)
	}
	if !p.MayWrite("plant1/press7") || p.MayWrite("plant1/press8") || p.MayReadPath("plant1/press7/m") {
		t.Error("its patterns do not hold")
	}
	parts := strings.Split(key, "_")
	if len(parts) != 3 || parts[0] != "weir" || len(parts[2]) < 32 {
		t.Errorf("the form of the key is %d parts", len(parts))
	}
	for name, wrong := range map[string]string{
		"other secret": parts[0] + "_" + parts[1] + "_" + strings.Repeat("a", len(parts[2])),
		"other id":     "weir_nobody_" + parts[2],
		"no secret":    "weir_" + parts[1] + "_",
		"cut":          key[:len(key)-1],
		"longer":       key + "a",
	} {
		if got := refusal(w, wrong); got != "token_invalid" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestSecretsOfKeysAreKeptNowhere(t *testing.T) {
	w := open(t, nil).run()
	id, key := w.key(w.operator(), object{"roles": []string{"device"}, "write": []string{"#"}})
	secret := key[strings.LastIndex(key, "_")+1:]
	value, _ := w.store.Get("key/" + id)
	listed := w.ask("GET", "/v1/keys", w.operator(), nil)
	for where, text := range map[string]string{"store": string(value), "list": listed.raw, "log": w.log.String()} {
		if strings.Contains(text, secret) || where != "log" && !strings.Contains(text, id) {
			t.Errorf("%s: %s", where, text)
		}
	}
	if strings.Contains(listed.raw, "hash") {
		t.Errorf("hashes are listed: %s", listed.raw)
	}
}

func TestARotatedKeyHasTwoSecretsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		by := w.operator()
		id, old := w.key(by, object{"roles": []string{"device"}, "write": []string{"#"}})
		ended, stop := w.watch(old)
		defer stop()
		a := w.ask("POST", "/v1/keys/"+id+"/rotate", by, object{"overlap": "1h"})
		fresh := a.text("key")
		if a.status != 200 || fresh == "" || fresh == old {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		w.wantRefusal(old, "")
		w.wantRefusal(fresh, "")
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		w.wantRefusal(old, "")
		wantOpen(t, ended)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.wantRefusal(old, "token_expired")
		w.wantRefusal(fresh, "")
		wantEnd(t, ended, "token_expired")
		if p, err := w.Token(context.Background(), fresh); err != nil || !p.Expires.IsZero() {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func TestAKeyExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		_, key := w.key(w.operator(), object{"roles": []string{"device"}, "write": []string{"#"}, "ttl": "10m"})
		ended, stop := w.watch(key)
		defer stop()
		time.Sleep(10*time.Minute - time.Millisecond)
		synctest.Wait()
		wantOpen(t, ended)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		wantEnd(t, ended, "token_expired")
		w.wantRefusal(key, "token_expired")
	})
}

func TestARevokedKeyEndsWhatWasMadeOfIt(t *testing.T) {
	w := open(t, nil).run()
	by := w.operator()
	id, key := w.key(by, object{"roles": []string{"viewer"}, "read": []string{"#"}})
	session := w.ask("POST", "/v1/session", "", object{"token": key, "refresh": true})
	direct, stop := w.watch(key)
	defer stop()
	derived, stop2 := w.watch(session.text("access_token"))
	defer stop2()
	other, stop3 := w.watch(by)
	defer stop3()
	if a := w.ask("DELETE", "/v1/keys/"+id, by, nil); a.status != 204 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	wantEnd(t, direct, "token_revoked")
	wantEnd(t, derived, "token_revoked")
	wantOpen(t, other)
	w.wantRefusal(key, "token_revoked")
	w.wantRefusal(session.text("access_token"), "token_revoked")
	if a := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": session.text("refresh_token")}); a.code() != "token_revoked" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := w.ask("POST", "/v1/keys/"+id+"/rotate", by, nil); a.code() != "key_unknown" {
		t.Errorf("a revoked key was rotated: %d %s", a.status, a.raw)
	}
}

func TestARevokedKeyDoesNotComeBackWhenItIsRotatedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(o *auth.Options) {
			c := &o.Config
			c.MaxTokenLifetime, c.SessionLifetime, c.RefreshLifetime = 2*time.Hour, time.Hour, time.Hour
		}).run()
		by := w.operator()
		id, key := w.key(by, object{"roles": []string{"admin"}})
		// What an instance writes that has not heard of the revocation.
		rotated := w.ask("POST", "/v1/keys/"+id+"/rotate", key, object{"overlap": "1h"}).text("key")
		record, ok := w.store.Get("key/" + id)
		if a := w.ask("DELETE", "/v1/keys/"+id, by, nil); !ok || a.status != 204 {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		must(t, w.store.Put(t.Context(), "key/"+id, record))
		for _, one := range []string{key, rotated} {
			w.wantRefusal(one, "token_revoked")
		}
		if a := w.ask("GET", "/v1/keys", by, nil); !strings.Contains(a.raw, `"revoked_at"`) {
			t.Errorf("listed as valid: %s", a.raw)
		}
		if a := w.ask("POST", "/v1/keys/"+id+"/rotate", by, nil); a.code() != "key_unknown" {
			t.Errorf("rotated: %d %s", a.status, a.raw)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		w.wantRefusal(rotated, "token_revoked") // while its record says that it is valid, its revocation is kept
		time.Sleep(31 * 24 * time.Hour)
		synctest.Wait()
		w.wantRefusal(rotated, "token_invalid")
		if n := w.count("revoked/"); n != 0 {
			t.Errorf("%d revocations are kept", n)
		}
	})
}

func TestARotatedSecretEndsWhatWasMadeOfIt(t *testing.T) {
	w := open(t, nil).run()
	by := w.operator()
	id, leaked := w.key(by, object{"roles": []string{"admin"}, "read": []string{"#"}})
	cookie := cookieOf(t, w.ask("POST", "/v1/session", "", object{"token": leaked}), "weir_session").Value
	family := w.ask("POST", "/v1/session", "", object{"token": leaked, "refresh": true})
	ended, stop := w.watch(cookie)
	defer stop()
	rotated := w.ask("POST", "/v1/keys/"+id+"/rotate", by, object{"overlap": "0s"}).text("key")
	wantEnd(t, ended, "token_expired")
	w.wantRefusal(leaked, "token_invalid")
	w.wantRefusal(cookie, "token_expired")
	w.wantRefusal(family.text("access_token"), "token_expired")
	if a := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": family.text("refresh_token")}); a.code() != "token_expired" {
		t.Errorf("the family of the leaked secret: %d %s", a.status, a.raw)
	}
	fresh := w.ask("POST", "/v1/session", "", object{"token": rotated, "refresh": true})
	w.wantRefusal(fresh.text("access_token"), "")
	if a := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": fresh.text("refresh_token")}); a.status != 200 {
		t.Errorf("the family of the new secret: %d %s", a.status, a.raw)
	}
}

func TestWhatWasMadeOfASecretEndsWithItsOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		by := w.operator()
		id, old := w.key(by, object{"roles": []string{"viewer"}})
		session := cookieOf(t, w.ask("POST", "/v1/session", "", object{"token": old}), "weir_session").Value
		ended, stop := w.watch(session)
		defer stop()
		w.ask("POST", "/v1/keys/"+id+"/rotate", by, object{"overlap": "1h"})
		time.Sleep(time.Hour - time.Second)
		w.wantRefusal(session, "")
		wantOpen(t, ended)
		time.Sleep(2*time.Second + 30*time.Second) // the leeway of watches
		synctest.Wait()
		w.wantRefusal(session, "token_expired")
		wantEnd(t, ended, "token_expired")
	})
}

func TestTheLocalKeyIsMadeOnceAndMadeAnewWhenItsRecordIsGone(t *testing.T) {
	dir := t.TempDir()
	store := open(t, func(o *auth.Options) { o.DataDir = dir }).run().store
	first := readKey(t, dir)
	again := open(t, func(o *auth.Options) { o.DataDir, o.Store = dir, store }).run()
	if readKey(t, dir) != first {
		t.Error("made anew although it was valid")
	}
	p, err := again.Token(context.Background(), first)
	must(t, err)
	if !p.Has(auth.RoleAdmin) || !p.Has(auth.RoleDevice) || !p.MayWrite("a/b") || !p.MayReadPath("a/b/c") {
		t.Errorf("%+v", p)
	}
	w := open(t, func(o *auth.Options) { o.DataDir = dir }).run()
	if second := readKey(t, dir); second == first {
		t.Error("not made anew")
	} else {
		w.wantRefusal(second, "")
	}
	for _, name := range []string{"local.key", "signing.key"} {
		info, err := os.Stat(dir + "/credentials/" + name)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func readKey(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(auth.LocalKeyFile(dir))
	must(t, err)
	return strings.TrimSpace(string(text))
}

func TestKeysOfAnotherSigningKeyAreRefusedWithAWarning(t *testing.T) {
	a := open(t, nil).run()
	_, key := a.key(a.operator(), object{"roles": []string{"device"}, "write": []string{"#"}})
	b := open(t, func(o *auth.Options) { o.Store = a.store }).run()
	b.wantRefusal(key, "token_invalid")
	b.store.Fail(nil)
	if !strings.Contains(b.log.String(), "another signing key") {
		t.Errorf("no warning: %s", b.log)
	}
}

func TestTheFirstCredentialOfARequestCounts(t *testing.T) {
	w := open(t, nil).run()
	by := w.operator()
	names := []string{"bearer", "header", "cookie", "subprotocol", "query"}
	keys := make(map[string]string)
	subjects := make(map[string]string)
	for _, name := range names {
		id, key := w.key(by, object{"name": name, "roles": []string{"viewer"}, "read": []string{"#"}})
		keys[name], subjects[id] = key, name
	}
	for first := range names {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		for _, name := range names[first:] {
			switch name {
			case "bearer":
				r.Header.Set("Authorization", "bearer "+keys[name])
			case "header":
				r.Header.Set("X-Api-Key", keys[name])
			case "cookie":
				r.Header.Set("Cookie", "other=1; weir_session="+keys[name])
			case "subprotocol":
				r.Header.Set("Sec-WebSocket-Protocol", "weir.v1.json, weir.token."+keys[name])
			case "query":
				r.URL.RawQuery = "series=a&access_token=" + keys[name]
			}
		}
		p, err := w.Request(r)
		must(t, err)
		if subjects[p.Subject] != names[first] {
			t.Errorf("%s counted instead of %s", subjects[p.Subject], names[first])
		}
		if (p.Method == auth.MethodCookie) != (names[first] == "cookie") {
			t.Errorf("%s has method %s", names[first], p.Method)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r.Header.Set("Authorization", "Basic dTpw")
	if _, err := w.Request(r); !errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("%v", err)
	}
	r.Header.Set("Authorization", "Bearer nonsense")
	r.Header.Set("X-Api-Key", keys["header"])
	if _, err := w.Request(r); err == nil {
		t.Error("a wrong first credential was passed over")
	}
}
