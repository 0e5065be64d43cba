//go:build soak

package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weir/wire"
)

// streamSilence is after how long without a line a stream is given up: heartbeats come every two seconds, and a stall lasts 4.5.
const streamSilence = 20 * time.Second

// eventStream is a client of GET /v1/events as one writes it in an afternoon: HTTP, lines, and Last-Event-ID. It shares no code with
// the SDKs but the decoder of messages.
type eventStream struct {
	http  http.Client
	token string
	last  string // id of the newest event that has one
}

func newEventStream(l *line, token string) *eventStream {
	return &eventStream{token: token, http: http.Client{Transport: &http.Transport{DialContext: l.dial, DisableKeepAlives: true}}}
}

// errRefusedStream says that the server does not want this request, now or ever.
var errRefusedStream = errors.New("stream refused")

// run follows streams, each asked for anew, until ctx ends or the server does not want it.
func (s *eventStream) run(ctx context.Context, ask func() url.Values, take func(m wire.ServerMessage, id string)) error {
	for {
		err := s.once(ctx, ask(), take)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		if errors.Is(err, errRefusedStream) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50*time.Millisecond + rand.N(500*time.Millisecond)):
		}
	}
}

// once follows one stream until it ends.
func (s *eventStream) once(ctx context.Context, query url.Values, take func(m wire.ServerMessage, id string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(streamSilence, cancel)
	defer silent.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/v1/events?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	if s.last != "" {
		request.Header.Set("Last-Event-ID", s.last)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusOK:
	case response.StatusCode == http.StatusTooManyRequests, response.StatusCode >= 500:
		return errors.New(response.Status) // later
	default:
		text, _ := io.ReadAll(io.LimitReader(response.Body, 300))
		return fmt.Errorf("%w: %s: %s", errRefusedStream, response.Status, text)
	}
	return s.read(response.Body, func() { silent.Reset(streamSilence) }, take)
}

// read takes event after event. One that a cut has left unfinished is none.
func (s *eventStream) read(body io.Reader, alive func(), take func(m wire.ServerMessage, id string)) error {
	var decoder wire.LiveDecoder
	var id, kind, data string
	lines := bufio.NewReaderSize(body, 64<<10)
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		alive()
		field, value, _ := strings.Cut(strings.TrimSuffix(text, "\n"), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if kind == "" {
				continue
			}
			m, err := decoder.Decode(fmt.Appendf(nil, `{"type":%q,"payload":%s}`, kind, data))
			if err != nil {
				return fmt.Errorf("%w: event %s: %w", errRefusedStream, kind, err)
			}
			if id != "" {
				s.last = id
			}
			take(m, id)
			id, kind, data = "", "", ""
		}
	}
}
