package conformance

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"weir/wire"
)

// post takes a frame over HTTP. Each request counts as a connection of one frame.
func (k *Kit) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxFrameBytes))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.accepted++
	k.total.Frames++
	s := &seen{conn: k.accepted, frame: 1, at: time.Now(), snippet: snippet(body)}
	if err != nil {
		k.tally.fail(checkSize, s.evidence("the body is larger than 1 MiB, or ended early: %v", err))
		wire.WriteError(w, http.StatusRequestEntityTooLarge, wire.NewError(wire.CodeFrameTooLarge, ""))
		return
	}
	format, ok := wire.FormatOfContentType(r.Header.Get("Content-Type"))
	if !ok {
		k.tally.fail(checkSyntax, s.evidence("Content-Type %q is not one that is spoken here", r.Header.Get("Content-Type")))
		wire.WriteError(w, http.StatusUnsupportedMediaType, wire.NewError(wire.CodeMediaType, ""))
		return
	}
	now := time.Now().UnixMicro()
	f, err := k.newDecoder(r, format, &now).Decode(body)
	if err != nil {
		refusal := wire.AsError(err)
		k.tally.fail(checkOf(refusal.Code), s.evidence("%s", refusal.Error()))
		wire.Refuse(w, refusal)
		return
	}
	k.total.Readings += f.Total
	k.frames.note(s, f, now, k.tally)
	if s.at.After(k.quietFrom) && s.at.Before(k.quietUntil) {
		k.tally.fail(checkRetry, s.evidence("it came %v before the end of the pause that Retry-After had asked for", k.quietUntil.Sub(s.at).Round(time.Millisecond)))
	}
	if k.stage.left != nil {
		k.tally.pass(checkReconnect)
		k.stage.left = nil
	}
	a, acted := k.play(nil, s)
	if !acted {
		a = answer{receipt: usual(s)}
	}
	if a.cut {
		k.frames.owe(s, false)
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}
	respond(w, a.receipt, s)
}

func respond(w http.ResponseWriter, r *wire.Receipt, s *seen) {
	r.Seq, r.HasSeq = s.key.seq, s.numbered
	w.Header().Set("Content-Type", "application/json")
	status := http.StatusOK
	switch {
	case r.RetryAfter > 0:
		w.Header().Set("Retry-After", strconv.FormatInt((r.RetryAfter+999)/1000, 10))
		status = http.StatusServiceUnavailable
	case r.Accepted+r.Duplicate+r.Late == 0:
		status = http.StatusUnprocessableEntity
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(r.AppendPayload(nil), '\n'))
}
