package auth_test

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"weir/wire"
)

func TestSessionsOfOneCredentialAreBoundedByTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		by := w.operator()
		_, key := w.key(by, object{"roles": []string{"device"}, "write": []string{"d"}})
		_, other := w.key(by, object{"roles": []string{"device"}, "write": []string{"d"}})
		for i := range 20 {
			if a := w.ask("POST", "/v1/session", "", object{"token": key, "refresh": i%2 == 0}); a.status != 200 {
				t.Fatalf("%d: %d %s", i, a.status, a.raw)
			}
		}
		a := w.ask("POST", "/v1/session", "", object{"token": key, "refresh": true})
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if a.status != 429 || a.code() != "limit_principal" || err != nil || wait < 1 || wait > 3 {
			t.Fatalf("%d %s %v", a.status, a.raw, a.header)
		}
		if a := w.ask("POST", "/v1/session", "", object{"token": other}); a.status != 200 {
			t.Errorf("another credential: %d %s", a.status, a.raw)
		}
		w.wantRefusal(key, "") // the key itself goes on
		time.Sleep(time.Duration(wait) * time.Second)
		if a := w.ask("POST", "/v1/session", "", object{"token": key}); a.status != 200 {
			t.Errorf("after Retry-After: %d %s", a.status, a.raw)
		}
	})
}

func TestAFamilyIsRenewedSoOftenAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		token := w.ask("POST", "/v1/session", "", object{"token": readToken(w), "refresh": true}).text("refresh_token")
		renew := func() answer { return w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": token}) }
		for range 20 {
			token = renew().text("refresh_token")
		}
		if a := renew(); a.code() != "limit_principal" || a.header.Get("Retry-After") == "" {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		time.Sleep(4 * time.Second)
		if a := renew(); a.status != 200 { // the token was not used up
			t.Errorf("%d %s", a.status, a.raw)
		}
	})
}

func TestTheFirstFamilyEndsWhenThereAreTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		by := w.operator()
		_, key := w.key(by, object{"roles": []string{"device"}, "write": []string{"d"}})
		before := w.count("family/")
		var tokens []string
		for range 103 {
			time.Sleep(3 * time.Second)
			tokens = append(tokens, w.ask("POST", "/v1/session", "", object{"token": key, "refresh": true}).text("refresh_token"))
		}
		if n := w.count("family/") - before; n != 100 {
			t.Errorf("%d families", n)
		}
		for i, want := range map[int]int{2: 401, 3: 200, 102: 200} {
			if a := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": tokens[i]}); a.status != want {
				t.Errorf("family %d: %d %s", i, a.status, a.raw)
			}
		}
	})
}

func TestSignedOutSessionsTakeBoundedRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		_, key := w.key(w.operator(), object{"roles": []string{"device"}, "write": []string{"d"}})
		signInAndOut := func() answer {
			time.Sleep(3 * time.Second)
			a := w.ask("POST", "/v1/session", "", object{"token": key})
			if a.status == 200 {
				w.serve(withCookie("DELETE", "/v1/session", cookieOf(t, a, "weir_session").Value))
			}
			return a
		}
		for range 1100 {
			signInAndOut()
		}
		if n := w.count("revoked/"); n != 1000 {
			t.Errorf("%d sign-outs are kept", n)
		}
		a := signInAndOut()
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if a.code() != "limit_principal" || err != nil || wait < 10*3600 || wait > 12*3600 {
			t.Errorf("%d %s %v", a.status, a.raw, a.header)
		}
		time.Sleep(12*time.Hour + 3*time.Minute)
		synctest.Wait()
		if n := w.count("revoked/"); n != 0 {
			t.Errorf("%d sign-outs are kept when the sessions would be over", n)
		}
		if a := signInAndOut(); a.status != 200 {
			t.Errorf("%d %s", a.status, a.raw)
		}
	})
}

func TestASignOutIsKeptAsLongAsTheTokenWouldHaveLived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		by := w.operator()
		token := w.token(by, object{"sub": "bob", "roles": []string{"viewer"}, "ttl": "2h"})
		family := w.ask("POST", "/v1/session", "", object{"token": token, "refresh": true}).text("access_token")
		end := w.now().Add(2 * time.Hour)
		w.ask("DELETE", "/v1/session", family, nil)
		w.ask("DELETE", "/v1/session", token, nil)
		n := 0
		w.store.Range("revoked/", func(key string, value []byte) bool {
			var one struct{ Until time.Time }
			must(t, json.Unmarshal(value, &one))
			if kept := one.Until.Sub(end); kept < 0 || kept > time.Minute {
				t.Errorf("%s is kept for %s longer than needed", key, kept)
			}
			n++
			return true
		})
		if n != 2 {
			t.Errorf("%d revocations", n)
		}
		time.Sleep(2*time.Hour - time.Second)
		w.wantRefusal(token, "token_revoked")
	})
}

func TestARevocationEndsEveryWatchItNamesAndNoOther(t *testing.T) {
	w := open(t, nil).run()
	by := w.operator()
	id, key := w.key(by, object{"roles": []string{"viewer"}})
	token := w.token(by, object{"sub": "a/b c", "roles": []string{"viewer"}})
	other := w.token(by, object{"sub": "a", "roles": []string{"viewer"}})
	p, err := w.Token(context.Background(), token)
	must(t, err)
	for _, c := range []struct {
		body  object
		ended []string
	}{
		{object{"key": id}, []string{key, w.ask("POST", "/v1/session", "", object{"token": key, "refresh": true}).text("access_token")}},
		{object{"token": p.TokenID}, []string{token, w.ask("POST", "/v1/session", "", object{"token": token, "refresh": true}).text("access_token")}},
		{object{"subject": "a"}, []string{other}},
	} {
		var ends []<-chan string
		for _, one := range c.ended {
			for range 3 {
				ended, stop := w.watch(one)
				defer stop()
				ends = append(ends, ended)
			}
		}
		stays, stop := w.watch(by)
		defer stop()
		if a := w.ask("POST", "/v1/revocations", by, c.body); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		for _, ended := range ends {
			wantEnd(t, ended, wire.CodeTokenRevoked)
		}
		wantOpen(t, stays)
	}
}
