package dashboardui

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

var script = strings.Repeat("console.log('weir');\n", 200)

func built() fstest.MapFS {
	return fstest.MapFS{
		"README.md":            {Data: []byte("placeholder")},
		"index.html":           {Data: []byte("<!doctype html><title>Weir</title>")},
		"favicon.svg":          {Data: []byte("<svg/>")},
		"assets/index-a1b2.js": {Data: []byte(script)},
	}
}

func serve(t *testing.T, h http.Handler) func(method, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(client.CloseIdleConnections)
	return func(method, path string, headers ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
}

func TestPageIsRevalidatedAndHashedAssetsAreKeptForever(t *testing.T) {
	get := serve(t, newHandler(built(), Options{}))
	for path, want := range map[string][2]string{
		"/":                     {"text/html; charset=utf-8", "no-cache"},
		"/index.html":           {"text/html; charset=utf-8", "no-cache"},
		"/favicon.svg":          {"image/svg+xml", "no-cache"},
		"/assets/index-a1b2.js": {"text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
	} {
		res, _ := get("GET", path)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", path, res.StatusCode)
		}
		if got := [2]string{res.Header.Get("Content-Type"), res.Header.Get("Cache-Control")}; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	get := serve(t, newHandler(built(), Options{}))
	first, _ := get("GET", "/")
	again, body := get("GET", "/", "If-None-Match", first.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || body != "" {
		t.Fatalf("status %d, body %q", again.StatusCode, body)
	}
}

func TestTextIsCompressedForThoseWhoAcceptIt(t *testing.T) {
	get := serve(t, newHandler(built(), Options{}))
	res, body := get("GET", "/assets/index-a1b2.js", "Accept-Encoding", "br, gzip")
	if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("headers %v", res.Header)
	}
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil || string(plain) != script {
		t.Fatalf("decompressed to %d bytes, %v", len(plain), err)
	}
	for _, accept := range []string{"", "br", "gzip;q=0", "gzip; q=0.0"} {
		res, body := get("GET", "/assets/index-a1b2.js", "Accept-Encoding", accept)
		if res.Header.Get("Content-Encoding") != "" || body != script {
			t.Errorf("Accept-Encoding %q: got encoding %q", accept, res.Header.Get("Content-Encoding"))
		}
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	get := serve(t, newHandler(built(), Options{}))
	for _, path := range []string{"/", "/assets/index-a1b2.js", "/no/such/path"} {
		res, _ := get("GET", path)
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		for _, name := range []string{"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy"} {
			if res.Header.Get(name) == "" {
				t.Errorf("%s: no %s", path, name)
			}
		}
	}
}

func TestOtherPathsAndMethodsAreRefusedWithACode(t *testing.T) {
	get := serve(t, newHandler(built(), Options{}))
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v1/nothing", 404, "not_found"},
		{"GET", "/README.md", 404, "not_found"},
		{"GET", "/assets/", 404, "not_found"},
		{"GET", "/..%2fembed.go", 404, "not_found"},
		{"POST", "/", 405, "method_not_allowed"},
	} {
		res, body := get(c.method, c.path)
		var e struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatalf("%s %s: %v in %q", c.method, c.path, err, body)
		}
		if res.StatusCode != c.status || e.Error.Code != c.code || e.Error.Message == "" {
			t.Errorf("%s %s: %d %+v", c.method, c.path, res.StatusCode, e.Error)
		}
	}
}

func TestUnbuiltDashboardSaysHowToBuildIt(t *testing.T) {
	get := serve(t, newHandler(fstest.MapFS{"README.md": {}}, Options{Version: "v1.2.3<"}))
	res, body := get("GET", "/")
	for _, want := range []string{
		"npm ci", "npm run build", "make build", `href="/metrics"`, `href="/healthz"`, `href="/v1/snapshot`, "weir v1.2.3&lt;",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if strings.Contains(body, "insecure-open") {
		t.Error("page warns of a flag that is not set")
	}
	_, rest, _ := strings.Cut(body, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(res.Header.Get("Content-Security-Policy"), hash) {
		t.Error("the browser would refuse the page's style: its hash is not in the policy")
	}
}

func TestUnbuiltDashboardWarnsWhenInsecure(t *testing.T) {
	get := serve(t, newHandler(fstest.MapFS{}, Options{Insecure: true}))
	if _, body := get("GET", "/"); !strings.Contains(body, "--insecure-open") {
		t.Fatal("no warning")
	}
}

func TestEmbeddedHandlerAnswersWhetherBuiltOrNot(t *testing.T) {
	get := serve(t, Handler(Options{}))
	res, body := get("GET", "/")
	if res.StatusCode != http.StatusOK || strings.Contains(body, "without its dashboard") == Built() {
		t.Fatalf("status %d, built %v", res.StatusCode, Built())
	}
}

func TestPlaceholderIsTheOneViteCopies(t *testing.T) {
	want, err := os.ReadFile("public/README.md")
	if err != nil {
		t.Fatal(err)
	}
	got, err := embedded.ReadFile("dist/README.md")
	if err != nil || string(got) != string(want) {
		t.Fatalf("dist/README.md differs from public/README.md (%v)", err)
	}
}
