package push

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"weir/auth"
	"weir/internal/remote"
	"weir/telemetry"
	"weir/wire"
)

// maxWait bounds how long a request may wait, and defaultWait is how long one does that names no time.
const (
	maxWait     = time.Minute
	defaultWait = 30 * time.Second
)

// maxPollsAtOnce is how many requests may look for their answers at a time, the others take turns: one reading wakes all
// who wait for it, and they must not crowd out those who ask for a snapshot; and what each has missed takes memory. One
// that asks for a version has its first look at once, which costs nothing.
const maxPollsAtOnce = 16

// waitFor is what a request for a snapshot waits for: what is newer than a cursor, or a version of its one series. The
// zero value waits for nothing.
type waitFor struct {
	returning *returning
	version   telemetry.Version
	series    string // whose version; "": none
	wait      time.Duration
}

func parseWait(query url.Values, patterns []telemetry.Pattern) (*waitFor, *wire.Error) {
	out := &waitFor{returning: comeBack(query.Get("cursor")), wait: defaultWait}
	if text := query.Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > maxWait {
			return nil, &wire.Error{Code: wire.CodeFieldRange, Path: "wait", Message: "wait must be a duration like 10s, at most " + maxWait.String()}
		}
		out.wait = d
	}
	text := query.Get("min_version")
	if text == "" {
		return out, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n < 0:
		return nil, wire.NewError(wire.CodeFieldRange, "min_version")
	case len(patterns) != 1 || !patterns[0].Literal():
		return nil, &wire.Error{Code: wire.CodeFieldRange, Path: "series", Message: "min_version is that of one series, without wildcards"}
	case out.returning != nil:
		return nil, &wire.Error{Code: wire.CodeFieldRange, Path: "cursor", Message: "a request waits for min_version or for what is newer than a cursor, not for both"}
	}
	out.version, out.series = telemetry.Version(n), patterns[0].String()
	return out, nil
}

// answerWhenDue answers a request that waits, which counts as a connection until its answer has been taken.
func (s *Server) answerWhenDue(w http.ResponseWriter, r *http.Request, patterns []telemetry.Pattern, ask *waitFor) {
	from := s.proxies.Address(r)
	holder := remote.Holder(from)
	of, full := s.conns.visit(accountOf(auth.PrincipalOf(r.Context()), from), holder)
	if full != nil {
		s.refuseConnection(w, full)
		return
	}
	defer s.conns.endVisit(of, holder)
	if ask.returning != nil {
		ask.returning.of = of
	}
	body, err := s.await(r.Context(), of, patterns, ask)
	if err != nil {
		s.refuseSnapshot(w, err)
		return
	}
	wire.WriteEncoded(w, http.StatusOK, body)
}

// await answers when there is what the request waits for, or its time is up.
func (s *Server) await(asker context.Context, of *account, patterns []telemetry.Pattern, ask *waitFor) ([]byte, error) {
	v, refusal := s.hub.watchView(of, patterns, s.cfg.DefaultMaxHz)
	if refusal != nil {
		return nil, refusal
	}
	defer s.hub.unwatchView(of, v)
	asker, stop := s.whilePermitted(asker)
	defer stop()
	ctx, cancel := context.WithTimeout(asker, ask.wait)
	defer cancel()
	for waited := false; ; waited = true {
		news := s.hub.news(v) // before looking, so that none is missed
		last := ctx.Err() != nil
		body, err := s.lookInTurn(asker, v, patterns, ask, waited, last)
		if body != nil || err != nil {
			return body, err
		}
		select {
		case <-news:
		case <-ctx.Done():
		}
		if asker.Err() != nil {
			return nil, context.Cause(asker)
		}
		if !s.Ready() {
			return nil, wire.NewError(wire.CodeDraining, "")
		}
	}
}

// whilePermitted is the context of a request until its credentials end, which is its cause then.
func (s *Server) whilePermitted(ctx context.Context) (permitted context.Context, stop func()) {
	permitted, cancel := context.WithCancelCause(ctx)
	unwatch := s.gate.Watch(auth.PrincipalOf(ctx), func(e *wire.Error) { cancel(e) })
	return permitted, func() {
		unwatch()
		cancel(nil)
	}
}

