package tail

import (
	"errors"
	"strings"

	"weir/cmd/weir/hint"
	"weir/sim"
	"weir/wire"
)

// refusedError is a subscription that the server does not take. read are the patterns that it would.
type refusedError struct {
	reason *wire.Error
	read   []string
}

func (e *refusedError) Error() string { return "the server refused: " + e.reason.Error() }

// Hint says what to do next.
func (e *refusedError) Hint() string {
	switch {
	case e.reason.Code != wire.CodeForbidden:
		return ""
	case len(e.read) == 0:
		return "these credentials permit no series: " + credentialHint()
	}
	return "these credentials permit " + strings.Join(e.read, ", ") + "; for more, " + credentialHint()
}

func credentialHint() string { return hint.Credentials("read these series") }

// strangerError is the end of a connection for want of valid credentials.
type strangerError struct{ *sim.ClosedError }

func (e *strangerError) Unwrap() error { return e.ClosedError }

// Hint says what to do next.
func (e *strangerError) Hint() string { return credentialHint() }

// explain adds to an error of credentials what to do about it.
func explain(err error) error {
	var closed *sim.ClosedError
	if errors.As(err, &closed) && (closed.Action() == wire.ActionToken || closed.Reason == wire.ReasonForbidden) {
		return &strangerError{closed}
	}
	return err
}

// outputError is a terminal or pipe that is gone.
type outputError struct{ error }

// final reports whether to connect again would be in vain.
func final(err error) bool {
	var refused *refusedError
	var output *outputError
	var closed *sim.ClosedError
	return errors.As(err, &refused) || errors.As(err, &output) || errors.As(err, &closed) && closed.Final()
}
