package app

import (
	"net/http"
	"strconv"

	"weir/api"
	"weir/auth"
)

// documents serves the descriptions of this server's surface. They are the same for everybody.
func documents(mux *auth.Router) {
	for name, document := range map[string]func() api.Document{"openapi": api.OpenAPI, "asyncapi": api.AsyncAPI} {
		mux.HandleFunc("GET /v1/"+name+".json", auth.Public, func(w http.ResponseWriter, _ *http.Request) {
			writeDocument(w, "application/json", document().JSON)
		})
		mux.HandleFunc("GET /v1/"+name+".yaml", auth.Public, func(w http.ResponseWriter, _ *http.Request) {
			writeDocument(w, "application/yaml", document().YAML)
		})
	}
}

func writeDocument(w http.ResponseWriter, kind string, text []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text)
}