// lookInTurn looks, with all but the first look for a version in turn.
func (s *Server) lookInTurn(ctx context.Context, v *view, patterns []telemetry.Pattern, ask *waitFor, waited, last bool) ([]byte, error) {
	if waited || ask.returning != nil {
		select {
		case s.polls <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		defer func() { <-s.polls }()
	}
	return s.look(ctx, v, patterns, ask, last)
}

// look returns the answer if there is one, and with last in any case.
func (s *Server) look(ctx context.Context, v *view, patterns []telemetry.Pattern, ask *waitFor, last bool) ([]byte, error) {
	if ask.series != "" {
		switch {
		case s.hub.version(ask.series) >= ask.version:
			return s.encodeSnapshot(ctx, patterns)
		case last:
			return nil, wire.NewError(wire.CodeWaitTimeout, "")
		}
		return nil, nil
	}
	body, err := s.hub.missedBy(ctx, v, ask.returning, last)
	if errors.Is(err, errTooOld) || errors.Is(err, errInexact) {
		return s.encodeSnapshot(ctx, patterns)
	}
	return body, err
}

// missedBy is what has happened in a view since a cursor; nil if nothing has, unless asked for all the same. Nobody else
// waits while the log is read: an encoder is taken after it.
func (h *hub) missedBy(ctx context.Context, v *view, r *returning, emptyToo bool) ([]byte, error) {
	h.mu.Lock()
	if r.refusal(&h.at) != "" || !h.mayComeBack(r) {
		h.mu.Unlock()
		return nil, errTooOld
	}
	state := v.snapshot()
	back := h.catchUpLocked(v.patterns, state)
	back.askedBy(r)
	now := h.now().UnixMicro()
	h.mu.Unlock()
	for _, topic := range []string{wire.TopicUpdates, wire.TopicAlerts} {
		if err := back.load(ctx, topic, map[string]*positions{r.cursor: r.at}); err != nil {
			return nil, err
		}
	}
	m, err := back.since(r.at)
	if err != nil {
		return nil, err
	}
	if m.deleted { // which only the whole dictionary tells
		return nil, errInexact
	}
	if len(m.rows) == 0 && len(m.alerts) == 0 && !emptyToo {
		return nil, nil
	}
	if err := h.acquireEncoder(ctx); err != nil {
		return nil, err
	}
	defer h.releaseEncoder()
	snap := wire.Snapshot{Epoch: back.to.epoch, Cursor: state.cursor, ServerTime: now, Resumed: true, Alerts: m.alerts}
	for i := range m.rows {
		snap.Dictionary = append(snap.Dictionary, wire.Entry{I: i, Series: m.rows[i].Series, Meta: state.dictionary[m.index[i]].Meta})
	}
	snap.Rows = wireRows(m.rows)
	return snap.Append(make([]byte, 0, 512+(rowBytes+64)*len(snap.Rows))), nil
}

// watchView makes a view of patterns tell its news to a request of an account, until unwatchView.
func (h *hub) watchView(of *account, patterns []telemetry.Pattern, hz float64) (*view, *wire.Error) {
	key, patterns := (&choice{patterns: patterns, hz: hz}).key()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.useViewLocked(key, patterns, of, 0)
}

func (h *hub) unwatchView(of *account, v *view) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.quitLocked(of)
}

// news is closed when the view has something new.
func (h *hub) news(v *view) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.news == nil {
		v.news = make(chan struct{})
	}
	if h.closed {
		v.tellNews()
		ended := make(chan struct{})
		close(ended)
		return ended
	}
	return v.news
}

// tellNews wakes the requests that wait for news of the view.
func (v *view) tellNews() {
	if v.news != nil {
		close(v.news)
		v.news = nil
	}
}

// version is that of the newest update of a series.
func (h *hub) version(series string) telemetry.Version {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.store.series[series]; s != nil {
		return s.last.Version
	}
	return telemetry.NoVersion
}

// refuseSnapshot answers a request for a snapshot that failed.
func (s *Server) refuseSnapshot(w http.ResponseWriter, err error) {
	var refused *wire.Error
	if !errors.As(err, &refused) {
		return // the asker is gone
	}
	if refused.Code == wire.CodeLimitPrincipal {
		s.hub.m.refused[refused.Code].Inc()
		wire.Refuse(w, &wire.Error{Code: refused.Code, Path: "series", Message: refused.Message})
		return
	}
	status := http.StatusUnprocessableEntity
	switch refused.Code {
	case wire.CodeOverloaded, wire.CodeDraining:
		status = http.StatusServiceUnavailable
	case wire.CodeWaitTimeout:
		status = http.StatusGatewayTimeout
	case wire.CodeTokenRevoked, wire.CodeTokenExpired, wire.CodeTokenInvalid:
		status = http.StatusUnauthorized
	}
	wire.WriteError(w, status, refused)
}
