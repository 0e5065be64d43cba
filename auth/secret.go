package auth

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// Secret is a text that is not shown: printing, logging and marshalling it give "***".
type Secret string

const redacted = "***"

// String is "***", or "" for no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from showing it.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// MarshalText keeps JSON and loggers from showing it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML keeps a printed configuration from showing it.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// read is the secret, or the content of file, without white space around it, when that is named instead.
func (s Secret) read(file string) ([]byte, error) {
	if file == "" {
		return []byte(s), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil, fmt.Errorf("%s is empty", file)
	}
	return text, nil
}

// check refuses two sources of one secret, and what a printed configuration shows in its place.
func (s Secret) check(name, file string) error {
	if s != "" && file != "" {
		return fmt.Errorf("%s: give it or %s_file, not both", name, name)
	}
	if s == redacted {
		return errors.New(name + ": *** is what a printed configuration shows instead of the secret")
	}
	return nil
}
