package ingest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"weir/wire"
)

// upload is a request's body, and the room it needs.
type upload struct {
	srv  *Server
	buf  bytes.Buffer
	held int64 // of the server's budget
}

// read takes the body, and decompresses it. It is refused when there is no room for one that is announced to be large,
// or turns out so: clients of HTTP come again.
func (u *upload) read(w http.ResponseWriter, r *http.Request, e encoding) *wire.Error {
	if refusal := u.receive(w, r); refusal != nil || e == encodingNone {
		return refusal
	}
	u.srv.metrics.compressedHTTP.Inc()
	most := u.srv.cfg.MaxFrameBytes
	body, refusal := u.srv.inflaters.inflate(e, u.buf.Bytes(), most, func() *wire.Error {
		if !u.hold(int64(most)) {
			return wire.NewError(wire.CodeOverloaded, "")
		}
		return nil
	})
	u.buf = *bytes.NewBuffer(body)
	return refusal
}

// receive takes the body as it comes.
func (u *upload) receive(w http.ResponseWriter, r *http.Request) *wire.Error {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(u.srv.cfg.HandshakeTimeout))
	most := int64(u.srv.cfg.MaxFrameBytes)
	body := http.MaxBytesReader(w, r.Body, most)
	switch n := r.ContentLength; {
	case n > most:
		_, err := io.Copy(io.Discard, body)
		return bodyError(err)
	case n >= 0:
		return u.take(body, n)
	}
	// Of a body that does not tell its length, what anyone may have is read before asking for more.
	if refusal := u.take(io.LimitReader(body, freeBytes), 0); refusal != nil || u.buf.Len() < freeBytes {
		return refusal
	}
	return u.take(body, most)
}

// take reads the rest of a body of up to size bytes, if there is room for it.
func (u *upload) take(body io.Reader, size int64) *wire.Error {
	if size > freeBytes && !u.hold(size) {
		// A connection that is closed with something unread may be reset before the answer is read.
		_, _ = io.Copy(io.Discard, body)
		return wire.NewError(wire.CodeOverloaded, "")
	}
	u.buf.Grow(int(size) + bytes.MinRead - u.buf.Len())
	_, err := io.Copy(&u.buf, body)
	return bodyError(err)
}

// hold takes room, beside what is held, if there is some.
func (u *upload) hold(size int64) bool {
	if !u.srv.pending.try(size) {
		return false
	}
	u.held += size
	return true
}

func (u *upload) giveBack() {
	if u.held > 0 {
		u.srv.pending.giveBack(u.held)
	}
}

func bodyError(err error) *wire.Error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return wire.NewError(wire.CodeFrameTooLarge, "")
	case err != nil:
		return &wire.Error{Code: wire.CodeJSONSyntax, Message: "the body broke off"}
	}
	return nil
}
