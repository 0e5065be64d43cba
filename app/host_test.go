package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestANameThatAPageMayHaveChosenIsRefusedToPagesOfAnOpenServer(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	for _, test := range []struct {
		guard  hostGuard
		host   string
		header string
		want   int
	}{
		{hostGuard{pagesOnly: true, next: ok}, "evil.example:7420", "Origin", http.StatusMisdirectedRequest},
		{hostGuard{pagesOnly: true, next: ok}, "evil.example:7420", "Sec-Fetch-Site", http.StatusMisdirectedRequest},
		{hostGuard{pagesOnly: true, next: ok}, "weir.lan:7420", "", http.StatusOK},
		{hostGuard{pagesOnly: true, next: ok}, "192.168.1.9:7420", "Origin", http.StatusOK},
		{hostGuard{next: ok}, "weir.lan:7420", "", http.StatusMisdirectedRequest},
		{hostGuard{next: ok, allowed: []string{"Weir.LAN"}}, "weir.lan:7420", "Origin", http.StatusOK},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/series", nil)
		r.Host = test.host
		if test.header != "" {
			r.Header.Set(test.header, "http://"+test.host)
		}
		w := httptest.NewRecorder()
		test.guard.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%s with %q: %d, want %d", test.host, test.header, w.Code, test.want)
		}
	}
}
