package device

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"weir/wire"
)

// ClosedError says that the server closed the connection, and why.
type ClosedError struct {
	Code   uint16
	Reason string
}

func (e *ClosedError) Error() string {
	text := fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Reason)
	if info, ok := e.info(); ok {
		text += " (" + info.Meaning + ")"
	}
	return text
}

// Action is what the protocol wants a client to do then: one of wire's actions.
func (e *ClosedError) Action() string {
	if info, ok := e.info(); ok {
		return info.Action
	}
	switch e.Code / 100 {
	case 41:
		return wire.ActionToken
	case 42:
		return wire.ActionStop
	}
	return wire.ActionReconnect
}

func (e *ClosedError) info() (wire.CloseInfo, bool) {
	for _, info := range wire.CloseCodes() {
		if info.Code == e.Code && info.Reason == e.Reason {
			return info, true
		}
	}
	return wire.CloseInfo{}, false
}

// DialError says that a connection could not be opened. Status is that of the HTTP answer, 0 without one.
type DialError struct {
	URL    string
	Status int
	// RetryAfter is how long the server wants to be left alone.
	RetryAfter time.Duration
	Err        error
}

func (e *DialError) Error() string {
	if e.Status > 0 {
		return fmt.Sprintf("connect to %s: the server answered %d %s", e.URL, e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("connect to %s: %v", e.URL, e.Err)
}

func (e *DialError) Unwrap() error { return e.Err }

// actionOf is what to do after a connection was lost, or not opened, for err.
func actionOf(err error) string {
	var closed *ClosedError
	if errors.As(err, &closed) {
		return closed.Action()
	}
	var dial *DialError
	if errors.As(err, &dial) {
		switch dial.Status {
		case http.StatusUnauthorized:
			return wire.ActionToken
		case http.StatusForbidden:
			return wire.ActionStop
		}
	}
	return wire.ActionReconnect
}

// Final reports whether the protocol forbids to come back without a change: of the device, or of its credential.
func (e *ClosedError) Final() bool {
	action := e.Action()
	return action == wire.ActionStop || action == wire.ActionToken
}
