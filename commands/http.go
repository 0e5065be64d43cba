package commands

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

const (
	// maxBodyBytes bounds what is read of a request.
	maxBodyBytes = MaxArgsBytes + 4<<10
	// maxWait bounds ?wait=.
	maxWait = 30 * time.Second
	// storeTimeout bounds storing a command.
	storeTimeout = 20 * time.Second
)

// Routes registers the endpoints of operators.
func (h *Hub) Routes(r *auth.Router) {
	r.HandleFunc("POST /v1/commands/{device...}", auth.Operators, h.handleGive)
	r.HandleFunc("GET /v1/commands/{device...}", auth.Operators, h.handleList)
}

// handleGive is POST /v1/commands/{device}[?wait=10s].
func (h *Hub) handleGive(w http.ResponseWriter, r *http.Request) {
	device, ok := h.device(w, r)
	if !ok {
		return
	}
	wait, refusal := waitOf(r)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	c, refusal := h.decodeCommand(w, r)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	c.Device, c.By = device, auth.PrincipalOf(r.Context()).Subject
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	v, known, err := h.Give(ctx, c)
	if err != nil {
		wire.Refuse(w, wire.AsError(err))
		return
	}
	if wait > 0 && !v.Status.Finished() {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		if later, ok := h.Wait(ctx, device, v.ID); ok {
			v = later
		}
	}
	status := http.StatusAccepted
	if known || v.Status.Finished() {
		status = http.StatusOK
	}
	wire.WriteJSON(w, status, v)
}

// handleList is GET /v1/commands/{device}[?id=ID].
func (h *Hub) handleList(w http.ResponseWriter, r *http.Request) {
	device, ok := h.device(w, r)
	if !ok {
		return
	}
	id := r.URL.Query().Get("id")
	if id == "" {
		wire.WriteJSON(w, http.StatusOK, map[string][]View{"commands": h.List(device)})
		return
	}
	v, ok := h.Get(device, id)
	if !ok {
		wire.Refuse(w, wire.NewError(wire.CodeCommandUnknown, ""))
		return
	}
	wire.WriteJSON(w, http.StatusOK, v)
}

// device is the one in the path, if the principal may speak to it.
func (h *Hub) device(w http.ResponseWriter, r *http.Request) (string, bool) {
	device := r.PathValue("device")
	if err := telemetry.CheckDevice(device); err != nil {
		refusal := &wire.Error{Code: telemetry.CodePathChar, Path: "device", Message: err.Error()}
		var e *telemetry.PathError
		if errors.As(err, &e) {
			refusal.Code = e.Code
		}
		wire.Refuse(w, refusal)
		return "", false
	}
	if !auth.PrincipalOf(r.Context()).MayWrite(device) {
		wire.Refuse(w, wire.NewError(wire.CodeForbidden, ""))
		return "", false
	}
	return device, true
}

func waitOf(r *http.Request) (time.Duration, *wire.Error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, &wire.Error{Code: wire.CodeFieldRange, Path: "wait", Message: "wait is a duration up to 30s, such as 10s"}
	}
	return d, nil
}

// decodeCommand reads {"name","args"?,"ttl_ms"?,"id"?}.
func (h *Hub) decodeCommand(w http.ResponseWriter, r *http.Request) (c Command, refusal *wire.Error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return c, &wire.Error{Code: wire.CodeFrameTooLarge, Message: argsTooLarge}
	}
	if err != nil {
		return c, wire.NewError(wire.CodeJSONSyntax, "")
	}
	var body struct {
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
		TTL  *int64          `json:"ttl_ms"`
		ID   *string         `json:"id"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		var field *json.UnmarshalTypeError
		if errors.As(err, &field) {
			return c, wire.NewError(wire.CodeFieldType, field.Field)
		}
		return c, wire.NewError(wire.CodeJSONSyntax, "")
	}
	c.Name, c.Args = body.Name, compact(body.Args)
	if refusal := checkName(body.Name); refusal != nil {
		return c, refusal
	}
	if refusal := checkArgs(c.Args); refusal != nil {
		return c, refusal
	}
	if body.ID != nil {
		if refusal := checkID(*body.ID); refusal != nil {
			return c, refusal
		}
		c.ID = *body.ID
	}
	ttl := h.cfg.DefaultTTL
	if body.TTL != nil {
		if *body.TTL < 1 || *body.TTL > h.cfg.MaxTTL.Milliseconds() {
			return c, &wire.Error{Code: wire.CodeFieldRange, Path: "ttl_ms", Message: "ttl_ms must be between 1 and " + h.cfg.MaxTTL.String()}
		}
		ttl = time.Duration(*body.TTL) * time.Millisecond
	}
	c.Created = time.Now()
	c.Expires = c.Created.Add(ttl)
	return c, nil
}
