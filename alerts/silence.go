package alerts

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

const (
	maxID = 64
	// maxRules bounds the rules that one silence names.
	maxRules = 100
	// maxSilence is how far in the future a silence may end.
	maxSilence = 366 * 24 * time.Hour
)

// States of a silence.
const (
	stateWaiting = "waiting" // it has not begun
	stateActive  = "active"
	stateOver    = "over"
)

// silenceView is a silence as it is shown.
type silenceView struct {
	telemetry.Silence
	State string `json:"state"`
	// Everywhere is false for one that not every partition has: give or end it once more.
	Everywhere bool `json:"everywhere"`
}

func (s *storedSilence) view(now time.Time) silenceView {
	v := silenceView{Silence: s.Silence, State: stateActive, Everywhere: s.Everywhere}
	switch at := now.UnixMicro(); {
	case at >= s.Until:
		v.State = stateOver
	case at < s.From:
		v.State = stateWaiting
	}
	return v
}

// mayKnow: whoever may read every series that it could silence.
func mayKnow(p *auth.Principal, s *telemetry.Silence) bool {
	pattern, err := telemetry.ParsePattern(s.Series)
	return err == nil && p.MayRead(pattern)
}

// handleSilences is GET /v1/silences: those that are not over, or were until lately.
func (a *API) handleSilences(w http.ResponseWriter, r *http.Request) {
	if !a.silencesReady(w) {
		return
	}
	p, now := auth.PrincipalOf(r.Context()), a.now()
	views := []silenceView{}
	for _, s := range a.silences.list() {
		if mayKnow(p, &s.Silence) {
			views = append(views, s.view(now))
		}
	}
	wire.WriteJSON(w, http.StatusOK, map[string][]silenceView{"silences": views})
}

func (a *API) silencesReady(w http.ResponseWriter) bool {
	if a.silences.ready() {
		return true
	}
	wire.Refuse(w, wire.NewError(wire.CodeNotReady, ""))
	return false
}

// silenceBody is what POST /v1/silences takes: until, or duration from from on.
type silenceBody struct {
	ID         string               `json:"id"`
	Series     string               `json:"series"`
	Rules      []string             `json:"rules"`
	Severities []telemetry.Severity `json:"severities"`
	From       int64                `json:"from"`
	Until      int64                `json:"until"`
	Duration   string               `json:"duration"`
	Comment    string               `json:"comment"`
}

// handleSilence is POST /v1/silences. With the id of a silence that is there it changes that one.
func (a *API) handleSilence(w http.ResponseWriter, r *http.Request) {
	var body silenceBody
	refusal := readBody(w, r, &body)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	p := auth.PrincipalOf(r.Context())
	s, refusal := body.silence(a.now(), p)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	if !a.silencesReady(w) {
		return
	}
	known, changes := a.silences.get(s.ID)
	switch {
	case changes && !mayKnow(p, &known.Silence):
		wire.Refuse(w, wire.NewError(wire.CodeForbidden, "id"))
		return
	case !changes && len(a.silences.list()) >= maxSilences:
		wire.Refuse(w, &wire.Error{Code: wire.CodeLimitGlobal, Message: "as many silences are listed as may"})
		return
	case changes:
		s.By, s.Created = known.By, known.Created
	}
	status := http.StatusCreated
	if changes {
		status = http.StatusOK
	}
	a.putSilence(w, r, &storedSilence{Silence: s}, status)
}

// silence checks a body and makes a silence of it.
func (b *silenceBody) silence(now time.Time, p *auth.Principal) (s telemetry.Silence, refusal *wire.Error) {
	if b.ID == "" {
		b.ID = strings.ToLower(rand.Text())
	}
	if b.Series == "" {
		return s, wire.NewError(wire.CodeFieldMissing, "series")
	}
	pattern, refusal := parsePattern(b.Series, "series")
	switch {
	case refusal != nil:
		return s, refusal
	case !validID(b.ID):
		return s, &wire.Error{Code: wire.CodeFieldRange, Path: "id", Message: "an id has up to 64 of a-z, A-Z, 0-9, '.', '_' and '-'"}
	case !p.MayRead(pattern):
		return s, wire.NewError(wire.CodeForbidden, "series")
	case len(b.Rules) > maxRules:
		return s, wire.NewError(wire.CodeFieldRange, "rules")
	}
	for _, rule := range b.Rules {
		if refusal := checkText("rules", rule, maxName); refusal != nil || rule == "" {
			return s, wire.NewError(wire.CodeFieldRange, "rules")
		}
	}
	if slices.ContainsFunc(b.Severities, func(s telemetry.Severity) bool { return !slices.Contains(severities, s) }) {
		return s, wire.NewError(wire.CodeFieldRange, "severities")
	}
	if refusal := checkText("comment", b.Comment, maxComment); refusal != nil {
		return s, refusal
	}
	s = telemetry.Silence{
		ID: b.ID, Series: b.Series, Rules: b.Rules, Severities: b.Severities, Comment: b.Comment, By: p.Subject, Created: now.UnixMicro(),
	}
	s.From, s.Until, refusal = b.span(now)
	return s, refusal
}

