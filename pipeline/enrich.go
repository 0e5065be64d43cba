package pipeline

import (
	"fmt"
	"maps"
	"runtime/debug"

	"weir/pipeline/plan"
	"weir/telemetry"
)

// Enricher adds to alerts what is known elsewhere of their devices. What it adds is in what is told, and has no
// influence on state, versions, or anything that a replay decides.
type Enricher interface {
	// Meet tells of a device that this process has its first record of. Alert adds to Labels and Annotations of an
	// alert, which are its own, and to nothing else. Both must not block. They are called by several goroutines.
	Meet(p *plan.Plan, device string)
	Alert(p *plan.Plan, a *telemetry.Alert)
}

// meet tells the enricher of a device, once.
func (s *decode) meet(d *device) {
	d.met = true
	if s.enricher == nil {
		return
	}
	defer func() { // a replay must decide the same about the record
		if cause := recover(); cause != nil {
			s.m.panics.Inc()
			s.log.Error("enricher not told of a device", "device", d.name, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
	}()
	s.enricher.Meet(s.registry.plan, d.name)
}

// enrich adds to an alert that is about to go out. Rules keep the maps of labels, so it gets its own. An enricher
// that fails must not keep an alert from being told.
func (s *emit) enrich(a *telemetry.Alert) {
	if s.enricher == nil {
		return
	}
	plain := *a
	defer func() {
		if cause := recover(); cause != nil {
			s.m.panics.Inc()
			s.log.Error("alert not enriched", "alert", plain.ID, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			*a = plain
		}
	}()
	labels, annotations := maps.Clone(a.Labels), maps.Clone(a.Annotations)
	if labels == nil {
		labels = make(map[string]string)
	}
	if annotations == nil {
		annotations = make(map[string]string)
	}
	told := plain
	told.Labels, told.Annotations = labels, annotations
	s.enricher.Alert(s.plan, &told)
	a.Labels, a.Annotations = told.Labels, told.Annotations
}

// follow notes the plan that came into force with the batch.
func (s *emit) follow(b *Batch) {
	for i := range b.records {
		if p := b.records[i].plan; p != nil {
			s.plan = p
		}
	}
}
