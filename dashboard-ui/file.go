package dashboardui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// file is one embedded file, compressed once when the handler is made.
type file struct {
	name    string
	plain   []byte
	gzipped []byte // nil where compression does not pay
	etag    string // hash of plain
	mime    string
	cache   string
	policy  string // replaces the handler's Content-Security-Policy when not empty
}

func newFile(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	f := &file{
		name:  name,
		plain: body,
		etag:  hex.EncodeToString(sum[:12]),
		mime:  contentType(name),
		cache: "no-cache", // may be kept, must be revalidated
	}
	if strings.HasPrefix(name, hashedPrefix) {
		f.cache = "public, max-age=31536000, immutable"
	}
	if z := compress(body); len(z) < len(body)*9/10 {
		f.gzipped = z
	}
	return f
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.mime)
	h.Set("Cache-Control", f.cache)
	if f.policy != "" {
		h.Set("Content-Security-Policy", f.policy)
	}
	body, etag := f.plain, f.etag
	if f.gzipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			body, etag = f.gzipped, f.etag+"-gz"
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(body))
}

// acceptsGzip is true unless gzip is missing from Accept-Encoding or refused there by q=0.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.ReplaceAll(strings.ToLower(params), " ", "")
			return strings.Trim(strings.TrimPrefix(q, "q="), "0.") != "" || q == ""
		}
	}
	return false
}

func compress(body []byte) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant, valid one
	}
	// Writes to a bytes.Buffer do not fail.
	_, _ = z.Write(body)
	_ = z.Close()
	return out.Bytes()
}

// The types Vite produces are spelled out: mime.TypeByExtension depends on files of the host.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json",
	".map":  "application/json",
}

func contentType(name string) string {
	ext := path.Ext(name)
	if t, ok := contentTypes[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}
