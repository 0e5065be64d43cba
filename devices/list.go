package devices

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

const (
	defaultListed = 100
	maxListed     = 1000
)

// page is the answer of GET /v1/devices.
type page struct {
	Devices []Device `json:"devices"`
	// Cursor asks for the devices after these; absent: there are none.
	Cursor string `json:"cursor,omitempty"`
}

// query selects devices by name, in order.
type query struct {
	pattern telemetry.Pattern
	after   string
	limit   int
	state   State
	any     bool // whatever the state
}

func parseQuery(values url.Values) (q query, refusal *wire.Error) {
	q = query{pattern: auth.Everything, limit: defaultListed, any: true}
	for name, texts := range values {
		text := texts[0]
		switch name {
		case "pattern":
			p, err := telemetry.ParsePattern(text)
			if err != nil {
				return q, pathError(err, name)
			}
			q.pattern = p
		case "limit":
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > maxListed {
				return q, refuse(wire.CodeFieldRange, name, "limit is between 1 and 1000")
			}
			q.limit = n
		case "cursor":
			if len(text) > telemetry.MaxPathBytes {
				return q, wire.NewError(wire.CodeFieldRange, name)
			}
			q.after = text
		case "state":
			state, ok := ParseState(text)
			if !ok {
				return q, refuse(wire.CodeFieldRange, name, "state is online, stale, offline or unknown")
			}
			q.state, q.any = state, false
		case "access_token": // is the gate's
		default:
			return q, refuse(wire.CodeFieldUnknown, name, "the parameters are pattern, state, limit and cursor")
		}
	}
	return q, nil
}

func (r *Registry) handleList(w http.ResponseWriter, req *http.Request) {
	q, refusal := parseQuery(req.URL.Query())
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	if r.ready(w) {
		wire.WriteJSON(w, http.StatusOK, r.list(auth.PrincipalOf(req.Context()), q))
	}
}

// list is one page of the devices that p may know of.
func (r *Registry) list(p *auth.Principal, q query) page {
	names := r.names(p, &q)
	slices.Sort(names)
	out := page{Devices: []Device{}}
	if len(names) > q.limit {
		names = names[:q.limit]
		out.Cursor = names[q.limit-1]
	}
	for _, name := range names {
		if d, ok := r.describe(name, mayKnowAll(p, name)); ok {
			out.Devices = append(out.Devices, d)
		}
	}
	return out
}

func (r *Registry) names(p *auth.Principal, q *query) (names []string) {
	r.known.RLock()
	defer r.known.RUnlock()
	take := func(name string) {
		if name > q.after && q.pattern.Match(name) && q.wants(r.known.conns[name]) && mayKnow(p, name) {
			names = append(names, name)
		}
	}
	for name := range r.known.conns {
		take(name)
	}
	for name := range r.known.metas {
		if r.known.conns[name] == nil {
			take(name)
		}
	}
	return names
}

func (q *query) wants(p *storedPresence) bool {
	if p == nil {
		return q.any || q.state == Unknown
	}
	return q.any || q.state == p.state
}
