package backtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/pipeline"
	"weir/pipeline/plan"
	"weir/telemetry"
	"weir/wire"
)

const (
	// MaxPlanBytes bounds the file that is tried.
	MaxPlanBytes = 256 << 10
	// maxSeries and maxRun bound what a run on a server takes.
	maxSeries = 200_000
	maxRun    = 10 * time.Minute
	// writeTimeout bounds how long a client may take to read what has been written.
	writeTimeout = 30 * time.Second
)

// Line is one of the lines of an answer: exactly one of its fields is set. The last is Totals or Error.
type Line struct {
	Progress *Progress   `json:"progress,omitempty"`
	Alert    *Alert      `json:"alert,omitempty"`
	Totals   *Totals     `json:"totals,omitempty"`
	Error    *wire.Error `json:"error,omitempty"`
}

// APIOptions are an API's dependencies.
type APIOptions struct {
	Client *kafka.Client
	Config pipeline.Config
	Logger *slog.Logger
}

// source is a Source that is to be closed.
type source interface {
	Source
	Close()
}

// API serves POST /v1/backtest: one run at a time, beside the live pipeline and slower than it could be.
type API struct {
	open    func(context.Context) (source, error)
	most    time.Duration // that a run takes
	config  pipeline.Config
	log     *slog.Logger
	running chan struct{}
	// work ends when the server does.
	work context.Context
	stop context.CancelFunc
}

// NewAPI makes an API that works until Close.
func NewAPI(o APIOptions) *API {
	a := &API{
		open:   func(ctx context.Context) (source, error) { return OpenLog(ctx, o.Client) },
		most:   maxRun,
		config: o.Config, log: o.Logger, running: make(chan struct{}, 1),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.work, a.stop = context.WithCancel(context.Background())
	return a
}

// Close ends a run that is under way.
func (a *API) Close() { a.stop() }

// Routes registers POST /v1/backtest.
func (a *API) Routes(r *auth.Router) { r.HandleFunc("POST /v1/backtest", auth.Operators, a.handle) }

// asked is a request that was understood.
type asked struct {
	plan     *plan.Plan
	from, to int64
	pattern  telemetry.Pattern
}

func (a *API) handle(w http.ResponseWriter, r *http.Request) {
	p := auth.PrincipalOf(r.Context())
	q, refusal := parseQuery(r.URL.Query(), p)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	select { // before the file is read: parsing many at once is what this bounds, too
	case a.running <- struct{}{}:
		defer func() { <-a.running }()
	default:
		wire.Refuse(w, &wire.Error{Code: wire.CodeOverloaded, Message: "another backtest is under way; ask again later"})
		return
	}
	if q.plan, refusal = parseBody(w, r); refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), a.most, fmt.Errorf("%w: it may take %s", errTooLong, a.most))
	defer cancel()
	defer context.AfterFunc(a.work, cancel)()
	out := &stream{w: w, control: http.NewResponseController(w)}
	_ = out.control.SetReadDeadline(time.Time{}) // that of the request is over, and would end its context
	a.log.Info("backtest begins", "by", p.Subject, "plan", q.plan.Hash(), "series", q.pattern.String(), "from_us", q.from, "to_us", q.to)
	began := time.Now()
	err := a.run(ctx, q, p, out)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // what was waited for when it ended says less
	}
	if err != nil && r.Context().Err() == nil {
		out.line(&Line{Error: refusalOf(err)})
	}
	a.log.Info("backtest ended", "by", p.Subject, "took", time.Since(began), "error", err)
}

var errTooLong = errors.New("the backtest took too long")

func refusalOf(err error) *wire.Error {
	switch {
	case errors.Is(err, ErrTooManySeries):
		return &wire.Error{Code: wire.CodeOverloaded, Message: err.Error() + "; select fewer with series"}
	case errors.Is(err, errTooLong):
		return &wire.Error{Code: wire.CodeOverloaded, Message: err.Error() + "; select fewer series"}
	case errors.Is(err, context.Canceled):
		return wire.NewError(wire.CodeDraining, "")
	}
	return wire.NewError(wire.CodeInternal, "")
}

