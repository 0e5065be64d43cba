package pipeline

import (
	"errors"
	"fmt"

	"weir/pipeline/plan"
	"weir/telemetry"
	"weir/wire"
)

// control carries out a record of weir.readings that holds no readings. Those of a device count as records of it: a
// replay passes them over. Those of the partition are ticks, plans and silences.
func (s *decode) control(r *record) {
	c, err := wire.DecodeControl(r.value)
	if err == nil {
		err = s.carryOut(r, &c)
	}
	if err != nil {
		r.refuse(&fault{code: wire.CodeRecordMalformed, message: err.Error()})
	}
}

func (s *decode) carryOut(r *record, c *wire.Control) error {
	switch c.Kind {
	case wire.ControlTick:
		if c.Time <= 0 {
			return errors.New("a tick has no time")
		}
		r.tick = c.Time
		s.ticked.Store(c.Time)
	case wire.ControlPlan:
		return s.replan(r, c)
	case wire.ControlSilence:
		if c.Silence == nil {
			return errors.New("a silence is missing")
		}
		r.control = c
	case wire.ControlAlert:
		if c.Alert == nil {
			return errors.New("what is to be done to an alert is missing")
		}
		s.toDevice(r, c)
	case wire.ControlPartial:
		return s.partial(r, c)
	case wire.ControlDeleteDevice:
		s.delete(r, c)
	default:
		return fmt.Errorf("a command of kind %q is not known", c.Kind)
	}
	return nil
}

// toDevice resolves the device of a command; without one the command leads to nothing.
func (s *decode) toDevice(r *record, c *wire.Control) {
	d := s.registry.devices[c.Device]
	if d == nil {
		if f := s.checkDevice(c.Device); f != nil {
			r.refuse(f)
			return
		}
		r.verdict = replayed
		return
	}
	r.device, r.ingest = d, c.Time
	if s.dedupe.record(r, 0); r.verdict == fresh {
		r.control = c
	}
}

// delete applies a command to delete a device. The device begins anew, its sequence numbers included.
func (s *decode) delete(r *record, c *wire.Control) {
	if s.toDevice(r, c); r.verdict != fresh || r.control == nil {
		return
	}
	d := r.device
	d.seen, d.sources = nil, nil
	r.deleted, r.control, r.buried = true, nil, s.registry.bury(d)
	s.m.deleted.Inc()
}

// replan puts another plan into force, from this record on. The series there are get their new treatment at once,
// so that none keeps the state of rules that are no more.
func (s *decode) replan(r *record, c *wire.Control) error {
	next, err := plan.Parse([]byte(c.Text))
	if err != nil {
		return fmt.Errorf("a plan is not valid: %w", err)
	}
	g := s.registry
	if next.Hash() == g.plan.Hash() {
		g.planned(next, r.offset)
		return nil
	}
	g.planned(next, r.offset)
	s.planHash.Store(&planHash{next.Hash()})
	r.plan = next
	for _, d := range g.devices {
		for _, of := range d.series {
			r.treated = append(r.treated, of)
		}
	}
	for _, of := range r.treated {
		g.treat(of)
	}
	s.m.plans.Inc()
	s.log.Info("plan in force", "hash", next.Hash(), "offset", r.offset, "by", c.By, "series", len(r.treated))
	return nil
}

// partial resolves what a partition contributes to a group. The name of the group's device is one that devices may not
// have.
func (s *decode) partial(r *record, c *wire.Control) error {
	if c.Partial == nil {
		return errors.New("a partial is missing")
	}
	p := c.Partial
	name, _, ok := telemetry.SplitSeries(p.Group)
	if !ok || name != c.Device || p.Source < 0 || p.Source >= s.partitions {
		return fmt.Errorf("a partial of partition %d for group %q of device %q makes no sense", p.Source, p.Group, c.Device)
	}
	if f := s.checkPlace(c.Device); f != nil {
		r.refuse(f)
		return nil
	}
	group := s.registry.plan.Group(p.Group)
	if group == nil {
		s.m.ungrouped.Inc()
		r.verdict = replayed // the group is no more
		return nil
	}
	d := s.registry.restoredDevice(c.Device)
	r.device, r.ingest = d, c.Time
	if s.dedupe.record(r, 0); r.verdict != fresh {
		return nil
	}
	if !d.hears(p.Source, p.Version) {
		r.verdict = duplicate
		return nil
	}
	r.control, r.group = c, s.registry.group(d, group)
	return nil
}
