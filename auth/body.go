package auth

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"weir/wire"
)

const maxBody = 64 << 10

// readBody takes a JSON object. The content type is asked for: a page of another origin cannot send it without being
// asked first whether it may. An empty body is an empty object.
func readBody(w http.ResponseWriter, r *http.Request, into any) *wire.Error {
	if r.ContentLength == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &wire.Error{Code: wire.CodeMediaType, Message: "send application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, after := d.Token(); !errors.Is(after, io.EOF) { // More would pass over a brace too many
			return wire.NewError(wire.CodeJSONSyntax, "")
		}
	}
	var tooLarge *http.MaxBytesError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &tooLarge):
		return &wire.Error{Code: wire.CodeFrameTooLarge, Message: "the body is larger than 64 KiB"}
	case errors.As(err, &kind):
		return wire.NewError(wire.CodeFieldType, fieldOf(kind))
	}
	if field, ok := strings.CutPrefix(err.Error(), `json: unknown field "`); ok { // encoding/json has no type for it
		return wire.NewError(wire.CodeFieldUnknown, strings.TrimSuffix(field, `"`))
	}
	return wire.NewError(wire.CodeJSONSyntax, "")
}

// fieldOf is the field that has the wrong type, without the embedded structs that encoding/json names, too.
func fieldOf(e *json.UnmarshalTypeError) string {
	return strings.TrimPrefix(strings.TrimPrefix(e.Field, "rights."), "claimedRights.")
}

// fail answers with err, and logs what clients are not told.
func (k *Keeper) fail(w http.ResponseWriter, err error) {
	e := Refusal(err)
	if e.Code == wire.CodeInternal {
		k.log.Error("a request failed", "error", err)
	}
	Refuse(w, e)
}

// span reads a duration such as 24h from the field of a body; "" is what it is by default.
func span(field, text string, byDefault, longest time.Duration) (time.Duration, *wire.Error) {
	if text == "" {
		return byDefault, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, &wire.Error{Code: wire.CodeFieldType, Path: field, Message: "write a duration such as 10m, 24h"}
	}
	if d < 0 || d > longest {
		return 0, &wire.Error{Code: wire.CodeFieldRange, Path: field, Message: "must be between 0 and " + longest.String()}
	}
	return d, nil
}
