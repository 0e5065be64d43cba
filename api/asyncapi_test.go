package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"weir/commands"
)

// asyncDocument is what the tests read of the document.
type asyncDocument struct {
	Channels map[string]struct {
		Messages map[string]ref
	}
	Operations map[string]struct {
		Action   string
		Channel  ref
		Messages []ref
	}
	Components struct {
		Messages map[string]struct {
			Payload struct {
				Properties map[string]struct{ Const any }
			}
			Examples []struct{ Payload any }
		}
		Schemas map[string]any
	}
}

type ref struct {
	Ref string `json:"$ref"`
}

func (r ref) name() string { return r.Ref[strings.LastIndexByte(r.Ref, '/')+1:] }

func loadAsyncAPI(t *testing.T) (doc asyncDocument) {
	t.Helper()
	if err := json.Unmarshal(AsyncAPI().JSON, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func parseJSON(t *testing.T, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTheAsyncAPIDocumentIsValid(t *testing.T) {
	text, err := os.ReadFile("testdata/asyncapi/3.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("asyncapi.json", parseJSON(t, text)); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(parseJSON(t, AsyncAPI().JSON)); err != nil {
		t.Errorf("%#v", err)
	}
}

func TestReferencesInTheAsyncAPIDocumentLeadSomewhere(t *testing.T) {
	var content any
	if err := json.Unmarshal(AsyncAPI().JSON, &content); err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	for _, m := range regexp.MustCompile(`"\$ref":"#/([^"]+)"`).FindAllSubmatch(AsyncAPI().JSON, -1) {
		used[string(m[1])] = true
		at := content
		for _, name := range strings.Split(string(m[1]), "/") {
			object, _ := at.(map[string]any)
			at = object[name]
		}
		if at == nil {
			t.Errorf("#/%s leads nowhere", m[1])
		}
	}
	doc := loadAsyncAPI(t)
	for name := range doc.Components.Schemas {
		if !used["components/schemas/"+name] {
			t.Errorf("the schema %s is not used", name)
		}
	}
	for name := range doc.Components.Messages {
		if !used["components/messages/"+name] {
			t.Errorf("the message %s is in no channel", name)
		}
	}
}

// said are the types of the messages that a channel's operations with an action have. Frames of readings have none.
func (d *asyncDocument) said(channel, action string) (types []string) {
	for _, o := range d.Operations {
		if o.Action != action || o.Channel.Ref != "#/channels/"+channel {
			continue
		}
		for _, m := range o.Messages {
			message := d.Components.Messages[d.Channels[channel].Messages[m.name()].name()]
			if name, ok := message.Payload.Properties["type"].Const.(string); ok {
				types = append(types, name)
			}
		}
	}
	slices.Sort(types)
	return types
}

// typesIn are the values of the constants of a file that are named Type… or type….
func typesIn(t *testing.T, file string) (types []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`^[tT]ype[A-Z]`)
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		for i := 0; ok && i < len(spec.Names) && i < len(spec.Values); i++ {
			if value, isText := spec.Values[i].(*ast.BasicLit); isText && named.MatchString(spec.Names[i].Name) {
				text, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				types = append(types, text)
			}
		}
		return true
	})
	if len(types) == 0 {
		t.Fatalf("%s has no constants of message types: where are they?", file)
	}
	return types
}

func TestTheAsyncAPIDocumentHasTheMessageTypesOfTheCode(t *testing.T) {
	doc := loadAsyncAPI(t)
	live := append(typesIn(t, "../wire/live.go"), typesIn(t, "../wire/live_rooms.go")...)
	documented := append(doc.said("live", "send"), doc.said("live", "receive")...)
	slices.Sort(documented)
	compare(t, "live", slices.Compact(documented), live) // some go both ways

	var command struct{ Type string }
	if err := json.Unmarshal((&commands.Command{}).AppendMessage(nil), &command); err != nil {
		t.Fatal(err)
	}
	compare(t, "what devices say", doc.said("ingest", "receive"), append(typesIn(t, "../ingest/edge_messages.go"), "auth", "app_ping"))
	compare(t, "what devices are told", doc.said("ingest", "send"),
		[]string{"receipt", "authenticated", "token_expiring", "app_pong", "error", command.Type})
}

func compare(t *testing.T, what string, documented, coded []string) {
	t.Helper()
	slices.Sort(documented)
	slices.Sort(coded)
	if !slices.Equal(documented, coded) {
		t.Errorf("%s: the document has %q, the code %q", what, documented, coded)
	}
}

// schemas compiles schemas of a document, of which objects may have no other fields than those that are described.
type schemas struct {
	t        *testing.T
	compiler *jsonschema.Compiler
}

func newSchemas(t *testing.T, document []byte) *schemas {
	t.Helper()
	content := parseJSON(t, document)
	closeObjects(content)
	s := &schemas{t, jsonschema.NewCompiler()}
	s.compiler.AssertFormat()
	if err := s.compiler.AddResource("document.json", content); err != nil {
		t.Fatal(err)
	}
	return s
}

