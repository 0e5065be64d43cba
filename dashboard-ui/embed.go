// Package dashboardui serves the dashboard, a single page built by Vite into dist and embedded here.
//
// A Go build without Node still works: dist then holds no index.html, and the handler answers with a small
// page of its own that says how to build the dashboard and links what works without it.
package dashboardui

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed all:dist
var embedded embed.FS

// Options of Handler.
type Options struct {
	// Insecure shows the warning of --insecure-open on the page that stands in for an unbuilt dashboard.
	// (The dashboard itself learns it from the live protocol's welcome.)
	Insecure bool
	// Version of the binary, shown on the same page.
	Version string
}

// Handler serves the embedded dashboard. It answers GET and HEAD of "/" and of the built files, and a JSON
// error to everything else.
func Handler(opts Options) http.Handler {
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		panic(err) // dist is a constant, valid path
	}
	return newHandler(dist, opts)
}

// Built reports whether the dashboard was built into this binary.
func Built() bool {
	_, err := fs.Stat(embedded, "dist/index.html")
	return err == nil
}
