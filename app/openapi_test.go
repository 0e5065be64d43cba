package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"weir/api"
	"weir/auth"
)

// contract is the OpenAPI document, ready to hold answers against.
type contract struct {
	doc   *openapi3.T
	paths []pathMatcher
}

type pathMatcher struct {
	template string
	literal  int // bytes of the template that are no parameter; of several that fit, the one with most is meant
	match    *regexp.Regexp
	item     *openapi3.PathItem
}

var parameter = regexp.MustCompile(`\\\{(\w+)\\\}`)

// theContract is stricter than the document: objects may have no other fields than those that are described.
var theContract = sync.OnceValues(func() (*contract, error) {
	var content any
	if err := json.Unmarshal(api.OpenAPI().JSON, &content); err != nil {
		return nil, err
	}
	closeObjects(content)
	text, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", decodeLines)
	c := &contract{doc: doc}
	for template, item := range doc.Paths.Map() {
		m := pathMatcher{template: template, item: item}
		pattern := parameter.ReplaceAllStringFunc(regexp.QuoteMeta(template), func(p string) string {
			m.literal -= len(p) - len(`\\`)
			if p == `\{device\}` || p == `\{series\}` || p == `\{room\}` {
				return `(.+)` // may have slashes
			}
			return `([^/]+)`
		})
		m.literal += len(template)
		if m.match, err = regexp.Compile("^" + pattern + "$"); err != nil {
			return nil, err
		}
		c.paths = append(c.paths, m)
	}
	return c, nil
})

