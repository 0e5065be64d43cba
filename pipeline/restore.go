package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// fences are the offsets of an owner's fence records: what its predecessors wrote lies below.
type fences struct {
	latest, state, alerts, updates int64
}

// restored is what an owner begins with.
type restored struct {
	registry *registry
	// partitions is how many weir.readings has.
	partitions int
	// position is the offset of weir.readings to go on from.
	position int64
	// caughtUp is the position from which state and what was emitted agree again. The predecessor may have
	// emitted readings that no state contains; until they have been read anew, no checkpoint may claim that
	// what lies below its marker is in weir.state and weir.latest.
	caughtUp int64
	// lately: the last checkpoint is so young that devices have not been without a server.
	lately bool
	// stale are the series, changed the alerts, whose newest in weir.latest is not up to date.
	stale   []*series
	changed map[string]*telemetry.Alert
	// told and open are what rules needs to know of the alerts that predecessors emitted.
	told     map[string]telemetry.Version
	open     map[string]*telemetry.Alert
	silences silences
	// logs tells how much weir.state and weir.latest hold.
	logs compactor
}

// restorer reads back what predecessors left.
type restorer struct {
	o       *owner
	fences  fences
	out     restored
	decoder stateDecoder
	rows    []telemetry.Update
	waker   *waker
	// failed is why evicted devices could not be brought back.
	failed error
	// marker is the newest one, all zeros when marked is false, markerFence that of its writer.
	marker      wire.Marker
	marked      bool
	markerFence int64
	// highest is the newest version that was emitted since the marker.
	highest telemetry.Version
}

func (o *owner) restore(ctx context.Context, f fences) (*restored, error) {
	started := time.Now()
	r := &restorer{
		o: o, fences: f, highest: telemetry.NoVersion,
		out: restored{
			registry: newRegistry(o.config.MaxSeriesPerDevice),
			changed:  make(map[string]*telemetry.Alert),
			told:     make(map[string]telemetry.Version),
			open:     make(map[string]*telemetry.Alert),
		},
	}
	r.waker = o.newWaker(ctx)
	defer r.waker.close()
	for _, step := range []func(context.Context) error{r.survey, r.readLatest, r.readUpdates, r.readAlerts, r.readState, r.place} {
		if err := errors.Join(step(ctx), r.failed); err != nil {
			return nil, fmt.Errorf("restore: %w", err)
		}
	}
	o.m.restores.UpdateDuration(started)
	o.log.Info("partition restored", "devices", len(r.out.registry.devices), "series", r.out.registry.seriesN,
		"evicted", len(r.out.registry.asleep),
		"position", r.out.position, "caught_up_at", r.out.caughtUp, "plan", r.out.registry.plan.Hash(), "took", time.Since(started))
	return &r.out, nil
}

// settle tells which series the devices had where the replay begins: those in their state. What else was emitted either
// comes with the replay, or was deleted, and the next checkpoint writes its tombstones. A device that weir.state knows
// nothing of, and weir.latest does, keeps what it has: there, state was lost.
func (r *restorer) settle(position int64) {
	g := r.out.registry
	for _, d := range g.devices {
		for _, s := range d.series {
			if !s.inState && (!s.inLatest || d.applied >= 0) {
				g.lay(s)
			}
		}
		switch {
		case len(d.series)+len(d.buried) > 0:
		case d.applied < 0:
			delete(g.devices, d.name)
		case d.applied < position:
			g.retire(d)
		}
	}
}

// whole checks that the topics still hold what the marker says was written.
func (r *restorer) whole(topic string, end, written int64) error {
	if written > end {
		return fmt.Errorf("%s/%d ends at offset %d, but records up to %d were written or processed: the topic was made anew or lost data",
			topic, r.o.partition, end, written)
	}
	return nil
}

// place finds where to go on in weir.readings.
func (r *restorer) place(ctx context.Context) error {
	err := errors.Join(
		r.whole(wire.TopicUpdates, r.fences.updates, r.marker.Updates),
		r.whole(wire.TopicAlerts, r.fences.alerts, r.marker.Alerts),
	)
	if err != nil {
		return err
	}
	ranges, err := r.o.client.Offsets(ctx, wire.TopicReadings)
	if err != nil {
		return err
	}
	if r.o.partition >= len(ranges) {
		return fmt.Errorf("%s has no partition %d", wire.TopicReadings, r.o.partition)
	}
	r.out.partitions = len(ranges)
	have := ranges[r.o.partition]
	position := max(r.o.committed, r.marker.Readings)
	known := max(position, r.highest.Offset()+1)
	for _, d := range r.out.registry.devices {
		known = max(known, d.applied+1)
	}
	if err := r.whole(wire.TopicReadings, have.End, known); err != nil {
		return err
	}
	if position < have.First {
		if r.o.committed >= 0 || r.marked {
			r.o.log.Error("readings were deleted unread", "wanted", position, "first", have.First)
			r.o.m.lost.Add(int(have.First - position))
		}
		position = have.First
	} else {
		r.settle(position)
	}
	r.out.position = position
	r.out.lately = !r.marked || time.Since(time.UnixMicro(r.marker.Time)) < outage
	if err := r.understood(position); err != nil {
		return err
	}
	r.out.registry.begin(position)
	r.out.caughtUp = max(position, r.highest.Offset()+1)
	return nil
}
