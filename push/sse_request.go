package push

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"weir/wire"
)

// eventsID is the id of the one subscription that a stream of events has, unless the request names another.
const eventsID = "events"

// eventsParams are the parameters of GET /v1/events that are fields of a subscribe message, by what they are there.
var eventsParams = map[string]struct {
	field string
	kind  paramKind
}{
	"subscribe": {"patterns", paramList},
	"id":        {"id", paramText},
	"fields":    {"fields", paramNames},
	"filter":    {"filter", paramText},
	"order":     {"order", paramText},
	"cursor":    {"cursor", paramText},
	"max_hz":    {"max_hz", paramNumber},
	"limit":     {"limit", paramNumber},
	"points":    {"points", paramNumber},
	"window_ms": {"window_ms", paramNumber},
}

type paramKind uint8

const (
	paramText   paramKind = iota
	paramNumber           // as in JSON
	paramList             // repeatable
	paramNames            // separated by commas
)

// lastEventID is where a client ended that comes back by itself; it does so with the address it had at first.
const lastEventID = "Last-Event-ID"

// eventsRequest reads the subscription that a request for events names, as the subscribe message that it stands for; nil if
// it names none.
func eventsRequest(r *http.Request) (*wire.Subscribe, *wire.Error) {
	payload := make(map[string]any)
	for name, values := range r.URL.Query() {
		p, known := eventsParams[name]
		switch {
		case name == "access_token", slices.Contains(joinParams, name): // the gate's, and those of queryJoins
		case !known:
			return nil, &wire.Error{Code: wire.CodeFieldUnknown, Path: name, Message: "there is no such parameter"}
		case p.kind != paramList && len(values) > 1:
			return nil, &wire.Error{Code: wire.CodeFieldRange, Path: name, Message: "the parameter is given more than once"}
		default:
			value, ok := p.kind.read(values)
			if !ok {
				return nil, wire.NewError(wire.CodeFieldType, name)
			}
			payload[p.field] = value
		}
	}
	if len(payload) == 0 {
		return nil, nil
	}
	if payload["id"] == nil {
		payload["id"] = eventsID
	}
	if id := r.Header.Get(lastEventID); id != "" {
		payload["cursor"] = id
	}
	text, err := json.Marshal(map[string]any{"type": wire.TypeSubscribe, "payload": payload})
	if err != nil {
		return nil, wire.NewError(wire.CodeInternal, "")
	}
	msg, err := wire.DecodeClientMessage(text)
	if err != nil {
		return nil, ofParams(err)
	}
	return &msg.Subscribe, nil
}

func (k paramKind) read(values []string) (value any, ok bool) {
	switch k {
	case paramList:
		return values, true
	case paramNames:
		return strings.Split(values[0], ","), true
	case paramNumber:
		number := json.Number(values[0])
		_, err := strconv.ParseFloat(values[0], 64)
		return number, err == nil && json.Valid([]byte(values[0]))
	default:
		return values[0], true
	}
}

// ofParams is a refusal of the message that a request stands for, with the path of the parameter.
func ofParams(err error) *wire.Error {
	var refusal *wire.Error
	if !errors.As(err, &refusal) {
		return wire.NewError(wire.CodeInternal, "")
	}
	out := *refusal
	out.Path = strings.TrimPrefix(out.Path, "payload.")
	at := strings.IndexAny(out.Path+"[", "[.")
	for name, p := range eventsParams {
		if p.field == out.Path[:at] {
			out.Path = name + out.Path[at:]
		}
	}
	return &out
}
