package push

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// snapshot answers GET /v1/snapshot?series=PATTERN[&series=…]: at once, or with cursor=… when there is something newer,
// or with min_version=… when the series has come so far; both within wait=….
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	patterns, refusal := parsePatterns(r.URL.Query()["series"], s.cfg.MaxPatterns, "series")
	if refusal != nil {
		wire.WriteError(w, http.StatusBadRequest, refusal)
		return
	}
	if i := unreadable(auth.PrincipalOf(r.Context()), patterns); i >= 0 {
		wire.WriteError(w, http.StatusForbidden, wire.NewError(wire.CodeForbidden, fmt.Sprintf("series[%d]", i)))
		return
	}
	awaited, refusal := parseWait(r.URL.Query(), patterns)
	if refusal != nil {
		wire.WriteError(w, http.StatusBadRequest, refusal)
		return
	}
	if !s.requireReady(w) {
		return
	}
	if awaited.returning != nil || awaited.series != "" {
		s.answerWhenDue(w, r, patterns, awaited)
		return
	}
	body, err := s.encodeSnapshot(r.Context(), patterns)
	if err != nil {
		s.refuseSnapshot(w, err)
		return
	}
	wire.WriteEncoded(w, http.StatusOK, body)
}

// encodeSnapshot copies and encodes with one of the encoders that live snapshots are made with.
func (s *Server) encodeSnapshot(ctx context.Context, patterns []telemetry.Pattern) ([]byte, error) {
	if err := s.hub.acquireEncoder(ctx); err != nil {
		return nil, err
	}
	defer s.hub.releaseEncoder()
	snap, complete := s.hub.snapshot(patterns, s.cfg.MaxListed)
	if !complete {
		return nil, s.tooMany("series")
	}
	return snap.Append(make([]byte, 0, 512+(rowBytes+64)*len(snap.Rows))), nil
}

// snapshot collects the newest updates of the series that the patterns select, and their open alerts.
// complete is false if there are more than limit.
func (h *hub) snapshot(patterns []telemetry.Pattern, limit int) (snap *wire.Snapshot, complete bool) {
	patterns, _ = canonical(patterns)
	var us []telemetry.Update
	var dictionary []wire.Entry
	complete = true
	h.mu.Lock()
	h.store.matching(patterns, func(s *series) bool {
		if complete = len(us) < limit; complete {
			dictionary = append(dictionary, wire.Entry{I: len(us), Series: s.name, Meta: s.meta})
			us = append(us, s.last)
		}
		return complete
	})
	snap = &wire.Snapshot{
		Epoch: h.at.epoch, Cursor: h.at.cursor(), ServerTime: h.now().UnixMicro(), Alerts: h.openAlertsLocked(patterns),
	}
	h.mu.Unlock()
	snap.Rows = wireRows(us)
	snap.Dictionary = dictionary
	return snap, complete
}

// seriesList is the answer of GET /v1/series.
type seriesList struct {
	Series []string `json:"series"`
	// Truncated: there are more than Config.MaxListed, or than the limit asked for.
	Truncated bool `json:"truncated"`
}

// listSeries answers GET /v1/series[?pattern=PATTERN][&limit=N] with names, in order. Of what a pattern selects
// only that is listed which the asker may read; without a pattern, all of that.
func (s *Server) listSeries(w http.ResponseWriter, r *http.Request) {
	query, p := r.URL.Query(), auth.PrincipalOf(r.Context())
	for name := range query {
		if name != "pattern" && name != "limit" && name != "access_token" { // the last is the gate's
			refusal := &wire.Error{Code: wire.CodeFieldUnknown, Path: name, Message: "the parameters are pattern and limit"}
			wire.WriteError(w, http.StatusBadRequest, refusal)
			return
		}
	}
	patterns := readablePatterns(p)
	if texts := query["pattern"]; len(texts) > 0 {
		var refusal *wire.Error
		if patterns, refusal = parsePatterns(texts, s.cfg.MaxPatterns, "pattern"); refusal != nil {
			wire.WriteError(w, http.StatusBadRequest, refusal)
			return
		}
	}
	limit := s.cfg.MaxListed
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > limit {
			wire.WriteError(w, http.StatusBadRequest, wire.NewError(wire.CodeFieldRange, "limit"))
			return
		}
		limit = n
	}
	if !s.requireReady(w) {
		return
	}
	body, err := json.Marshal(s.hub.list(p, patterns, limit))
	if err != nil {
		s.log.Error("list series", "error", err)
		wire.WriteError(w, http.StatusInternalServerError, wire.NewError(wire.CodeInternal, ""))
		return
	}
	wire.WriteEncoded(w, http.StatusOK, body)
}

func (h *hub) list(p *auth.Principal, patterns []telemetry.Pattern, limit int) seriesList {
	patterns, _ = canonical(patterns)
	all := unreadable(p, patterns) < 0
	out := seriesList{Series: []string{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.store.matching(patterns, func(s *series) bool {
		if !all && !p.MayReadPath(s.name) {
			return true
		}
		if len(out.Series) == limit {
			out.Truncated = true
			return false
		}
		out.Series = append(out.Series, s.name)
		return true
	})
	return out
}

func (s *Server) requireReady(w http.ResponseWriter) bool {
	if s.Ready() {
		return true
	}
	code := wire.CodeNotReady
	if s.conns.isDraining() {
		code = wire.CodeDraining
	}
	wire.WriteError(w, http.StatusServiceUnavailable, wire.NewError(code, ""))
	return false
}

func (s *Server) tooMany(path string) *wire.Error {
	return &wire.Error{
		Code: wire.CodeFieldRange, Path: path,
		Message: "the patterns select more than " + strconv.Itoa(s.cfg.MaxListed) + " series; ask for fewer",
	}
}
