package alerts

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

const (
	defaultLimit = 1000
	maxLimit     = 10_000
	maxPatterns  = 256
)

var (
	phases     = []telemetry.Phase{telemetry.Firing, telemetry.Acknowledged, telemetry.Flapping, telemetry.Resolved}
	severities = []telemetry.Severity{telemetry.Info, telemetry.Warning, telemetry.Critical}
)

// filter says which alerts are asked for. An empty list of any kind but phases selects all; no phase, those that are open.
type filter struct {
	series     []telemetry.Pattern
	phases     []telemetry.Phase
	severities []telemetry.Severity
	rules      []string
	limit      int
}

// handleList answers GET /v1/alerts with those of series that the asker may read, the newest transition first.
func (a *API) handleList(w http.ResponseWriter, r *http.Request) {
	f, refusal := parseFilter(r.URL.Query())
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	if !a.ready(w) {
		return
	}
	p := auth.PrincipalOf(r.Context())
	list := a.source.Alerts(slices.Contains(f.phases, telemetry.Resolved))
	list = slices.DeleteFunc(list, func(alert telemetry.Alert) bool { return !f.match(&alert) || !p.MayReadPath(alert.Series) })
	slices.SortFunc(list, func(x, y telemetry.Alert) int {
		return cmp.Or(cmp.Compare(y.Time, x.Time), cmp.Compare(x.ID, y.ID))
	})
	truncated := len(list) > f.limit
	list = list[:min(len(list), f.limit)]
	body := []byte(`{"alerts":[`)
	for i := range list {
		if i > 0 {
			body = append(body, ',')
		}
		body = wire.AppendAlertJSON(body, &list[i])
	}
	body = strconv.AppendBool(append(body, `],"truncated":`...), truncated)
	wire.WriteEncoded(w, http.StatusOK, append(body, "}\n"...))
}

// handleGet answers GET /v1/alerts/{id}.
func (a *API) handleGet(w http.ResponseWriter, r *http.Request) {
	if !a.ready(w) {
		return
	}
	alert, refusal := a.find(r)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	answer(w, &alert)
}

func answer(w http.ResponseWriter, alert *telemetry.Alert) {
	wire.WriteEncoded(w, http.StatusOK, append(wire.AppendAlertJSON(nil, alert), '\n'))
}

// ready reports whether the alerts are known; if not, that is the answer.
func (a *API) ready(w http.ResponseWriter) bool {
	if a.source.Ready() {
		return true
	}
	wire.Refuse(w, wire.NewError(wire.CodeNotReady, ""))
	return false
}

// find is the alert that a request names. Of a series that the asker may not read there is none: ids are not to be told
// apart by strangers.
func (a *API) find(r *http.Request) (telemetry.Alert, *wire.Error) {
	alert, ok := a.source.Alert(r.PathValue("id"))
	if !ok || !auth.PrincipalOf(r.Context()).MayReadPath(alert.Series) {
		return alert, wire.NewError(wire.CodeAlertUnknown, "id")
	}
	return alert, nil
}

// parseFilter reads ?series=PATTERN&phase=&rule=&severity=&limit=; all but limit may be repeated.
func parseFilter(query url.Values) (f filter, refusal *wire.Error) {
	f.limit = defaultLimit
	for name, values := range query {
		switch name {
		case "series":
			f.series, refusal = parsePatterns(values)
		case "phase":
			f.phases, refusal = oneOf(values, phases, name)
		case "severity":
			f.severities, refusal = oneOf(values, severities, name)
		case "rule":
			f.rules = values
		case "limit":
			n, err := strconv.Atoi(values[len(values)-1])
			if f.limit = n; err != nil || n < 1 || n > maxLimit {
				refusal = &wire.Error{Code: wire.CodeFieldRange, Path: name, Message: "limit is between 1 and " + strconv.Itoa(maxLimit)}
			}
		case "access_token": // the gate's
		default:
			refusal = &wire.Error{Code: wire.CodeFieldUnknown, Path: name, Message: "the parameters are series, phase, rule, severity and limit"}
		}
		if refusal != nil {
			return f, refusal
		}
	}
	return f, nil
}

func parsePatterns(texts []string) ([]telemetry.Pattern, *wire.Error) {
	if len(texts) > maxPatterns {
		return nil, wire.NewError(wire.CodePatternsTooMany, "series")
	}
	out := make([]telemetry.Pattern, len(texts))
	for i, text := range texts {
		p, refusal := parsePattern(text, "series["+strconv.Itoa(i)+"]")
		if refusal != nil {
			return nil, refusal
		}
		out[i] = p
	}
	return out, nil
}

func oneOf[T ~string](values []string, known []T, name string) ([]T, *wire.Error) {
	out := make([]T, 0, len(values))
	for _, v := range values {
		if !slices.Contains(known, T(v)) {
			return nil, wire.NewError(wire.CodeFieldRange, name)
		}
		out = append(out, T(v))
	}
	return out, nil
}

func (f *filter) match(a *telemetry.Alert) bool {
	switch {
	case len(f.phases) == 0 && a.Phase == telemetry.Resolved, len(f.phases) > 0 && !slices.Contains(f.phases, a.Phase):
		return false
	case len(f.severities) > 0 && !slices.Contains(f.severities, a.Severity):
		return false
	case len(f.rules) > 0 && !slices.Contains(f.rules, a.Rule):
		return false
	}
	return len(f.series) == 0 || slices.ContainsFunc(f.series, func(p telemetry.Pattern) bool { return p.Match(a.Series) })
}
