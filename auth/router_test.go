package auth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"weir/auth"
	"weir/wire"
)

func TestARouterSaysWhichMethodsAPathHas(t *testing.T) {
	taken := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	routes := func(patterns ...string) *auth.Router {
		m := auth.NewRouter(auth.Open{}, auth.OriginPolicy{})
		for _, p := range patterns {
			m.HandleFunc(p, auth.Public, taken)
		}
		return m
	}
	some := []string{"GET /a", "PUT /a", "GET /d", "DELETE /d/{device...}", "/b/", "GET /b/c"}
	with := routes(append(some, "/")...)
	for _, c := range []struct {
		router       *auth.Router
		method, path string
		status       int
		allow, code  string
	}{
		{with, "GET", "/a", 204, "", ""},
		{with, "HEAD", "/a", 204, "", ""},
		{with, "TRACE", "/a", 405, "GET, HEAD, PUT", wire.CodeMethodNotAllowed},
		{with, "POST", "/d/x/y", 405, "DELETE", wire.CodeMethodNotAllowed},
		{with, "DELETE", "/d", 405, "GET, HEAD", wire.CodeMethodNotAllowed}, // the route below it is not for it
		{with, "POST", "/b/c", 405, "GET, HEAD", wire.CodeMethodNotAllowed},
		{with, "POST", "/b/d", 204, "", ""}, // the route below /b/ takes every method
		{with, "POST", "/else", 204, "", ""},
		{with, "GET", "/b/../a", 307, "", ""},
		{routes(some...), "POST", "/a", 405, "GET, HEAD, PUT", wire.CodeMethodNotAllowed},
		{routes(some...), "GET", "/else", 404, "", wire.CodeNotFound},
	} {
		w := httptest.NewRecorder()
		c.router.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil))
		var body wire.ErrorBody
		if c.code != "" {
			must(t, json.Unmarshal(w.Body.Bytes(), &body))
		} else {
			body.Error = &wire.Error{}
		}
		if w.Code != c.status || w.Header().Get("Allow") != c.allow || body.Error == nil || body.Error.Code != c.code {
			t.Errorf("%s %s: %d, Allow %q, %s; want %d, %q, %q", c.method, c.path, w.Code, w.Header().Get("Allow"), w.Body, c.status, c.allow, c.code)
		}
	}
}
