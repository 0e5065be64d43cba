package alerts

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// storeTimeout bounds storing a command. It is not bound to the request: one that is given up may be stored all the same.
const storeTimeout = 20 * time.Second

// reasons are what the transitions that actions cause say of themselves.
var reasons = map[telemetry.AlertAction]telemetry.Reason{
	telemetry.ActionAcknowledge: telemetry.Acked, telemetry.ActionUnacknowledge: telemetry.Unacked,
	telemetry.ActionComment: telemetry.Commented, telemetry.ActionAssign: telemetry.Assigned,
}

// intent is what a request means to do.
type intent struct {
	body any // is read from the request
	// check, which may be nil, looks at the body.
	check func() *wire.Error
	// plan says what that takes; done: it is so already.
	plan func(*telemetry.Alert) (action telemetry.AlertAction, text string, done bool)
}

// handleAck is POST /v1/alerts/{id}/ack {comment?}. An alert that is acknowledged stays so; a comment on it is added.
func (a *API) handleAck(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Comment string `json:"comment"`
	}
	check := func() *wire.Error { return checkText("comment", body.Comment, maxText) }
	a.act(w, r, intent{&body, check, func(alert *telemetry.Alert) (telemetry.AlertAction, string, bool) {
		if alert.Marked == nil && alert.Phase != telemetry.Acknowledged {
			return telemetry.ActionAcknowledge, body.Comment, false
		}
		said := body.Comment == "" || alert.Marked != nil && alert.Marked.Text == body.Comment
		return telemetry.ActionComment, body.Comment, said
	}})
}

// handleUnack is POST /v1/alerts/{id}/unack.
func (a *API) handleUnack(w http.ResponseWriter, r *http.Request) {
	var body struct{}
	a.act(w, r, intent{&body, nil, func(alert *telemetry.Alert) (telemetry.AlertAction, string, bool) {
		return telemetry.ActionUnacknowledge, "", alert.Marked == nil && alert.Phase != telemetry.Acknowledged
	}})
}

// handleComment is POST /v1/alerts/{id}/comment {text}.
func (a *API) handleComment(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Text string `json:"text"`
	}
	check := func() *wire.Error {
		if strings.TrimSpace(body.Text) == "" {
			return wire.NewError(wire.CodeFieldMissing, "text")
		}
		return checkText("text", body.Text, maxText)
	}
	a.act(w, r, intent{&body, check, func(*telemetry.Alert) (telemetry.AlertAction, string, bool) {
		return telemetry.ActionComment, body.Text, false
	}})
}

// handleAssign is POST /v1/alerts/{id}/assign {to}; to nobody with an empty to.
func (a *API) handleAssign(w http.ResponseWriter, r *http.Request) {
	var body struct {
		To *string `json:"to"`
	}
	check := func() *wire.Error {
		if body.To == nil {
			return wire.NewError(wire.CodeFieldMissing, "to")
		}
		return checkText("to", *body.To, maxName)
	}
	a.act(w, r, intent{&body, check, func(alert *telemetry.Alert) (telemetry.AlertAction, string, bool) {
		return telemetry.ActionAssign, *body.To, alert.Assignee == *body.To
	}})
}

// act reads a request, gives the command that it takes, if any, and answers with what came of it.
func (a *API) act(w http.ResponseWriter, r *http.Request, in intent) {
	wait, refusal := waitOf(r)
	if refusal == nil {
		refusal = readBody(w, r, in.body)
	}
	if refusal == nil && in.check != nil {
		refusal = in.check()
	}
	key := r.Header.Get("Idempotency-Key")
	if refusal == nil && len(key) > maxName {
		refusal = wire.NewError(wire.CodeFieldRange, "Idempotency-Key")
	}
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	if !a.ready(w) {
		return
	}
	alert, refusal := a.find(r)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	by := auth.PrincipalOf(r.Context()).Subject
	command := func() (telemetry.AlertCommand, bool) {
		action, text, done := in.plan(&alert)
		return telemetry.AlertCommand{Alert: alert.ID, Series: alert.Series, Action: action, Text: text}, done
	}
	if key != "" {
		key = strings.Join([]string{alert.ID, by, r.URL.Path, key}, "\x00")
	}
	got, offset, refusal := a.give(r.Context(), giving{alert: &alert, command: command, by: by, key: key, wait: wait})
	switch {
	case refusal != nil:
		wire.Refuse(w, refusal)
	case got != nil:
		answer(w, got)
	default:
		accepted := map[string]any{"id": alert.ID}
		if offset >= 0 {
			accepted["version"] = telemetry.VersionOf(offset, 0)
		}
		wire.WriteJSON(w, http.StatusAccepted, accepted)
	}
}

// giving is a command on its way.
type giving struct {
	alert   *telemetry.Alert
	command func() (c telemetry.AlertCommand, done bool)
	by      string
	key     string // "": the command is no repetition of any
	wait    time.Duration
}

// give stores a command, unless it is done or was given before, and waits for the transition it causes. A nil alert without a
// refusal: it has not come in time. The offset is that of the command, -1 if it is not known.
func (a *API) give(ctx context.Context, g giving) (*telemetry.Alert, int64, *wire.Error) {
	w := newWaiter()
	defer a.source.WatchAlert(g.alert.ID, w.take)()
	one, release := a.repeats.claim(ctx, g.key)
	if one == nil {
		return nil, -1, nil // as its first request still waits
	}
	defer release()
	if !one.stored {
		if g.alert.Phase == telemetry.Resolved {
			return nil, -1, wire.NewError(wire.CodeAlertResolved, "id")
		}
		command, done := g.command()
		if done {
			return g.alert, -1, nil
		}
		offset, err := a.store(ctx, &command, g.by)
		if err != nil {
			a.log.Warn("command not stored", "alert", g.alert.ID, "action", command.Action, "error", err)
			return nil, -1, wire.NewError(wire.CodeNotStored, "")
		}
		*one = repeat{stored: true, offset: offset, reason: reasons[command.Action]}
	}
	// What has come between finding the alert and watching it counts, too.
	if now, ok := a.source.Alert(g.alert.ID); ok {
		w.take(&now)
	}
	ctx, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	return w.wait(ctx, one, g.by)
}

// errPartition: no record of this server has led to such an id.
var errPartition = errors.New("the id names no partition")

// store writes a command into its alert's partition and returns its offset, -1 if the broker does not tell.
func (a *API) store(ctx context.Context, command *telemetry.AlertCommand, by string) (int64, error) {
	prefix, _, _ := strings.Cut(command.Alert, "-")
	partition, err := strconv.Atoi(prefix)
	if err != nil || partition < 0 || partition >= a.partitions {
		return -1, errPartition
	}
	device, _, _ := telemetry.SplitSeries(command.Series)
	now := a.now().UnixMicro()
	control := wire.Control{Kind: wire.ControlAlert, Device: device, Time: now, By: by, Alert: command}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return a.producer.ProduceSync(ctx, wire.TopicReadings, partition, []kafka.Record{
		{Time: now / 1000, Key: []byte(device), Value: wire.AppendControl(nil, &control)}})
}
