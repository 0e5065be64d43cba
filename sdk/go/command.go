package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	typeHello         = "hello"
	typeCommand       = "command"
	typeCommandResult = "command_result"
	// maxCommands is how many commands may wait for the one that is being carried out.
	maxCommands = 16
)

// Command is an order of an operator. It may come twice when its answer got lost.
type Command struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Args is a JSON value, nil without one.
	Args json.RawMessage `json:"args"`
	// Expires is when it is no longer wanted; zero: never.
	Expires time.Time `json:"expires_at"`
}

// result is what work beside run has come to: a command's answer, or a token for the link that asked.
type result struct {
	message []byte
	asked   *link
	token   string
	err     error
}

// commandResult is the answer to a command.
type commandResult struct {
	ID     string `json:"id"`
	OK     bool   `json:"ok"`
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
	Device string `json:"device"`
}

func (r commandResult) message() []byte {
	text, err := json.Marshal(struct {
		Type    string        `json:"type"`
		Payload commandResult `json:"payload"`
	}{typeCommandResult, r})
	if err != nil {
		return commandResult{ID: r.ID, Device: r.Device, Error: "the result does not marshal: " + err.Error()}.message()
	}
	return text
}

// command begins a command, or lets it wait for the one before. What cannot be done is answered with an error.
func (s *session) command(payload json.RawMessage) {
	var command Command
	if err := json.Unmarshal(payload, &command); err != nil || command.ID == "" {
		s.log.Warn("command not understood", "error", err)
		return
	}
	refuse := func(why string) {
		if err := s.link.tell(commandResult{ID: command.ID, Device: s.o.Device, Error: why}.message()); err != nil {
			s.log.Debug("command result not sent", "error", err)
		}
	}
	switch {
	case s.o.OnCommand == nil:
		refuse("this device takes no commands")
	case len(s.commands) >= maxCommands:
		refuse("too many commands wait")
	default:
		s.commands = append(s.commands, command)
		s.nextCommand()
	}
}

// nextCommand carries out the oldest command that waits, unless one is at it. It may outlive the connection: its
// answer goes out on the next.
func (c *Client) nextCommand() {
	if c.busy || len(c.commands) == 0 {
		return
	}
	command := c.commands[0]
	c.commands = c.commands[1:]
	c.busy = true
	c.work.Go(func() {
		out := commandResult{ID: command.ID, Device: c.o.Device}
		value, err := c.carryOut(command)
		if err != nil {
			out.Error = err.Error()
		} else {
			out.OK, out.Result = true, value
		}
		c.deliver(c.ctx, result{message: out.message()})
	})
}

func (c *Client) carryOut(command Command) (any, error) {
	ctx := c.ctx
	if !command.Expires.IsZero() {
		if !time.Now().Before(command.Expires) {
			return nil, errors.New("the command has expired")
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, command.Expires)
		defer cancel()
	}
	return c.o.OnCommand(ctx, command)
}

// renew asks the token source for a credential for this connection. ctx ends with it.
func (s *session) renew(ctx context.Context) {
	if s.renewing || s.o.TokenSource == nil {
		return
	}
	s.renewing = true
	s.work.Go(func() {
		token, err := s.o.TokenSource(ctx)
		s.deliver(ctx, result{token: token, asked: s.link, err: err})
	})
}

func (c *Client) deliver(ctx context.Context, r result) {
	select {
	case c.results <- r:
	case <-ctx.Done():
	}
}

// finished sends on what work has come to.
func (s *session) finished(r result) error {
	message := r.message
	switch {
	case r.asked == nil:
		s.busy = false
		s.nextCommand()
	case r.asked != s.link:
		return nil // this connection began with a token of its own
	default:
		s.renewing = false
		if r.err != nil {
			// The server will close with token_expired; then it is asked again.
			s.log.Warn("no new token", "error", r.err)
			return nil //nolint:nilerr // told; the connection goes on for as long as it may
		}
		message = authMessage(r.token)
	}
	if err := s.link.tell(message); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}
