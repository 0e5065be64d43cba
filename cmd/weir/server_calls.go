package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weir/auth"
	"weir/cmd/weir/hint"
	"weir/wire"
)

// serverFlags are of commands that ask a running server to do something.
type serverFlags struct {
	URL string `default:"http://127.0.0.1:7420" env:"WEIR_URL" help:"Address of the server."`
	credentialFlags
}

const (
	callTimeout = 30 * time.Second
	maxAnswer   = 64 << 20
)

// call sends body, if it is not nil, as it is if it is bytes and else as JSON, and reads the answer, JSON, into answer, if
// that is not nil.
func (f *serverFlags) call(ctx context.Context, method, path string, body, answer any) error {
	credential, err := f.Credential(f.URL)
	if err != nil {
		return err
	}
	return f.callAs(ctx, credential, method, path, body, answer)
}

// base is the address of the server.
func (f *serverFlags) base() (*url.URL, error) {
	base, err := url.Parse(f.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("--url: %q is not http://host:port or https://host:port", f.URL)
	}
	return base, nil
}

// send sends a request to the server at base, with the credential if there is one.
func send(req *http.Request, base *url.URL, credential string) (*http.Response, error) {
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, hinted{fmt.Errorf("%s does not answer: %w", auth.RedactURL(base), errors.Unwrap(err)), "is `weir serve` running there? --url names another address"}
	}
	return res, nil
}

func (f *serverFlags) callAs(ctx context.Context, credential, method, path string, body, answer any) error {
	base, err := f.base()
	if err != nil {
		return err
	}
	content, kind, err := encodeBody(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base.String(), "/")+path, content)
	if err != nil {
		return err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := send(req, base, credential)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return refused(res, text, credential)
	}
	if answer == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s is not a Weir server, or of another version: %w", auth.RedactURL(base), err)
	}
	return nil
}

func encodeBody(body any) (content io.Reader, kind string, err error) {
	if body == nil {
		return nil, "", nil
	}
	if raw, ok := body.([]byte); ok {
		return bytes.NewReader(raw), "application/octet-stream", nil
	}
	text, err := json.Marshal(body)
	return bytes.NewReader(text), "application/json", err
}

// refused is the error of an answer that is one.
func refused(res *http.Response, text []byte, credential string) error {
	var body struct {
		Error    *wire.Error
		Rejected []wire.Rejection
	}
	if json.Unmarshal(text, &body) != nil || body.Error == nil {
		if n := len(body.Rejected); n > 0 {
			first := &body.Rejected[0]
			return fmt.Errorf("the server refused %s, nothing was stored; the first: %s at %s: %s", counted(n, "reading"), first.Code, first.Path, first.Message)
		}
		return fmt.Errorf("the server answered %s", res.Status)
	}
	err := fmt.Errorf("the server refused: %w", body.Error)
	switch {
	case res.StatusCode == http.StatusUnauthorized && credential == "":
		return hinted{err, hint.Credentials("do this")}
	case res.StatusCode == http.StatusForbidden:
		return hinted{err, "an admin's credentials may do this, for what they cover themselves"}
	}
	return err
}

// hinted is an error with what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

// webSocket is the address of an endpoint of a server that may be given as http://host:port, too. What it cannot
// read, it leaves to whoever dials.
func webSocket(address, endpoint string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = endpoint
	}
	return u.String()
}
