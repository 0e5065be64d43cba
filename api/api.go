// Package api holds the documents that describe the server's surface to machines: OpenAPI for what is asked by plain
// HTTP, AsyncAPI for WebSockets and MQTT. They are written by hand, and tests hold them against the code: every route,
// every message type and code is in them and nothing else, and whatever the server answers in the tests of package app
// fits them.
package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPI []byte

//go:embed asyncapi.yaml
var asyncAPI []byte

// Document is one document in both its forms. They are not to be changed.
type Document struct{ YAML, JSON []byte }

// OpenAPI describes the operations of HTTP, by OpenAPI 3.1.
var OpenAPI = sync.OnceValue(func() Document { return document(openAPI) })

// AsyncAPI describes the messages of WebSockets and MQTT, by AsyncAPI 3.0.
var AsyncAPI = sync.OnceValue(func() Document { return document(asyncAPI) })

// document panics if the text is not YAML: it is part of the program, and a test reads it.
func document(text []byte) Document {
	var content map[string]any
	err := yaml.Unmarshal(text, &content)
	var asJSON []byte
	if err == nil {
		asJSON, err = json.Marshal(content)
	}
	if err != nil {
		panic(fmt.Sprintf("api: an embedded document cannot be read: %v", err))
	}
	return Document{YAML: text, JSON: append(asJSON, '\n')}
}
