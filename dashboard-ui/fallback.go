package dashboardui

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
)

//go:embed fallback.css
var fallbackStyle string

//go:embed fallback.html
var fallbackSource string

var fallbackTemplate = template.Must(template.New("fallback").Parse(fallbackSource))

// fallbackPolicy allows the page's one inline style, by its hash, and nothing else.
var fallbackPolicy = func() string {
	sum := sha256.Sum256([]byte(fallbackStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// fallbackPage is what a binary built without Node shows: it needs no other file.
func fallbackPage(opts Options) []byte {
	var out bytes.Buffer
	err := fallbackTemplate.Execute(&out, struct {
		Options
		Style template.CSS
	}{opts, template.CSS(fallbackStyle)}) //nolint:gosec // the style is embedded, not input
	if err != nil {
		panic(err) // the template and its data are fixed
	}
	return out.Bytes()
}
