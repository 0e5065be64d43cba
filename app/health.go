package app

import (
	"context"
	"errors"
	"net/http"
	"time"

	"weir/kafka"
	"weir/wire"
)

// check is the condition under which a role can do its work.
type check struct {
	name string
	fail func(context.Context) error
}

// checkTimeout bounds a check that has to ask somebody.
const checkTimeout = 2 * time.Second

// condition is how GET /readyz tells of a role.
type condition struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
}

// readyz answers 200 when every part of this process is ready, else 503, and in both cases each part's
// condition. A process that is asked to stop is ready for nothing any more, whichever part's turn it is.
func (a *App) readyz(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		Ready bool                 `json:"ready"`
		Parts map[string]condition `json:"parts"`
	}{Parts: make(map[string]condition)}
	checks := a.checks.Load()
	if checks == nil {
		answer.Parts["kafka"] = condition{Reason: "connecting"}
		wire.WriteJSON(w, http.StatusServiceUnavailable, answer)
		return
	}
	if a.stopping.Load() {
		for _, c := range *checks {
			answer.Parts[c.name] = condition{Reason: "draining"}
		}
		wire.WriteJSON(w, http.StatusServiceUnavailable, answer)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	answer.Ready = true
	status := http.StatusOK
	for _, c := range *checks {
		if err := c.fail(ctx); err != nil {
			answer.Parts[c.name] = condition{Reason: err.Error()}
			answer.Ready, status = false, http.StatusServiceUnavailable
			continue
		}
		answer.Parts[c.name] = condition{Ready: true}
	}
	wire.WriteJSON(w, status, answer)
}

// wait makes a check of a part that is ready or not.
func wait(ready func() bool, reason string) func(context.Context) error {
	return func(context.Context) error {
		if ready() {
			return nil
		}
		return errors.New(reason)
	}
}

// kafkaCheck asks the broker where weir.readings ends. What went wrong is for the log, not for strangers.
func (a *App) kafkaCheck(client *kafka.Client) check {
	return check{"kafka", func(ctx context.Context) error {
		if _, err := client.Offsets(ctx, wire.TopicReadings); err != nil {
			a.log.Warn("not ready: kafka", "error", err)
			return errors.New("not reachable: " + kafka.Classify(err))
		}
		return nil
	}}
}
