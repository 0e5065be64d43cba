package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"weir/devices"
	"weir/kafka"
	"weir/pipeline/lookup"
	"weir/pipeline/plan"
	"weir/telemetry"
	"weir/wire"
)

const (
	// maxAlertLabels bounds the labels of an alert, those of its rule included.
	maxAlertLabels = 64
	// enrichmentLabel says that labels are missing: pending or failed.
	enrichmentLabel = "enrichment"
	// letterTimeout is how long a dead letter of a failed look-up may take to be stored.
	letterTimeout = 5 * time.Second
)

// enricher adds to alerts what the registry of devices says, and what others answer.
type enricher struct {
	// meta is nil until the registry is there.
	meta    atomic.Pointer[devices.Registry]
	lookups *lookup.Lookups
}

func (a *App) startEnricher(b *build) *enricher {
	e := new(enricher)
	log := a.log.With("component", "enrich")
	e.lookups = lookup.New(lookup.Options{
		Logger: log, Metrics: a.set,
		Failed: func(ctx context.Context, f lookup.Failure) {
			ctx, cancel := context.WithTimeout(ctx, letterTimeout)
			defer cancel()
			partition := kafka.PartitionFor(f.Device, b.id.Partitions)
			record := kafka.Record{Key: []byte(f.Device), Value: wire.AppendDeadLetter(nil, letterOf(f))}
			if _, err := b.producer.ProduceSync(ctx, wire.TopicDeadLetters, partition, []kafka.Record{record}); err != nil {
				log.Warn("dead letter of a look-up not stored", "device", f.Device, "error", err)
			}
		},
	})
	a.background("enrich", e.lookups.Run)
	return e
}

func letterOf(f lookup.Failure) *wire.DeadLetter {
	return &wire.DeadLetter{
		Code: wire.CodeEnrichFailed, Message: fmt.Sprintf("%s: %v", f.Host, f.Cause),
		Device: f.Device, Time: time.Now().UnixMicro(), Stage: wire.StagePipeline,
	}
}

// Meet implements pipeline.Enricher: what others know is asked for before there is an alert.
func (e *enricher) Meet(p *plan.Plan, device string) {
	for _, l := range p.Lookups(device) {
		e.lookups.Ask(l, device)
	}
}

// Alert implements pipeline.Enricher.
func (e *enricher) Alert(p *plan.Plan, a *telemetry.Alert) {
	device, metric, ok := telemetry.SplitSeries(a.Series)
	if !ok {
		return
	}
	if registry := e.meta.Load(); registry != nil {
		if m, ok := registry.Meta(device); ok {
			describe(a, m, metric)
		}
	}
	missing := ""
	for _, l := range p.Lookups(device) {
		labels, state := e.lookups.Ask(l, device)
		switch state {
		case lookup.Known:
			addLabels(a, labels)
		case lookup.Failed:
			missing = cmp.Or(missing, "failed")
		case lookup.Pending:
			missing = "pending"
		}
	}
	// It is of this transition, whatever was told with the one before.
	if delete(a.Labels, enrichmentLabel); missing != "" {
		a.Labels[enrichmentLabel] = missing
	}
}

// addLabels adds those that there are not yet, as many as there is room for.
func addLabels(a *telemetry.Alert, labels map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if len(a.Labels) >= maxAlertLabels {
			return
		}
		if _, ok := a.Labels[name]; !ok {
			a.Labels[name] = labels[name]
		}
	}
}

// describe adds what the metadata say of the device and the metric. Labels are for routing, annotations for people.
func describe(a *telemetry.Alert, m *devices.Meta, metric string) {
	labels := make(map[string]string, len(m.Tags)+2)
	for name, value := range m.Tags {
		labels["tag_"+name] = value
	}
	note := func(name, text string) {
		if _, ok := a.Annotations[name]; !ok && text != "" {
			a.Annotations[name] = text
		}
	}
	if m.DisplayName != "" {
		labels["device_name"] = m.DisplayName
	}
	if l := m.Location; l != nil {
		if l.Name != "" {
			labels["location"] = l.Name
		}
		note("coordinates", number(l.Lat)+", "+number(l.Lon))
	}
	addLabels(a, labels)
	note("device_description", m.Description)
	of := m.Metrics[metric]
	if of == nil {
		return
	}
	note("metric_name", of.DisplayName)
	note("unit", of.Unit)
	switch low, high := !math.IsNaN(of.Min), !math.IsNaN(of.Max); {
	case low && high:
		note("expected_range", number(of.Min)+" to "+number(of.Max))
	case low:
		note("expected_range", "at least "+number(of.Min))
	case high:
		note("expected_range", "at most "+number(of.Max))
	}
	for _, name := range slices.Sorted(maps.Keys(of.Labels)) {
		if of.Labels[name] == a.Value {
			note("value_label", name)
		}
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
