package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

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
		r.tick, r.ingest = c.Time, c.Time
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
		if s.toDevice(r, c); r.device != nil {
			if of := s.registry.series(c.Alert.Series); of != nil && of.device == r.device {
				r.target = &output{of, of.treat}
			}
		}
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
	d := s.device(c.Device)
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
	same := next.Hash() == g.plan.Hash()
	if same || g.fixed {
		return nil
	}
	s.rouseFor(next.Timed())
	g.planned(next, r.offset)
	s.planHash.Store(&planHash{next.Hash()})
	r.plan, r.ingest = next, c.Time
	for _, d := range g.devices {
		d.reads = nil
		g.treatAll(d)
		r.treated = slices.AppendSeq(r.treated, maps.Values(d.series))
	}
	slices.SortFunc(r.treated, func(a, b *series) int { return cmp.Compare(a.name, b.name) })
	for _, of := range r.treated {
		r.treatments = append(r.treatments, of.treat)
	}
	for t := range g.treatments {
		if len(t.Faults) > 0 {
			s.log.Warn("settings of a plan cannot be together; the later ones are left out", "entries", t.Entries, "faults", t.Faults)
		}
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
	group := s.registry.plan.Group(p.As)
	if group == nil {
		s.m.ungrouped.Inc()
		r.verdict = replayed // the group is no more
		return nil
	}
	d := s.device(c.Device)
	if d == nil {
		d = s.registry.restoredDevice(c.Device)
	}
	r.device, r.ingest = d, c.Time
	if s.dedupe.record(r, 0); r.verdict != fresh {
		return nil
	}
	if !d.hears(source{p.Source, p.Group}, p.Version) {
		r.verdict = duplicate
		s.m.partialsAgain.Inc()
		return nil
	}
	if r.group = s.registry.group(d, group, p.Group); r.group == nil {
		return fmt.Errorf("the series of group %q have no names that fit", p.Group)
	}
	r.control = c
	return nil
}
