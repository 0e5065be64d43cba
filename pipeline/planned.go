package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"weir/kafka"
	"weir/pipeline/plan"
	"weir/wire"
)

// plannedAt is a plan and the offset of weir.readings from which on it is in force; -1: from the beginning.
type plannedAt struct {
	offset int64
	// plan is nil where fault tells why it is not understood.
	plan    *plan.Plan
	fault   error
	written bool
}

// planLayout is the first byte of a plan in weir.state; its text follows.
const planLayout = 1

// planned puts a plan into force.
func (g *registry) planned(p *plan.Plan, offset int64) {
	g.plan, g.treatments = p, make(map[*plan.Treatment]*treatment)
	g.plans = append(g.plans, plannedAt{offset: offset, plan: p})
}

// plans adds the plans that came into force since the last checkpoint, before all devices, and tombstones for those
// that nobody may begin with any more: before is the position of the checkpoint before.
func (c *checkpoint) plans(g *registry, before int64, headers []kafka.Header) {
	for i := range g.plans {
		if p := &g.plans[i]; !p.written {
			p.written = true
			c.state = append(c.state, kafka.Record{Key: c.planKey(p.offset), Value: append([]byte{planLayout}, p.plan.Text()...), Headers: headers})
			c.devices = append(c.devices, len(c.state)) // each by itself: a few of the largest would not fit into a batch
		}
	}
	first := len(c.state)
	// Until this checkpoint is whole a successor begins where the one before ended.
	for len(g.plans) > 1 && g.plans[1].offset < before {
		c.state = append(c.state, kafka.Record{Key: c.planKey(g.plans[0].offset), Headers: headers})
		g.plans = g.plans[1:]
	}
	if len(c.state) > first {
		c.devices = append(c.devices, len(c.state))
	}
}

func (c *checkpoint) planKey(offset int64) []byte {
	return c.encoder.keyed(planKey, strconv.FormatInt(offset, 10))
}

// restorePlan reads a plan of weir.state; nil: it is there no more.
func (g *registry) restorePlan(offset string, text []byte) error {
	at, err := strconv.ParseInt(offset, 10, 64)
	if err != nil {
		return err
	}
	g.plans = slices.DeleteFunc(g.plans, func(p plannedAt) bool { return p.offset == at })
	if text == nil {
		return nil
	}
	stored := plannedAt{offset: at, written: true}
	if len(text) == 0 || text[0] != planLayout {
		stored.fault = errLayout
	} else {
		stored.plan, stored.fault = plan.Parse(text[1:])
	}
	g.plans = append(g.plans, stored)
	return nil
}

// understood checks that the plan in force at a position can be read. Another one in its place would drop windows and
// end alerts, and nobody would have asked for that. With Config.AcceptLoss, the plan that is wanted now takes its place.
func (r *restorer) understood(position int64) error {
	g := r.out.registry
	at := -1
	for i := range g.plans {
		if g.plans[i].offset < position && (at < 0 || g.plans[i].offset > g.plans[at].offset) {
			at = i
		}
	}
	if at < 0 || g.plans[at].fault == nil {
		return nil
	}
	bad := g.plans[at]
	if !r.o.config.AcceptLoss {
		return fmt.Errorf("%s/%d: the plan in force since offset %d of %s is not one that this version understands: %w; "+
			"start the version that wrote it, or to go on with the plan of the file, start once with pipeline.accept_loss",
			wire.TopicState, r.o.partition, bad.offset, wire.TopicReadings, bad.fault)
	}
	next := plan.Default()
	if r.o.plans != nil {
		next = r.o.plans.Current()
	}
	r.o.log.Error("going on without the plan in force, which is not understood", "offset", bad.offset, "error", bad.fault,
		"instead", next.Hash(), "from", position)
	g.plans = slices.DeleteFunc(g.plans, func(p plannedAt) bool { return p.offset >= position-1 })
	g.planned(next, position-1)
	return nil
}

// begin puts into force what was in force at a position of weir.readings, and gives all series their treatment.
func (g *registry) begin(position int64) {
	g.plans = slices.DeleteFunc(g.plans, func(p plannedAt) bool { return p.offset >= position })
	slices.SortFunc(g.plans, func(a, b plannedAt) int { return cmp.Compare(a.offset, b.offset) })
	if n := len(g.plans); n > 0 {
		g.plan = g.plans[n-1].plan
	}
	for _, d := range g.devices {
		g.treatAll(d)
	}
}

// Plans tells what pipelines are declared.
type Plans interface {
	// Current is the plan that is wanted.
	Current() *plan.Plan
}

// clockwork is what the driver writes into its own partition of weir.readings: ticks, when a timer is due, and the
// plan, when another one is in force. As records they have offsets, and a replay meets them where the first pass did.
type clockwork struct {
	// sent is the time (µs) of the newest tick written.
	sent int64
	// hold is until when no tick is written.
	hold time.Time
	// wanted is the hash of the plan that was written last.
	wanted string
	wrote  time.Time
}

const (
	// lookEvery is how often the driver asks whether a timer is due.
	lookEvery = 200 * time.Millisecond
	// tickEvery is the least time between two ticks.
	tickEvery = time.Second
	// outage is after how long without a checkpoint an owner takes it that devices had nobody to send to, and for how
	// long it then waits for them: the first tick would find all of them absent.
	outage = 30 * time.Second
	// planAgain is when a plan is written again that did not come into force.
	planAgain = 30 * time.Second
)

// attend writes what is due.
func (d *driver) attend(now time.Time) error {
	if d.plans != nil {
		if err := d.attendPlan(now); err != nil {
			return err
		}
	}
	micros := now.UnixMicro()
	due := min(d.stages.compute.timers.first.Load(), d.stages.rules.timers.first.Load())
	waits := d.clock.sent > d.stages.decode.ticked.Load() && micros-d.clock.sent < planAgain.Microseconds()
	if due > micros || waits || now.Before(d.clock.hold) || micros-d.clock.sent < tickEvery.Microseconds() {
		return nil
	}
	d.clock.sent = micros
	d.m.ticks.Inc()
	return d.write(&wire.Control{Kind: wire.ControlTick, Time: micros})
}

func (d *driver) attendPlan(now time.Time) error {
	wanted := d.plans.Current()
	if wanted.Hash() == d.stages.decode.planHash.Load().string {
		return nil
	}
	if wanted.Hash() == d.clock.wanted && now.Sub(d.clock.wrote) < planAgain {
		return nil
	}
	d.clock.wanted, d.clock.wrote = wanted.Hash(), now
	return d.write(&wire.Control{Kind: wire.ControlPlan, Time: now.UnixMicro(), By: d.member, Text: string(wanted.Text())})
}

// write puts a control record into the owner's own partition of weir.readings.
func (d *driver) write(c *wire.Control) error {
	record := kafka.Record{Value: wire.AppendControl(nil, c)}
	if c.Device != "" {
		record.Key = []byte(c.Device)
	}
	return d.producer.Produce(d.work, wire.TopicReadings, d.partition, []kafka.Record{record}, func(_ int64, err error) {
		if err != nil {
			d.fail(err)
		}
	})
}
