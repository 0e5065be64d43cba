package push

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// handle does what a message asks for. Errors are answered, and too many of them end the connection.
func (s *Server) handle(c *client, data []byte) {
	now := c.hub.now()
	c.said.Store(c.hub.elapsed(now))
	c.hub.m.messages.Inc()
	if c.deaf { // it came with what was the last straw
		return
	}
	if c.who == nil {
		s.introduce(c, data)
		return
	}
	msg, err := wire.DecodeClientMessage(data)
	if err == nil && c.raisesCredit(&msg) {
		return
	}
	if !c.messages.take(now) {
		c.refuse(now, &wire.Error{Code: wire.CodeOverloaded, Message: "messages come too fast; this one was dropped"}, &msg)
		return
	}
	if err == nil {
		err = s.dispatch(c, &msg)
	}
	var refusal *wire.Error
	if errors.As(err, &refusal) {
		c.refuse(now, refusal, &msg)
	}
}

// refuse answers a message, or what was understood of it.
func (c *client) refuse(now time.Time, err *wire.Error, msg *wire.ClientMessage) {
	c.hub.m.messageError(err.Code).Inc()
	if !c.mistakes.take(now) {
		c.expel(endedProtocol)
		return
	}
	c.send(textFrame((&wire.ErrorMsg{Error: *err, ID: msg.SubscriptionID(), Room: msg.Room.Room}).Append(nil)))
}

func (s *Server) dispatch(c *client, msg *wire.ClientMessage) error {
	switch msg.Type {
	case wire.TypeAuth:
		return s.renew(c, &msg.Auth)
	case wire.TypeSubscribe:
		return c.handleSubscribe(&msg.Subscribe, &s.cfg)
	case wire.TypeUnsubscribe:
		if !c.hub.unsubscribe(c, msg.Unsubscribe.ID) {
			return wire.NewError(wire.CodeSubscriptionNone, "payload.id")
		}
	case wire.TypePing:
		c.knowsPings()
		c.send(textFrame((&wire.Pong{Payload: msg.Ping.Payload}).Append(nil)))
	case wire.TypePong:
		c.knowsPings()
		c.answered(msg.Pong.Payload)
	case wire.TypeCredit:
		return c.grant(msg.Credit.Frames)
	case wire.TypeStats:
		stats := c.hub.figures(c)
		c.send(textFrame(stats.Append(nil)))
	case wire.TypeJoin, wire.TypeLeave, wire.TypeRooms, wire.TypeSend, wire.TypeKick, wire.TypeBan, wire.TypeAck:
		return s.handleRooms(c, msg)
	}
	return nil
}

func (c *client) handleSubscribe(req *wire.Subscribe, cfg *Config) error {
	if len(req.Patterns) > cfg.MaxPatterns {
		return wire.NewError(wire.CodePatternsTooMany, "payload.patterns")
	}
	hz := cfg.DefaultMaxHz
	if req.HasMaxHz {
		hz = req.MaxHz
	}
	if !validHz(hz) {
		return hzError("payload.max_hz")
	}
	if req.Points > 0 {
		var valid bool
		if hz, valid = thinned(hz, req.Points, req.WindowMS); !valid {
			return &wire.Error{
				Code: wire.CodeFieldRange, Path: "payload.points",
				Message: fmt.Sprintf("so many points in window_ms are less than %v a second", rates[0]),
			}
		}
	}
	if _, refusal := c.hub.filters.get(req.Filter); refusal != nil {
		return refusal
	}
	if i := unreadable(c.who, req.Patterns); i >= 0 {
		return wire.NewError(wire.CodeForbidden, fmt.Sprintf("payload.patterns[%d]", i))
	}
	want := choice{patterns: req.Patterns, hz: hz, columns: req.Columns, filter: req.Filter, order: req.Order, limit: req.Limit}
	return c.hub.subscribe(c, req.ID, want, comeBack(req.Cursor))
}

func hzError(path string) *wire.Error {
	return &wire.Error{
		Code: wire.CodeFieldRange, Path: path,
		Message: fmt.Sprintf("max_hz must be 0 (unlimited) or from %v to %v", minHz, maxHz),
	}
}

// hzParam reads max_hz from a query.
func hzParam(text string, otherwise float64) (float64, *wire.Error) {
	if text == "" {
		return otherwise, nil
	}
	hz, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(hz) || !validHz(hz) {
		return 0, hzError("max_hz")
	}
	return hz, nil
}

// parsePatterns checks the patterns of a query; name is the parameter's.
func parsePatterns(texts []string, limit int, name string) ([]telemetry.Pattern, *wire.Error) {
	if len(texts) == 0 {
		return nil, wire.NewError(wire.CodeFieldMissing, name)
	}
	if len(texts) > limit {
		return nil, wire.NewError(wire.CodePatternsTooMany, name)
	}
	out := make([]telemetry.Pattern, len(texts))
	for i, text := range texts {
		p, err := telemetry.ParsePattern(text)
		if err == nil {
			out[i] = p
			continue
		}
		var pathErr *telemetry.PathError
		if !errors.As(err, &pathErr) {
			pathErr = &telemetry.PathError{Code: telemetry.CodePatternForm, Reason: err.Error()}
		}
		return nil, &wire.Error{Code: pathErr.Code, Message: pathErr.Reason, Path: fmt.Sprintf("%s[%d]", name, i)}
	}
	return out, nil
}