func (a *API) run(ctx context.Context, q *asked, p *auth.Principal, out *stream) error {
	src, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	totals, alerts, err := Run(ctx, Options{
		Config: a.config, Plan: q.plan, From: q.from, To: q.to, MaxSeries: maxSeries, Rest: true, Live: true,
		Admit:    Admitting(q.plan, q.pattern, func(device string) bool { return mayReadAll(p, device) }),
		Alerted:  func(series string) bool { return q.pattern.Match(series) && p.MayReadPath(series) },
		Progress: func(at Progress) { out.line(&Line{Progress: &at}) },
	}, src)
	if err != nil {
		return err
	}
	for i := range alerts {
		out.line(&Line{Alert: &alerts[i]})
	}
	out.line(&Line{Totals: totals})
	return nil
}

// mayReadAll reports whether p may see everything of a device: rules may look at any of it.
func mayReadAll(p *auth.Principal, device string) bool {
	all, err := telemetry.ParsePattern(device + "/#")
	return err == nil && p.MayRead(all)
}

func parseBody(w http.ResponseWriter, r *http.Request) (*plan.Plan, *wire.Error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPlanBytes))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, &wire.Error{Code: wire.CodeFrameTooLarge, Message: fmt.Sprintf("the file is larger than %d bytes", MaxPlanBytes)}
	}
	if err != nil {
		return nil, &wire.Error{Code: wire.CodeFrameEmpty, Message: "the body could not be read"}
	}
	next, err := plan.Parse(body)
	if err != nil {
		return nil, &wire.Error{Code: wire.CodePlanInvalid, Message: err.Error()}
	}
	return next, nil
}

// parseQuery tells what the parameters ask for, all but the plan.
func parseQuery(query url.Values, p *auth.Principal) (q *asked, refusal *wire.Error) {
	q = new(asked)
	if q.from, q.to, q.pattern, refusal = parseParameters(query, p); refusal != nil {
		return nil, refusal
	}
	if !p.MayRead(q.pattern) {
		return nil, wire.NewError(wire.CodeForbidden, "series")
	}
	return q, nil
}

func parseParameters(query url.Values, p *auth.Principal) (from, to int64, pattern telemetry.Pattern, refusal *wire.Error) {
	text := "#"
	if p.Tenant != "" {
		text = p.Tenant + "/#"
	}
	to = time.Now().UnixMicro()
	for name, values := range query {
		value := values[len(values)-1]
		var err error
		switch name {
		case "from":
			from, err = ParseTime(value)
		case "to":
			var given int64
			given, err = ParseTime(value)
			to = min(to, given)
		case "series":
			text = value
		case "access_token": // the gate's
		default:
			return 0, 0, pattern, &wire.Error{Code: wire.CodeFieldUnknown, Path: name, Message: "the parameters are from, to and series"}
		}
		if err != nil {
			return 0, 0, pattern, &wire.Error{Code: wire.CodeFieldType, Path: name, Message: err.Error()}
		}
	}
	if from > to {
		return 0, 0, pattern, &wire.Error{Code: wire.CodeFieldRange, Path: "from", Message: "from lies behind to"}
	}
	pattern, err := telemetry.ParsePattern(text)
	if path := new(telemetry.PathError); errors.As(err, &path) {
		return 0, 0, pattern, wire.NewError(path.Code, "series")
	}
	return from, to, pattern, nil
}

// Admitting says which devices a run for a pattern of series needs: those that may have such a series, and with groups all
// with the same first segment, for any may be a member. allowed may leave out more; nil: it does not.
func Admitting(p *plan.Plan, pattern telemetry.Pattern, allowed func(device string) bool) func(device string) bool {
	text := pattern.String()
	if len(p.Groups()) > 0 {
		first, _, _ := strings.Cut(text, "/")
		if text = first + "/#"; first == "#" {
			text = first
		}
	}
	last := text[strings.LastIndexByte(text, '/')+1:]
	if last == "+" || last == "#" {
		last = "x"
	}
	needed, err := telemetry.ParsePattern(text)
	known := make(map[string]bool)
	return func(device string) bool {
		ok, seen := known[device]
		if !seen {
			ok = (err != nil || needed.Match(device+"/"+last)) && (allowed == nil || allowed(device))
			if len(known) < maxSeries {
				known[device] = ok
			}
		}
		return ok
	}
}

// stream writes lines as they come.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (s *stream) line(l *Line) {
	if !s.begun {
		s.begun = true
		h := s.w.Header()
		h.Set("Content-Type", "application/x-ndjson")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		s.w.WriteHeader(http.StatusOK)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return // numbers are finite, texts are texts
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = s.w.Write(append(text, '\n'))
	_ = s.control.Flush()
}
