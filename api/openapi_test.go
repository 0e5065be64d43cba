package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"weir/wire"
)

func loadOpenAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(OpenAPI().YAML)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestTheOpenAPIDocumentIsValid(t *testing.T) {
	doc := loadOpenAPI(t)
	if err := doc.Validate(t.Context(), openapi3.EnableSchemaDefaultsValidation(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("the document says it is of OpenAPI %s", doc.OpenAPI)
	}
}

func TestOperationsAreNamedOnceAndTold(t *testing.T) {
	seen := make(map[string]string)
	doc := loadOpenAPI(t)
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			at := method + " " + path
			if other := seen[o.OperationID]; o.OperationID == "" || other != "" {
				t.Errorf("%s has the operationId %q, as %q has", at, o.OperationID, other)
			}
			seen[o.OperationID] = at
			if o.Summary == "" || len(o.Tags) != 1 || doc.Tags.Get(o.Tags[0]) == nil {
				t.Errorf("%s lacks a summary, or its tag %v is not described", at, o.Tags)
			}
		}
	}
}

func TestBothDocumentsListTheCodesOfTheTable(t *testing.T) {
	var want []string
	for _, c := range wire.Codes() {
		want = append(want, c.Code)
	}
	slices.Sort(want)
	for name, text := range map[string][]byte{"OpenAPI": OpenAPI().JSON, "AsyncAPI": AsyncAPI().JSON} {
		var content struct {
			Components struct {
				Schemas struct{ Code struct{ Enum []string } }
			}
		}
		if err := json.Unmarshal(text, &content); err != nil {
			t.Fatal(err)
		}
		got := content.Components.Schemas.Code.Enum
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the codes are\n%s\nand in wire/codes.go\n%s", name, strings.Join(got, " "), strings.Join(want, " "))
		}
	}
}

// The status of an error follows from its code, so a documented status that no code has is a mistake.
func TestDocumentedErrorsHaveAStatusOfTheTable(t *testing.T) {
	known := map[string]bool{"421": true, "431": true} // before there is a route: of hosts, and of net/http
	for _, c := range wire.Codes() {
		known[statusText(c.Status)] = true
	}
	for path, item := range loadOpenAPI(t).Paths.Map() {
		for method, o := range item.Operations() {
			for status := range o.Responses.Map() {
				isError := status >= "400" && status != "416"
				if isError && !known[status] {
					t.Errorf("%s %s answers %s, which no code has", method, path, status)
				}
			}
		}
	}
}

func statusText(status int) string {
	text, _ := json.Marshal(status)
	return string(text)
}