func closeObjects(v any) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			closeObjects(one)
		}
	case map[string]any:
		_, described := v["properties"].(map[string]any)
		if _, said := v["additionalProperties"]; described && !said {
			v["additionalProperties"] = false
		}
		for _, one := range v {
			closeObjects(one)
		}
	}
}

// check validates a value against the schema at a place of the document.
func (s *schemas) check(place string, value any) error {
	s.t.Helper()
	schema, err := s.compiler.Compile("document.json#/components/" + place)
	if err != nil {
		s.t.Fatal(err)
	}
	return schema.Validate(value)
}

func TestExamplesAreAsTheirMessagesSay(t *testing.T) {
	s := newSchemas(t, AsyncAPI().JSON)
	examples := 0
	for name, m := range loadAsyncAPI(t).Components.Messages {
		for i, e := range m.Examples {
			text, err := json.Marshal(e.Payload)
			if err != nil {
				t.Fatal(err)
			}
			examples++
			if err := s.check("messages/"+name+"/payload", parseJSON(t, text)); err != nil {
				t.Errorf("%s, example %d: %v", name, i, err)
			}
		}
	}
	if examples == 0 {
		t.Error("there are none")
	}
}

func readGolden(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../wire/testdata/golden", name))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// namesakes are the messages whose type another has, by channel, action and type.
var namesakes = map[string]string{
	"live send receipt": "room_receipt", "live receive rooms": "ask_rooms", "live receive stats": "ask_stats",
}

func TestGoldenMessagesAreAsDocumented(t *testing.T) {
	s, doc := newSchemas(t, AsyncAPI().JSON), loadAsyncAPI(t)
	message := func(channel, action string, text []byte) error {
		var head struct{ Type string }
		if err := json.Unmarshal(text, &head); err != nil {
			return err
		}
		if !slices.Contains(doc.said(channel, action), head.Type) {
			return fmt.Errorf("%q is no message there", head.Type)
		}
		name := head.Type
		if other, ok := namesakes[channel+" "+action+" "+name]; ok {
			name = other
		}
		return s.check("messages/"+name+"/payload", parseJSON(t, text))
	}
	var live struct{ Server, Client []json.RawMessage }
	readGolden(t, "live.json", &live)
	for _, text := range live.Server {
		if err := message("live", "send", text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range live.Client {
		if err := message("live", "receive", text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	var receipts struct {
		Messages, Bodies []struct{ Message json.RawMessage }
	}
	readGolden(t, "receipts.json", &receipts)
	for _, r := range receipts.Messages {
		if err := message("ingest", "send", r.Message); err != nil {
			t.Errorf("%s: %v", r.Message, err)
		}
	}
	open := newSchemas(t, OpenAPI().JSON)
	for _, r := range receipts.Bodies {
		if err := open.check("schemas/Receipt", parseJSON(t, r.Message)); err != nil {
			t.Errorf("%s: %v", r.Message, err)
		}
	}
	if len(live.Server) == 0 || len(live.Client) == 0 || len(receipts.Messages) == 0 || len(receipts.Bodies) == 0 {
		t.Error("golden messages are missing")
	}
	if message("live", "send", []byte(`{"type":"resync","payload":{"view":"17","reason":"epoch"}}`)) == nil ||
		message("live", "send", []byte(`{"type":"subscribe","payload":{"id":"a","patterns":["#"]}}`)) == nil {
		t.Error("a wrong message passes")
	}
}

func TestFramesThatAreTakenAreAsDocumented(t *testing.T) {
	var golden struct {
		Frames []struct {
			Name, Frame string
			Rejected    []any
			Error       any
		}
	}
	readGolden(t, "frames.json", &golden)
	compiler := jsonschema.NewCompiler() // frames may have fields of which Weir knows nothing
	if err := compiler.AddResource("document.json", parseJSON(t, AsyncAPI().JSON)); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("document.json#/components/schemas/Frame")
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, f := range golden.Frames {
		if f.Error != nil || len(f.Rejected) > 0 || f.Frame == "" || strings.Contains(f.Name, "repeated") {
			continue
		}
		taken++
		if err := schema.Validate(parseJSON(t, []byte(f.Frame))); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if taken == 0 {
		t.Error("there are none")
	}
}

func TestSchemasOfOneNameAreTheSameInBothDocuments(t *testing.T) {
	var open asyncDocument
	if err := json.Unmarshal(OpenAPI().JSON, &open); err != nil {
		t.Fatal(err)
	}
	same := 0
	for name, schema := range loadAsyncAPI(t).Components.Schemas {
		other, both := open.Components.Schemas[name]
		if !both {
			continue
		}
		same++
		if !reflect.DeepEqual(schema, other) {
			t.Errorf("%s differs between openapi.yaml and asyncapi.yaml", name)
		}
	}
	if same == 0 {
		t.Error("there are none")
	}
}
