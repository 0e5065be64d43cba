package devices

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// eachField calls fn with every field of a JSON object, in its order, until one is refused. A name that comes
// twice is refused: readers would not agree on which one counts.
func eachField(raw []byte, path string, fn func(name, path string, v json.RawMessage) *wire.Error) *wire.Error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	first, err := dec.Token()
	if err != nil {
		return wire.NewError(wire.CodeJSONSyntax, path)
	}
	if first != json.Delim('{') {
		return refuse(wire.CodeFieldType, path, "an object is expected")
	}
	seen := make(map[string]struct{})
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return wire.NewError(wire.CodeJSONSyntax, path)
		}
		at := join(path, name)
		if _, twice := seen[name]; twice {
			return refuse(wire.CodeJSONSyntax, at, "the field is there twice")
		}
		seen[name] = struct{}{}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return wire.NewError(wire.CodeJSONSyntax, at)
		}
		if refusal := fn(name, at, v); refusal != nil {
			return refusal
		}
	}
	if _, err := dec.Token(); err != nil {
		return wire.NewError(wire.CodeJSONSyntax, path)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return refuse(wire.CodeJSONSyntax, path, "something follows the object")
	}
	return nil
}

// join appends a name, as long as a path may be told, to a path.
func join(path, name string) string {
	const longest = 64
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "") + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func decodeText(to *string, raw json.RawMessage, path string, longest int) *wire.Error {
	if json.Unmarshal(raw, to) != nil || isNull(raw) {
		return refuse(wire.CodeFieldType, path, "a text is expected")
	}
	return checkText(*to, path, longest)
}

func checkText(text, path string, longest int) *wire.Error {
	if len(text) > longest {
		return refuse(wire.CodeFieldRange, path, fmt.Sprintf("the text has more than %d bytes", longest))
	}
	if strings.ContainsFunc(text, isControl) {
		return refuse(wire.CodeFieldRange, path, "the text holds a control character")
	}
	return nil
}

// isControl spares the line feed, for descriptions.
func isControl(r rune) bool { return r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' }

func decodeNumber(to *float64, raw json.RawMessage, path string, low, high float64) *wire.Error {
	if json.Unmarshal(raw, to) != nil || isNull(raw) {
		return refuse(wire.CodeFieldType, path, "a number is expected")
	}
	if *to < low || *to > high {
		return refuse(wire.CodeFieldRange, path, fmt.Sprintf("the number must be between %g and %g", low, high))
	}
	return nil
}

// decodeInterval takes a text such as "30s" or "5m", or a number of seconds.
func decodeInterval(to *time.Duration, raw json.RawMessage, path string) *wire.Error {
	var seconds float64
	var text string
	switch {
	case isNull(raw):
		return refuse(wire.CodeFieldType, path, "an interval is a text such as 30s, or a number of seconds")
	case json.Unmarshal(raw, &seconds) == nil:
		if seconds > 0 && seconds <= maxInterval.Seconds() {
			*to = time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
		}
	case json.Unmarshal(raw, &text) == nil:
		d, err := time.ParseDuration(text)
		if err != nil {
			return refuse(wire.CodeFieldRange, path, "an interval is a text such as 30s or 5m")
		}
		*to = d
	default:
		return refuse(wire.CodeFieldType, path, "an interval is a text such as 30s, or a number of seconds")
	}
	if *to < minInterval || *to > maxInterval {
		return refuse(wire.CodeFieldRange, path, "an interval is between 100ms and 744h")
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func refuse(code, path, message string) *wire.Error {
	return &wire.Error{Code: code, Path: path, Message: message}
}

// pathError is what is wrong with a name.
func pathError(err error, path string) *wire.Error {
	e := refuse(telemetry.CodePathChar, path, err.Error())
	var p *telemetry.PathError
	if errors.As(err, &p) {
		e.Code = p.Code
	}
	return e
}
