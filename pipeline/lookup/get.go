package lookup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of an answer.
const (
	maxAnswer     = 64 << 10
	maxLabels     = 32
	maxNameBytes  = 96
	maxValueBytes = 256
	maxHeaders    = 16 << 10
	maxRedirects  = 3
)

// transientError is one that may be gone with the next attempt: the host could not be reached, was too slow, or says so.
type transientError struct{ error }

func (e transientError) Unwrap() error { return e.error }

func isTransient(err error) bool {
	var t transientError
	return errors.As(err, &t)
}

// newClient follows redirects of the host itself only: who answers is who the plan names, and gets the headers.
func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxResponseHeaderBytes = 64 << 10
		own.MaxConnsPerHost = atOnce
		transport = own
	}
	return &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		first := via[0].URL
		if r.URL.Host != first.Host || r.URL.Scheme != first.Scheme || len(via) > maxRedirects {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// get makes one attempt. Its errors name no addresses: a query may hold a secret.
func (l *Lookups) get(ctx context.Context, k key) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, errors.New("the address is not valid")
	}
	req.Header.Set("Accept", "application/json")
	if k.headersFile != "" {
		if err := addHeaders(req.Header, k.headersFile); err != nil {
			return nil, err
		}
	}
	res, err := l.client.Do(req)
	if err != nil {
		if wrapped := new(url.Error); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, transientError{err}
	}
	defer res.Body.Close()
	switch status := res.StatusCode; {
	case status == http.StatusNotFound || status == http.StatusGone:
		return nil, nil // that nothing is known is an answer
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return nil, transientError{statusError(status)}
	case status != http.StatusOK:
		return nil, statusError(status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, transientError{err}
	}
	if len(body) > maxAnswer {
		return nil, errors.New("the answer is larger than 64 KiB")
	}
	return labelsOf(body, k.prefix)
}

type statusError int

func (e statusError) Error() string {
	if e >= 300 && e < 400 {
		return fmt.Sprintf("answered with status %d: redirects to other hosts are not followed", int(e))
	}
	return fmt.Sprintf("answered with status %d", int(e))
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// labelsOf makes labels of the members of an object that are texts or numbers, the first by name of too many.
func labelsOf(body []byte, prefix string) (answer, error) {
	var members map[string]any
	in := json.NewDecoder(bytes.NewReader(body))
	in.UseNumber()
	if err := in.Decode(&members); err != nil || members == nil {
		return nil, errors.New("the answer is no JSON object")
	}
	labels := make(answer)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		var value string
		switch v := members[name].(type) {
		case string:
			value = v
		case json.Number:
			value = v.String()
		}
		if value == "" || !nameForm.MatchString(name) || len(prefix)+len(name) > maxNameBytes {
			continue
		}
		labels[prefix+name] = clip(value)
		if len(labels) == maxLabels {
			break
		}
	}
	return labels, nil
}

func clip(text string) string {
	if len(text) <= maxValueBytes {
		return text
	}
	end := maxValueBytes
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// addHeaders reads headers from a file, "Name: value" a line. Its errors show nothing of what is in it.
func addHeaders(to http.Header, file string) error {
	f, err := os.Open(file) //nolint:gosec // the operator's own path
	if err != nil {
		return fmt.Errorf("headers_file: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(io.LimitReader(f, maxHeaders))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !nameForm.MatchString(name) {
			return fmt.Errorf("headers_file: line %d is not \"Name: value\"", n)
		}
		to.Set(name, strings.TrimSpace(value))
	}
	if lines.Err() != nil {
		return errors.New("headers_file: a line is too long")
	}
	return nil
}
