package alerts

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"weir/auth"
	"weir/kafka"
	"weir/telemetry"
)

// Source knows the alerts; *push.Server is one. An alert that ended lately is known, too.
type Source interface {
	Ready() bool
	Alert(id string) (telemetry.Alert, bool)
	Alerts(ended bool) []telemetry.Alert
	// WatchAlert has fn called for each transition of an alert until stop. fn must not block.
	WatchAlert(id string, fn func(*telemetry.Alert)) (stop func())
}

// Producer stores records; *kafka.Producer is one.
type Producer interface {
	ProduceSync(ctx context.Context, topic string, partition int, recs []kafka.Record) (int64, error)
}

// Table is where silences are listed; *table.Table of weir.devices is one.
type Table interface {
	Ready() <-chan struct{}
	Watch(prefix string, fn func(key string, value []byte))
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
}

// Options are an API's dependencies.
type Options struct {
	Source   Source
	Producer Producer
	// Table does not run yet.
	Table Table
	// Partitions of weir.readings.
	Partitions int
	Logger     *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// API serves /v1/alerts and /v1/silences.
type API struct {
	source     Source
	producer   Producer
	partitions int
	log        *slog.Logger
	now        func() time.Time
	repeats    *repeats
	silences   *silences
	silencing  sync.Mutex // held while a silence is brought to the partitions
}

// New checks the options and watches the table, which has to run only after that.
func New(o Options) (*API, error) {
	if o.Source == nil || o.Producer == nil || o.Table == nil || o.Partitions <= 0 {
		return nil, errors.New("alerts: a source, a producer, a table and the number of partitions are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &API{
		source: o.Source, producer: o.Producer, partitions: o.Partitions, log: o.Logger, now: o.Now,
		repeats: newRepeats(), silences: newSilences(o.Table, o.Logger),
	}, nil
}

// Routes registers the endpoints.
func (a *API) Routes(r *auth.Router) {
	r.HandleFunc("GET /v1/alerts", auth.SignedIn, a.handleList)
	r.HandleFunc("GET /v1/alerts/{id}", auth.SignedIn, a.handleGet)
	r.HandleFunc("POST /v1/alerts/{id}/ack", auth.Operators, a.handleAck)
	r.HandleFunc("POST /v1/alerts/{id}/unack", auth.Operators, a.handleUnack)
	r.HandleFunc("POST /v1/alerts/{id}/comment", auth.Operators, a.handleComment)
	r.HandleFunc("POST /v1/alerts/{id}/assign", auth.Operators, a.handleAssign)
	r.HandleFunc("GET /v1/silences", auth.SignedIn, a.handleSilences)
	r.HandleFunc("POST /v1/silences", auth.Operators, a.handleSilence)
	r.HandleFunc("DELETE /v1/silences/{id}", auth.Operators, a.handleUnsilence)
}

// Run forgets silences that were over long ago, until ctx ends.
func (a *API) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.silences.sweep(ctx, a.now())
		case <-ctx.Done():
			return nil
		}
	}
}
