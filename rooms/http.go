package rooms

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"weir/auth"
	"weir/wire"
)

// maxBody bounds what is read of a request.
const maxBody = wire.MaxRoomPayload + 4<<10

// publishTimeout bounds how long a request waits until its message is in the log.
const publishTimeout = 20 * time.Second

// Routes registers the endpoints of programs.
func (h *Hub) Routes(r *auth.Router) {
	r.HandleFunc("POST /v1/publish", auth.Publishers, h.publish)
	r.HandleFunc("GET /v1/rooms", auth.SignedIn, h.listRooms)
	r.HandleFunc("GET /v1/rooms/{room...}", auth.SignedIn, h.readRoom)
}

// publish is POST /v1/publish.
func (h *Hub) publish(w http.ResponseWriter, r *http.Request) {
	m, refusal := decodePublish(w, r)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	who := auth.PrincipalOf(r.Context())
	m.From = wire.Sender{User: UserPath(who)}
	version, refusal := h.Publish(r.Context(), who, m)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	wire.WriteJSON(w, http.StatusOK, map[string]int64{"version": version})
}

// Publish stores a message of a principal, and returns its version.
func (h *Hub) Publish(ctx context.Context, who *auth.Principal, m *wire.MessageValue) (int64, *wire.Error) {
	type result struct {
		version int64
		refusal *wire.Error
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	ended := make(chan result, 1)
	if refusal := h.store(ctx, who, m, func(version int64, refusal *wire.Error) { ended <- result{version, refusal} }); refusal != nil {
		return 0, ofProgram(refusal)
	}
	select {
	case got := <-ended:
		return got.version, ofProgram(got.refusal)
	case <-ctx.Done():
		return 0, wire.NewError(wire.CodeNotStored, "")
	}
}

// ofProgram is a refusal with the path of POST /v1/publish instead of that of send.
func ofProgram(refusal *wire.Error) *wire.Error {
	if refusal == nil || refusal.Path == "" {
		return refusal
	}
	out := *refusal
	if out.Path = strings.TrimPrefix(out.Path, "payload."); out.Path != "type" {
		out.Path = "target"
	}
	return &out
}

// decodePublish reads {"target":{…},"type","payload"?,"id"?,"ttl_ms"?}.
func decodePublish(w http.ResponseWriter, r *http.Request) (*wire.MessageValue, *wire.Error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, &wire.Error{Code: wire.CodeFrameTooLarge, Message: "a message's payload has at most 32 KiB"}
	}
	if err != nil {
		return nil, wire.NewError(wire.CodeJSONSyntax, "")
	}
	if !utf8.Valid(text) {
		return nil, wire.NewError(wire.CodeJSONUTF8, "")
	}
	var body struct {
		Target  wire.Target     `json:"target"`
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload"`
		ID      string          `json:"id"`
		TTL     int64           `json:"ttl_ms"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		var field *json.UnmarshalTypeError
		if errors.As(err, &field) {
			return nil, wire.NewError(wire.CodeFieldType, field.Field)
		}
		return nil, wire.NewError(wire.CodeJSONSyntax, "")
	}
	m := &wire.MessageValue{Target: body.Target, Type: body.Type, Payload: body.Payload, ID: body.ID}
	m.User = canonicalUser(m.User)
	if m.Payload == nil {
		m.Payload = []byte("null")
	}
	var tight bytes.Buffer
	_ = json.Compact(&tight, m.Payload)
	m.Payload = tight.Bytes()
	if body.TTL > 0 {
		m.Expires = time.Now().UnixMicro() + body.TTL*1000
	}
	if m.ID == "" {
		m.ID = rand.Text()
	}
	return m, checkPublish(m, body.TTL)
}

func checkPublish(m *wire.MessageValue, ttl int64) *wire.Error {
	targets := 0
	for _, set := range []bool{m.Room != "", m.User != "", m.Session != "", m.Broadcast} {
		if set {
			targets++
		}
	}
	switch {
	case targets != 1:
		return &wire.Error{Code: wire.CodeFieldMissing, Path: "target", Message: "a message is for one of room, user, session and broadcast"}
	case m.Type == "":
		return wire.NewError(wire.CodeFieldMissing, "type")
	case len(m.Type) > wire.MaxRoomType:
		return wire.NewError(wire.CodeFieldRange, "type")
	case len(m.ID) > wire.MaxSubscriptionID:
		return wire.NewError(wire.CodeFieldRange, "id")
	case len(m.Session) > wire.MaxSubscriptionID:
		return wire.NewError(wire.CodeFieldRange, "target.session")
	case len(m.Payload) > wire.MaxRoomPayload:
		return wire.NewError(wire.CodeFieldRange, "payload")
	case ttl < 0 || ttl > wire.MaxTTLMS:
		return wire.NewError(wire.CodeFieldRange, "ttl_ms")
	case m.Room != "":
		return checkRoom(m.Room, "target.room")
	case m.User != "":
		return checkUser(m.User, "target.user")
	}
	return nil
}