// span is from when until when, in microseconds.
func (b *silenceBody) span(now time.Time) (from, until int64, refusal *wire.Error) {
	if from = b.From; from == 0 {
		from = now.UnixMicro()
	}
	until = b.Until
	switch {
	case b.Duration != "" && until != 0:
		return 0, 0, &wire.Error{Code: wire.CodeFieldRange, Path: "duration", Message: "give until or duration"}
	case b.Duration != "":
		d, err := time.ParseDuration(b.Duration)
		if err != nil || d <= 0 || d > maxSilence {
			return 0, 0, &wire.Error{Code: wire.CodeFieldRange, Path: "duration", Message: "duration is such as 1h, at most " + maxSilence.String()}
		}
		until = max(from, now.UnixMicro()) + d.Microseconds()
	case until == 0:
		return 0, 0, &wire.Error{Code: wire.CodeFieldMissing, Path: "until", Message: "give until or duration"}
	}
	if from < 0 || until <= from || until <= now.UnixMicro() || until > now.Add(maxSilence).UnixMicro() {
		return 0, 0, &wire.Error{Code: wire.CodeFieldRange, Path: "until", Message: "must be after from and in the future, at most " + maxSilence.String()}
	}
	return from, until, nil
}

func validID(id string) bool {
	for _, r := range []byte(id) {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (r < '0' || r > '9') && !strings.ContainsRune("._-", rune(r)) {
			return false
		}
	}
	return len(id) <= maxID
}

// handleUnsilence is DELETE /v1/silences/{id}: it ends now. One that is over stays as it was.
func (a *API) handleUnsilence(w http.ResponseWriter, r *http.Request) {
	if !a.silencesReady(w) {
		return
	}
	known, ok := a.silences.get(r.PathValue("id"))
	if !ok || !mayKnow(auth.PrincipalOf(r.Context()), &known.Silence) {
		wire.Refuse(w, wire.NewError(wire.CodeSilenceUnknown, "id"))
		return
	}
	now := a.now().UnixMicro()
	if known.Until <= now && known.Everywhere {
		wire.WriteJSON(w, http.StatusOK, known.view(a.now()))
		return
	}
	known.Until, known.Everywhere = min(known.Until, now), false
	known.From = min(known.From, known.Until)
	a.putSilence(w, r, &known, http.StatusOK)
}

// putSilence lists a silence, brings it to every partition, and answers. One at a time: two changes of a silence reach all
// partitions in the same order.
func (a *API) putSilence(w http.ResponseWriter, r *http.Request, s *storedSilence, status int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeTimeout)
	defer cancel()
	a.silencing.Lock()
	defer a.silencing.Unlock()
	err := a.silences.put(ctx, s)
	if err == nil {
		err = a.tellAll(ctx, &s.Silence, auth.PrincipalOf(r.Context()).Subject)
	}
	if err == nil {
		s.Everywhere = true
		err = a.silences.put(ctx, s)
	}
	if err != nil {
		a.log.Warn("silence not stored everywhere", "silence", s.ID, "error", err)
		wire.Refuse(w, &wire.Error{Code: wire.CodeNotStored, Message: "the silence has not reached every partition; send it again with the id " + s.ID})
		return
	}
	wire.WriteJSON(w, status, s.view(a.now()))
}

// tellAll writes a silence to every partition of weir.readings.
func (a *API) tellAll(ctx context.Context, s *telemetry.Silence, by string) error {
	now := a.now().UnixMicro()
	value := wire.AppendControl(nil, &wire.Control{Kind: wire.ControlSilence, Time: now, By: by, Silence: s})
	errs := make([]error, a.partitions)
	var all sync.WaitGroup
	for p := range a.partitions {
		all.Go(func() {
			_, errs[p] = a.producer.ProduceSync(ctx, wire.TopicReadings, p, []kafka.Record{{Time: now / 1000, Key: []byte(silencePrefix + s.ID), Value: value}})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