// decodeLines refuses what is not one JSON object a line. What these hold, the tests of who writes them look at.
func decodeLines(
	body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn,
) (any, error) {
	text, err := io.ReadAll(body)
	for line := range bytes.Lines(text) {
		var content map[string]any
		if err := json.Unmarshal(line, &content); err != nil {
			return nil, err
		}
	}
	return string(text), err
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

// find is the path that a request means, nil if it is none of the document's.
func (c *contract) find(path string) *pathMatcher {
	var found *pathMatcher
	for i := range c.paths {
		if m := &c.paths[i]; m.match.MatchString(path) && (found == nil || m.literal > found.literal) {
			found = m
		}
	}
	return found
}

// check holds an answer against the document.
func (c *contract) check(req *http.Request, res *http.Response, body []byte) error {
	m := c.find(req.URL.Path)
	method := req.Method
	if method == http.MethodHead {
		return nil
	}
	var operation *openapi3.Operation
	if m != nil {
		operation = m.item.GetOperation(method)
	}
	if operation == nil {
		return c.checkElsewhere(m != nil, res, body)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: req, Route: &routers.Route{Spec: c.doc, Path: m.template, PathItem: m.item, Method: method, Operation: operation}},
		Status: res.StatusCode, Header: res.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	input.SetBodyBytes(body)
	return openapi3filter.ValidateResponse(context.Background(), input)
}

// checkElsewhere is for what the document says of paths and methods that it does not list.
func (c *contract) checkElsewhere(known bool, res *http.Response, body []byte) error {
	switch {
	case res.StatusCode == http.StatusTemporaryRedirect && !known, res.StatusCode == http.StatusOK && !known && res.Header.Get("X-Frame-Options") != "":
		return nil // a path that is not clean, a file of the dashboard
	case res.StatusCode == http.StatusNotFound && !known, res.StatusCode == http.StatusMisdirectedRequest, res.StatusCode == http.StatusServiceUnavailable:
	case res.StatusCode == http.StatusMethodNotAllowed && res.Header.Get("Allow") != "":
	default:
		return fmt.Errorf("%d is not what is answered to paths and methods that are not in the document", res.StatusCode)
	}
	var content any
	if err := json.Unmarshal(body, &content); err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	return c.doc.Components.Schemas["ErrorBody"].Value.VisitJSON(content, openapi3.EnableJSONSchema2020())
}

// eventStream is the content type of server-sent events.
const eventStream = "text/event-stream"

// checked is a transport that fails the test when an answer is not as the OpenAPI document has it.
type checked struct {
	t    testing.TB
	next http.RoundTripper
}

func (c checked) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(req)
	if err != nil || res.StatusCode == http.StatusSwitchingProtocols || strings.HasPrefix(req.URL.Path, "/debug/pprof/") {
		return res, err // the profiler, on a listener of its own, is not for clients
	}
	if res.Header.Get("Content-Type") == eventStream {
		return res, nil // it does not end
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	contract, err := theContract()
	if err != nil {
		return nil, fmt.Errorf("OpenAPI document: %w", err)
	}
	if err := contract.check(req, res, body); err != nil {
		c.t.Errorf("%s %s: %d is not as documented: %v\n%.500s", req.Method, req.URL.Path, res.StatusCode, err, body)
	}
	return res, nil
}

// asking is the client of all tests: it keeps no connection and believes no answer.
func asking(t testing.TB) *http.Client {
	return &http.Client{
		Transport: checked{t, &http.Transport{DisableKeepAlives: true}}, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// routeOf is a documented operation as the router has it.
func routeOf(path, method string, o *openapi3.Operation) string {
	if route, ok := o.Extensions["x-route"].(string); ok {
		return route
	}
	return method + " " + strings.ReplaceAll(path, "{device}", "{device...}")
}

func TestEveryRouteIsDocumentedAndEveryDocumentedOneServed(t *testing.T) {
	s := startSecured(t)
	c, err := theContract()
	must(t, err)
	documented := make(map[string]*openapi3.Operation)
	for path, item := range c.doc.Paths.Map() {
		for method, o := range item.Operations() {
			documented[routeOf(path, method, o)] = o
		}
	}
	served := make(map[string]bool)
	for _, r := range s.routes.Load().Routes() {
		served[r.Pattern] = true
		o := documented[r.Pattern]
		switch _, path, ofMethod := strings.Cut(r.Pattern, " "); {
		case o != nil:
			checkAccess(t, r, o)
		case ofMethod:
			t.Errorf("%q is not in the OpenAPI document (path %s)", r.Pattern, path)
		case r.Pattern != "/v1/" && c.doc.Paths.Value(strings.ReplaceAll(r.Pattern, "...", "")) == nil:
			t.Errorf("%q is for methods of a path that is not in the OpenAPI document", r.Pattern)
		}
	}
	for route := range documented {
		if !served[route] {
			t.Errorf("%q is in the OpenAPI document and not served", route)
		}
	}
}

// checkAccess compares who may with the operation's security requirements.
func checkAccess(t *testing.T, r auth.Route, o *openapi3.Operation) {
	t.Helper()
	var needed bool // without credentials nothing
	anonymous := o.Security != nil && len(*o.Security) == 0
	if o.Security == nil {
		needed = true
	} else {
		for _, requirement := range *o.Security {
			anonymous = anonymous || len(requirement) == 0
		}
	}
	switch {
	case r.Access == auth.Public && (o.Security == nil || len(*o.Security) != 0):
		t.Errorf("%s is public, and documented to need credentials", r.Pattern)
	case r.Access == auth.Deferred && (o.Security == nil || !anonymous || len(*o.Security) < 2):
		t.Errorf("%s takes credentials later, and is not documented to", r.Pattern)
	case r.Access > auth.Deferred && !needed:
		t.Errorf("%s needs credentials, and is documented to need none", r.Pattern)
	case (r.Access == auth.Operators || r.Access == auth.Admins) && o.Responses.Status(http.StatusForbidden) == nil:
		t.Errorf("%s is not for everybody, and 403 is not documented", r.Pattern)
	}
}

func TestAnAnswerThatIsNotDocumentedIsNoticed(t *testing.T) {
	c, err := theContract()
	must(t, err)
	answer := func(method, path string, status int, kind, body string) error {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, nil)
		must(t, err)
		return c.check(req, &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}}, []byte(body))
	}
	const kind, refusal = "application/json", `{"error":{"code":"forbidden","message":"no"}}`
	for name, err := range map[string]error{
		"as documented":        answer("GET", "/v1/series", 200, kind, `{"series":["a/b"],"truncated":false}`),
		"a refusal":            answer("DELETE", "/v1/devices/a/b", 403, kind, refusal),
		"a path with a suffix": answer("GET", "/v1/devices/a/health", 403, kind, refusal),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"another status":        answer("GET", "/v1/series", 418, kind, `{"series":[],"truncated":false}`),
		"another type of field": answer("GET", "/v1/series", 200, kind, `{"series":"a","truncated":false}`),
		"a field too few":       answer("GET", "/v1/series", 200, kind, `{"series":[]}`),
		"a field too many":      answer("GET", "/v1/series", 200, kind, `{"series":[],"truncated":false,"more":1}`),
		"another content type":  answer("GET", "/v1/series", 200, "text/plain", `{"series":[],"truncated":false}`),
		"an unknown code":       answer("GET", "/v1/devices/a", 403, kind, `{"error":{"code":"nonsense","message":"no"}}`),
		"no Allow":              answer("POST", "/v1/series", 405, kind, `{"error":{"code":"method_not_allowed","message":"no"}}`),
		"a path from nowhere":   answer("GET", "/v1/nowhere", 200, kind, `{}`),
	} {
		if err == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
}
