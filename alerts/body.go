package alerts

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/telemetry"
	"weir/wire"
)

const (
	// maxBodyBytes bounds what is read of a request.
	maxBodyBytes = 64 << 10
	// maxText bounds a text, maxComment that of a silence, which the pipeline bounds, too, and maxName who an alert is assigned to.
	maxText    = 2000
	maxComment = 1000
	maxName    = 128
	// defaultWait is how long a request waits for what it caused, maxWait how long it may.
	defaultWait = 5 * time.Second
	maxWait     = 30 * time.Second
)

// readBody takes a JSON object with the fields of into; an empty body is an empty object.
func readBody(w http.ResponseWriter, r *http.Request, into any) *wire.Error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); err == nil {
			return wire.NewError(wire.CodeJSONSyntax, "")
		}
	}
	var tooLarge *http.MaxBytesError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &tooLarge):
		return &wire.Error{Code: wire.CodeFrameTooLarge, Message: "the body is larger than 64 KiB"}
	case errors.As(err, &kind):
		return wire.NewError(wire.CodeFieldType, kind.Field)
	}
	if field, ok := strings.CutPrefix(err.Error(), `json: unknown field "`); ok { // encoding/json has no type for it
		return wire.NewError(wire.CodeFieldUnknown, strings.TrimSuffix(field, `"`))
	}
	return wire.NewError(wire.CodeJSONSyntax, "")
}

// waitOf reads ?wait=.
func waitOf(r *http.Request) (time.Duration, *wire.Error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return defaultWait, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, &wire.Error{Code: wire.CodeFieldRange, Path: "wait", Message: "wait is a duration up to 30s, such as 10s"}
	}
	return d, nil
}

// checkText refuses texts that are too long, or hold what no text holds.
func checkText(path, text string, limit int) *wire.Error {
	if len(text) > limit {
		return &wire.Error{Code: wire.CodeFieldRange, Path: path, Message: "must have at most " + strconv.Itoa(limit) + " bytes"}
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) {
		return &wire.Error{Code: wire.CodeFieldRange, Path: path, Message: "must not hold control characters"}
	}
	return nil
}

func parsePattern(text, path string) (telemetry.Pattern, *wire.Error) {
	p, err := telemetry.ParsePattern(text)
	if err == nil {
		return p, nil
	}
	refusal := &wire.Error{Code: telemetry.CodePatternForm, Path: path, Message: err.Error()}
	var e *telemetry.PathError
	if errors.As(err, &e) {
		refusal.Code, refusal.Message = e.Code, e.Reason
	}
	return p, refusal
}
