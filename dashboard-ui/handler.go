package dashboardui

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"strings"
)

// Hashed by Vite: a file under this prefix never changes under its name.
const hashedPrefix = "assets/"

type handler struct {
	files map[string]*file // by path without the leading slash; "" is the page
}

func newHandler(dist fs.FS, opts Options) http.Handler {
	h := &handler{files: map[string]*file{}}
	err := fs.WalkDir(dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "README.md" {
			return err
		}
		body, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		h.files[name] = newFile(name, body)
		return nil
	})
	if err != nil {
		panic(err) // an embedded file system that cannot be read is a broken build
	}
	page, built := h.files["index.html"]
	if !built {
		page = newFile("index.html", fallbackPage(opts))
		page.policy = fallbackPolicy
	}
	h.files[""] = page
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setSecurityHeaders(w.Header())
	name := strings.TrimPrefix(r.URL.Path, "/")
	f, ok := h.files[name]
	if !ok {
		writeError(w, http.StatusNotFound, "not_found", "nothing is served under this path")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, http.StatusMethodNotAllowed, "method_not_allowed", "use GET")
		return
	}
	f.serve(w, r)
}

// policy lets the page load its own files and talk to its own server, and nothing else. uPlot and Preact
// set styles through the DOM, which needs no 'unsafe-inline'.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	type body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The client is gone if this fails.
	_ = json.NewEncoder(w).Encode(map[string]body{"error": {code, message}})
}
