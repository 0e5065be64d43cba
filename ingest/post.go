package ingest

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// handlePost is POST /v1/readings[?device=PATH&format=NAME&precision=UNIT&dry_run=true]: one frame, answered with its
// receipt's payload.
func (s *Server) handlePost(w http.ResponseWriter, r *http.Request) {
	if !s.origins.Allow(r) {
		s.metrics.refusedOrigin.Inc()
		wire.WriteError(w, http.StatusForbidden, wire.NewError(wire.CodeOriginRefused, ""))
		return
	}
	post, refusal := s.readPost(r)
	if refusal != nil {
		s.refusePost(w, refusal)
		return
	}
	if refusal := s.enter(); refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	defer s.work.Done()
	if !limit(&s.requests, s.cfg.MaxRequests) {
		s.metrics.refusedFull.Inc()
		wire.Refuse(w, wire.NewError(wire.CodeOverloaded, ""))
		return
	}
	defer s.requests.Add(-1)
	body := upload{srv: s}
	defer body.giveBack()
	if refusal := body.read(w, r, post.encoding); refusal != nil {
		s.refusePost(w, refusal)
		return
	}
	s.answer(w, s.store(r.Context(), post, body.buf.Bytes()))
}

// post is what a request declares about its body.
type post struct {
	dialect
	encoding encoding
	dry      bool
	who      *auth.Principal
}

// readPost reads the query and the headers. A body of a type that is not spoken here is not read.
func (s *Server) readPost(r *http.Request) (p post, refusal *wire.Error) {
	query := r.URL.Query()
	if p.dialect, refusal = dialectOf(query); refusal != nil {
		return p, refusal
	}
	switch text := query.Get("dry_run"); text {
	case "", "false":
	case "true":
		p.dry = true
	default:
		return p, &wire.Error{Code: wire.CodeFieldRange, Path: "dry_run", Message: "dry_run must be true or false"}
	}
	declared, ok := wire.FormatOfContentType(r.Header.Get("Content-Type"))
	switch {
	case query.Get("format") != "":
		// The query is explicit; clients that cannot set the header use it.
	case !ok:
		return p, &wire.Error{Code: wire.CodeFormatUnknown, Message: "the content type is that of no format that is spoken here"}
	default:
		p.format = declared
	}
	if p.encoding, ok = encodingOf(r.Header); !ok {
		return p, &wire.Error{Code: wire.CodeMediaType, Message: "a body may be compressed once, with gzip, deflate or zstd"}
	}
	p.who = auth.PrincipalOf(r.Context())
	if p.device != "" && p.who != nil && !p.who.MaySpeakFor(p.device) {
		return p, wire.NewError(wire.CodeForbidden, "device")
	}
	return p, nil
}

func (s *Server) refusePost(w http.ResponseWriter, refusal *wire.Error) {
	if refusal.Code == wire.CodeOverloaded {
		s.metrics.refusedPending.Inc()
		wire.Refuse(w, refusal)
		return
	}
	byCode(s.metrics.rejectedFrames, refusal.Code).Inc()
	wire.Refuse(w, refusal)
}

// store submits the frame and waits until its records are acknowledged, or the server gives up waiting. It waits for a
// client too that has ended its side of the connection, which is how net/http ends ctx: it may want the answer.
func (s *Server) store(ctx context.Context, p post, body []byte) *receipt {
	s.metrics.framesHTTP.Inc()
	rec, err := s.storeAlone(context.WithoutCancel(ctx), false, func(rec *receipt) {
		e := s.encoder(p.dialect)
		e.principal, e.dry = p.who, p.dry
		e.submit(ctx, body, rec)
		s.putBack(e)
	})
	if err != nil {
		return &receipt{Receipt: wire.Receipt{Err: errNotStored, RetryAfter: retryAfterMs}}
	}
	return rec
}

// encoder is one for a request. Those of a request that declares no device and no unit of time are used again.
func (s *Server) encoder(d dialect) *encoder {
	if d.device == "" && d.unit == wire.UnitAuto {
		if e, ok := s.encoders[d.format].Get().(*encoder); ok {
			return e
		}
	}
	return newEncoder(s, d)
}

func (s *Server) putBack(e *encoder) {
	if e.device == "" && e.unit == wire.UnitAuto {
		s.encoders[e.format].Put(e)
	}
}

func (s *Server) answer(w http.ResponseWriter, rec *receipt) {
	status := http.StatusOK
	switch {
	case rec.Err == errNotStored:
		w.Header().Set("Retry-After", "1")
		status = http.StatusServiceUnavailable
	case rec.Err != nil:
		status = wire.StatusOf(rec.Err.Code)
		if rec.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.FormatInt((rec.RetryAfter+999)/1000, 10))
		}
	case len(rec.Rejected) > 0 && rec.Accepted+rec.Duplicate+rec.Late == 0:
		status = http.StatusUnprocessableEntity
		if allForbidden(rec.Rejected) {
			status = http.StatusForbidden
		}
	}
	wire.WriteEncoded(w, status, append(rec.AppendPayload(nil), '\n'))
}

// pathError turns a refused ?device= into an answer.
func pathError(err error) *wire.Error {
	if err == nil {
		return nil
	}
	refusal := &wire.Error{Code: telemetry.CodePathChar, Path: "device", Message: err.Error()}
	var e *telemetry.PathError
	if errors.As(err, &e) {
		refusal.Code = e.Code
	}
	return refusal
}
