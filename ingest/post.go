package ingest

import (
	"errors"
	"net/http"

	"weir/telemetry"
	"weir/wire"
)

// handlePost is POST /v1/readings[?device=PATH]: one frame, answered with its receipt's payload.
func (s *Server) handlePost(w http.ResponseWriter, r *http.Request) {
	if !s.origins.Allow(r) {
		s.metrics.refusedOrigin.Inc()
		wire.WriteError(w, http.StatusForbidden, wire.NewError(wire.CodeOriginRefused, ""))
		return
	}
	device, refusal := defaultDevice(r)
	if refusal != nil {
		wire.WriteError(w, http.StatusBadRequest, refusal)
		return
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		wire.WriteError(w, http.StatusUnsupportedMediaType, &wire.Error{
			Code: wire.CodeMediaType, Message: "the body must not be compressed"})
		return
	}
	if refusal := s.enter(); refusal != nil {
		s.later(w, refusal)
		return
	}
	defer s.work.Done()
	if !limit(&s.requests, s.cfg.MaxRequests) {
		s.metrics.refusedFull.Inc()
		s.later(w, wire.NewError(wire.CodeOverloaded, ""))
		return
	}
	defer s.requests.Add(-1)
	body := upload{srv: s}
	defer body.giveBack()
	if refusal := body.read(w, r); refusal != nil {
		s.refusePost(w, refusal)
		return
	}
	s.answer(w, s.store(r, device, body.buf.Bytes()))
}

func (s *Server) refusePost(w http.ResponseWriter, refusal *wire.Error) {
	if refusal.Code == wire.CodeOverloaded {
		s.metrics.refusedPending.Inc()
		s.later(w, refusal)
		return
	}
	byCode(s.metrics.rejectedFrames, refusal.Code).Inc()
	wire.WriteError(w, s.status(refusal), refusal)
}

// store submits the frame and waits until its records are acknowledged, or the server gives up waiting.
func (s *Server) store(r *http.Request, device string, body []byte) *receipt {
	complete := make(chan struct{})
	rec := newReceipt(func() { close(complete) })
	rec.begin(0, s.cfg.Credit, nowMicros())
	s.metrics.framesHTTP.Inc()
	s.inflight.Add(1)
	defer s.inflight.Add(-1)

	e := s.encoder(device)
	e.submit(r.Context(), body, rec)
	if device == "" {
		s.encoders.Put(e)
	}
	rec.release()
	select {
	case <-complete:
	case <-s.aborted:
		return &receipt{Receipt: wire.Receipt{Err: errNotStored, RetryAfter: retryAfterMs}}
	}
	s.settle(rec, nowMicros())
	return rec
}

func (s *Server) encoder(device string) *encoder {
	if device == "" {
		return s.encoders.Get().(*encoder)
	}
	return newEncoder(s, device)
}

func (s *Server) answer(w http.ResponseWriter, rec *receipt) {
	status := http.StatusOK
	switch {
	case rec.Err == errNotStored:
		w.Header().Set("Retry-After", "1")
		status = http.StatusServiceUnavailable
	case rec.Err != nil:
		status = s.status(rec.Err)
	case len(rec.Rejected) > 0 && rec.Accepted+rec.Duplicate == 0:
		status = http.StatusUnprocessableEntity
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(rec.AppendPayload(nil), '\n'))
}

// status is the HTTP status of a refusal, by the table of codes.
func (s *Server) status(e *wire.Error) int {
	if status := s.statuses[e.Code]; status != 0 {
		return status
	}
	return http.StatusBadRequest
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
