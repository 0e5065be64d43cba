package tail

import (
	"errors"
	"fmt"
	"strings"

	"weir/cmd/weir/hint"
	sdk "weir/sdk/go"
	"weir/sim/wsdial"
	"weir/wire"
)

// refusedError is a subscription that the server does not take. read are the patterns that it would.
type refusedError struct {
	reason   *wire.Error
	patterns []string // asked for
	read     []string
}

func (e *refusedError) Error() string {
	reason := *e.reason
	if flag, ok := flags[reason.Path]; ok {
		reason.Path = flag
	}
	for i, pattern := range e.patterns {
		if reason.Path == fmt.Sprintf("payload.patterns[%d]", i) {
			reason.Path = "pattern " + pattern
		}
	}
	return "the server refused: " + reason.Error()
}

// flags are those that fields of a subscribe message come from.
var flags = map[string]string{
	"payload.filter": "--filter", "payload.order": "--order", "payload.limit": "--limit", "payload.fields": "--fields", "payload.max_hz": "--max-hz",
}

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

// roomError is a room that cannot be followed, or no longer.
type roomError struct {
	room string
	why  error
}

func (e *roomError) Error() string {
	var refused *sdk.Error
	if !errors.As(e.why, &refused) {
		return "a moderator has ended the stay in room " + e.room
	}
	reason := *refused
	reason.Path = "" // there is but one
	return "the server refused room " + e.room + ": " + reason.Error()
}

func (e *roomError) Unwrap() error { return e.why }

// Hint says what to do next.
func (e *roomError) Hint() string {
	var refused *sdk.Error
	if errors.As(e.why, &refused) && refused.Code == wire.CodeForbidden {
		return hint.Credentials("join this room")
	}
	return ""
}

// ofRoom names the room of a refusal, and of a stay that has ended. Other errors are the connection's.
func ofRoom(room string, err error) error {
	var refused *sdk.Error
	if errors.As(err, &refused) || errors.Is(err, sdk.ErrKicked) {
		return &roomError{room, err}
	}
	return err
}

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
