package wire

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// Error is a refusal as a client sees it: a stable code, the path of the offending field when there is one
// (such as readings[4].value), and a sentence for people.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Path    string `json:"path,omitempty"`
}

// NewError is an Error with the sentence that the table of codes has for code.
func NewError(code, path string) *Error {
	return &Error{Code: code, Path: path, Message: messageOf(code)}
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Code + ": " + e.Message
	}
	return e.Code + " at " + e.Path + ": " + e.Message
}

// AsError is err as clients may see it: the *Error in its chain, or CodeInternal without any detail.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return NewError(CodeInternal, "")
}

// ErrorBody is the body of every HTTP answer that reports an error.
type ErrorBody struct {
	Error *Error `json:"error"`
}

// Append appends the body as JSON.
func (b ErrorBody) Append(dst []byte) []byte {
	dst = append(dst, `{"error":`...)
	dst = b.Error.append(dst)
	return append(dst, '}')
}

func (e *Error) append(dst []byte) []byte {
	dst = append(dst, `{"code":`...)
	dst = appendString(dst, e.Code)
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, e.Message)
	if e.Path != "" {
		dst = append(dst, `,"path":`...)
		dst = appendString(dst, e.Path)
	}
	return append(dst, '}')
}

// Refuse answers a request with err and the status that its code stands for.
func Refuse(w http.ResponseWriter, err *Error) { WriteError(w, StatusOf(err.Code), err) }

// WriteError answers a request with err as an ErrorBody. A failure to write is the client's loss only.
func WriteError(w http.ResponseWriter, status int, err *Error) {
	if h := w.Header(); (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "1")
	}
	WriteEncoded(w, status, append(ErrorBody{err}.Append(nil), '\n'))
}

// WriteJSON answers a request with body.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		WriteError(w, http.StatusInternalServerError, NewError(CodeInternal, ""))
		return
	}
	WriteEncoded(w, status, append(text, '\n'))
}

// WriteEncoded answers a request with a body that is JSON already. What is true now is not to be kept by anybody.
func WriteEncoded(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
