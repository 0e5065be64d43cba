package app

import (
	"context"
	"maps"
	"math"
	"testing"

	"weir/devices"
	"weir/pipeline/lookup"
	"weir/pipeline/plan"
	"weir/telemetry"
)

func TestAnAlertSaysWhatIsKnownOfItsDevice(t *testing.T) {
	m := &devices.Meta{
		DisplayName: "Press 7", Location: &devices.Location{Lat: 52.5, Lon: 13.4, Name: "Hall 2"},
		Tags: map[string]string{"line": "3", "owner": "tom"},
		Metrics: map[string]*devices.Metric{
			"state": {Unit: "", DisplayName: "Door", Min: 0, Max: math.NaN(), Labels: map[string]float64{"open": 1, "shut": 0}},
		},
	}
	a := &telemetry.Alert{
		Series: "p/press7/state", Value: 1,
		Labels: map[string]string{"tag_owner": "of the rule"}, Annotations: map[string]string{"unit": "of the rule"},
	}
	describe(a, m, "state")
	labels := map[string]string{"device_name": "Press 7", "location": "Hall 2", "tag_line": "3", "tag_owner": "of the rule"}
	notes := map[string]string{
		"coordinates": "52.5, 13.4", "metric_name": "Door", "expected_range": "at least 0", "value_label": "open", "unit": "of the rule",
	}
	if !maps.Equal(a.Labels, labels) || !maps.Equal(a.Annotations, notes) {
		t.Errorf("%v, %v", a.Labels, a.Annotations)
	}
}

func TestAnAlertThatLeavesBeforeTheAnswerSaysSo(t *testing.T) {
	p, err := plan.Parse([]byte(`enrich: [{match: "p/#", url: "http://127.0.0.1:1/{device}"}]`))
	if err != nil {
		t.Fatal(err)
	}
	e := &enricher{lookups: lookup.New(lookup.Options{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.lookups.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	a := &telemetry.Alert{Series: "p/a/t", Labels: map[string]string{enrichmentLabel: "failed"}, Annotations: map[string]string{}}
	e.Alert(p, a)
	if a.Labels[enrichmentLabel] != "pending" {
		t.Errorf("%v", a.Labels)
	}
	other := &telemetry.Alert{Series: "q/a/t", Labels: map[string]string{enrichmentLabel: "pending"}, Annotations: map[string]string{}}
	e.Alert(p, other)
	if len(other.Labels) != 0 {
		t.Errorf("%v", other.Labels)
	}
}
