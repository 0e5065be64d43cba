package deadletter

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
)

// Routes adds the endpoints, all for operators.
func (s *Store) Routes(r *auth.Router) {
	r.HandleFunc("GET /v1/dead-letters", auth.Operators, s.handleList)
	r.HandleFunc("GET /v1/dead-letters/{id}", auth.Operators, s.handleShow)
	r.HandleFunc("POST /v1/dead-letters/{id}/replay", auth.Operators, s.handleReplay)
	r.HandleFunc("DELETE /v1/dead-letters/{id}", auth.Operators, s.handleDiscard)
}

// visible says which letters a principal may see: those of devices it may write for. Frames of which no device
// is known are for whoever may write for all devices, and for the operators of the tenant that their sender is of.
func visible(p *auth.Principal) func(*Letter) bool {
	return func(l *Letter) bool {
		if telemetry.CheckDevice(l.Device) == nil {
			return p.MayWrite(l.Device)
		}
		return p.MayWriteAll() || p.Tenant != "" && p.Tenant == l.Tenant
	}
}

func (s *Store) handleList(w http.ResponseWriter, r *http.Request) {
	f, cursor, limit, refusal := parseFilter(r)
	if refusal != nil {
		wire.WriteError(w, http.StatusBadRequest, refusal)
		return
	}
	f.Visible = visible(auth.PrincipalOf(r.Context()))
	letters, next, err := s.List(r.Context(), f, cursor, limit)
	if err != nil {
		s.fail(w, err)
		return
	}
	answer := struct {
		Letters []letterJSON `json:"letters"`
		Cursor  string       `json:"cursor,omitempty"`
	}{Letters: make([]letterJSON, len(letters))}
	for i := range letters {
		answer.Letters[i] = letters[i].view(false)
	}
	if next != nil {
		answer.Cursor = next.String()
	}
	wire.WriteJSON(w, http.StatusOK, answer)
}

// parseFilter reads ?device=PATTERN&code=&stage=&state=&since=&until=&limit=&cursor=.
func parseFilter(r *http.Request) (*Filter, Cursor, int, *wire.Error) {
	query := r.URL.Query()
	f, cursor, limit := &Filter{}, Cursor(nil), defaultLimit
	bad := func(path, message string) (*Filter, Cursor, int, *wire.Error) {
		return nil, nil, 0, &wire.Error{Code: wire.CodeFieldRange, Path: path, Message: message}
	}
	for name, values := range query {
		var err error
		value := values[len(values)-1]
		switch name {
		case "device":
			var p telemetry.Pattern
			if p, err = telemetry.ParsePattern(value); err == nil {
				f.Device = &p
			}
		case "code":
			f.Code = value
		case "stage":
			f.Stage = value
		case "state":
			if value != StateOpen && value != Replayed && value != Discarded && value != "" {
				return bad(name, "state is open, replayed or discarded")
			}
			f.State = value
		case "since":
			f.Since, err = parseTime(value)
		case "until":
			f.Until, err = parseTime(value)
		case "limit":
			if limit, err = strconv.Atoi(value); err == nil && (limit < 1 || limit > maxLimit) {
				return bad(name, "limit is between 1 and "+strconv.Itoa(maxLimit))
			}
		case "cursor":
			cursor, err = ParseCursor(value)
		case "access_token":
		default:
			return nil, nil, 0, &wire.Error{Code: wire.CodeFieldUnknown, Path: name,
				Message: "the parameters are device, code, stage, state, since, until, limit and cursor"}
		}
		if err != nil {
			return bad(name, err.Error())
		}
	}
	return f, cursor, limit, nil
}

// parseTime reads an RFC 3339 time, or how long ago it was, such as 15m.
func parseTime(text string) (int64, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-ago).UnixMicro(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, errors.New("neither an RFC 3339 time nor a duration such as 15m")
	}
	return t.UnixMicro(), nil
}

// find is the letter that a request names, if whoever asks may see it.
func (s *Store) find(r *http.Request) (*Letter, error) {
	id, err := ParseID(r.PathValue("id"))
	if err != nil {
		return nil, &wire.Error{Code: wire.CodeFieldRange, Path: "id", Message: err.Error()}
	}
	letter, err := s.Get(r.Context(), id)
	if err != nil {
		return nil, err
	}
	if !visible(auth.PrincipalOf(r.Context()))(letter) {
		return nil, wire.NewError(wire.CodeLetterUnknown, "id") // ids are not to be told apart by strangers
	}
	return letter, nil
}

// handleShow answers with the letter, or with ?raw=true with the bytes of its frame.
func (s *Store) handleShow(w http.ResponseWriter, r *http.Request) {
	letter, err := s.find(r)
	if err != nil {
		s.fail(w, err)
		return
	}
	if r.URL.Query().Get("raw") != "true" {
		wire.WriteJSON(w, http.StatusOK, letter)
		return
	}
	h := w.Header()
	// What a stranger has sent is not to be run as a page.
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(letter.Raw)
}

// handleReplay sends a letter again: as it was, or the frame in the body. ?all=true takes all readings of it,
// ?dry_run=true only checks.
func (s *Store) handleReplay(w http.ResponseWriter, r *http.Request) {
	letter, err := s.find(r)
	if err != nil {
		s.fail(w, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxFrameBytes))
	if err != nil {
		s.fail(w, wire.NewError(wire.CodeFrameTooLarge, ""))
		return
	}
	p, query := auth.PrincipalOf(r.Context()), r.URL.Query()
	how := Replay{All: query.Get("all") == "true", DryRun: query.Get("dry_run") == "true", By: p.Subject, MayWrite: p.MayWrite}
	if len(body) > 0 {
		how.Frame = body
	}
	out, err := s.Replay(r.Context(), letter.ID, how)
	switch {
	case err != nil:
		s.fail(w, err)
	case len(out.Rejected) > 0:
		wire.WriteJSON(w, http.StatusUnprocessableEntity, out)
	default:
		wire.WriteJSON(w, http.StatusOK, out)
	}
}

func (s *Store) handleDiscard(w http.ResponseWriter, r *http.Request) {
	letter, err := s.find(r)
	if err == nil {
		err = s.Discard(r.Context(), letter.ID, auth.PrincipalOf(r.Context()).Subject)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Store) fail(w http.ResponseWriter, err error) {
	var refusal *wire.Error
	if errors.As(err, &refusal) {
		wire.Refuse(w, refusal)
		return
	}
	s.log.Warn("dead letters", "error", err, "reason", kafka.Classify(err))
	wire.WriteError(w, http.StatusServiceUnavailable, wire.NewError(wire.CodeNotStored, ""))
}
