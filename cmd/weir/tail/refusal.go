package tail

import (
	"errors"
	"strings"

	"weir/cmd/weir/hint"
	sdk "weir/sdk/go"
	"weir/sim/wsdial"
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
type strangerError struct{ *sdk.ClosedError }

func (e *strangerError) Unwrap() error { return e.ClosedError }

// Hint says what to do next.
func (e *strangerError) Hint() string { return credentialHint() }

// explain adds to an error of the connection to an address what to do about it.
func explain(err error, address string) error {
	var closed *sdk.ClosedError
	if errors.As(err, &closed) && (closed.Action() == wire.ActionToken || closed.Reason == wire.ReasonForbidden) {
		return &strangerError{closed}
	}
	var dial *sdk.DialError
	if errors.As(err, &dial) {
		return &wsdial.Error{URL: dial.URL, Status: dial.Status, Err: dial.Err}
	}
	if bad := wsdial.CheckURL(address); bad != nil {
		return bad
	}
	return err
}

// outputError is a terminal or pipe that is gone.
type outputError struct{ error }
