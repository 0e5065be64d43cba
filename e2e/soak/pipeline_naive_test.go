//go:build soak

package soak

import (
	"fmt"
	"slices"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// naive counts the readings of a partition with nothing of the pipeline's code but the formats: which of them are new, and
// whose they are.
type naive struct {
	partition, partitions int
	devices               map[string]*naiveDevice
	// lives are counts of series, by name and by the version of the deletion that they begin after.
	lives map[string]uint64
	// refused are offsets of records that nobody can read.
	refused    []int64
	readings   uint64
	duplicates uint64
	records    int64
	kinds      map[wire.ControlKind]int
	// partials are those that partitions have written, by what tells them apart.
	partials map[string]*wire.Partial
	broken   []string
}

type naiveDevice struct {
	deleted  telemetry.Version
	lives    bool // it has sent readings since
	sessions []naiveSession
}

// naiveSession is what duplicates are told by: the 1,024 newest numbers of the 4 sessions used last.
type naiveSession struct {
	name string
	seen map[uint64]bool
	max  uint64
}

func newNaive(partition, partitions int) *naive {
	return &naive{
		partition: partition, partitions: partitions, devices: map[string]*naiveDevice{}, lives: map[string]uint64{},
		kinds: map[wire.ControlKind]int{}, partials: map[string]*wire.Partial{},
	}
}

func life(series string, deleted telemetry.Version) string {
	return fmt.Sprintf("%s@%d", series, deleted)
}

func (n *naive) feed(r *kafka.Record) {
	n.records++
	if wire.IsControl(r.Value) {
		n.control(r)
		return
	}
	var c wire.ReadingColumns
	if c.Unmarshal(slices.Clone(r.Value)) != nil || telemetry.CheckDevice(c.Device) != nil ||
		kafka.PartitionFor(c.Device, n.partitions) != n.partition {
		n.refused = append(n.refused, r.Offset)
		return
	}
	d := n.device(c.Device)
	if c.Session != "" && d.duplicate(c.Session, c.Seq) {
		n.duplicates += uint64(len(c.Value))
		return
	}
	for i := range c.Value {
		metric := c.Metrics[0]
		if len(c.Metric) > 0 {
			metric = c.Metrics[c.Metric[i]]
		}
		d.lives = true
		n.lives[life(telemetry.Series(c.Device, metric), d.deleted)]++
		n.readings++
	}
}

func (n *naive) device(name string) *naiveDevice {
	d := n.devices[name]
	if d == nil {
		d = &naiveDevice{deleted: telemetry.NoVersion}
		n.devices[name] = d
	}
	return d
}

func (n *naive) control(r *kafka.Record) {
	c, err := wire.DecodeControl(slices.Clone(r.Value))
	if err != nil {
		n.refused = append(n.refused, r.Offset)
		return
	}
	n.kinds[c.Kind]++
	switch c.Kind {
	case wire.ControlDeleteDevice:
		if d := n.devices[c.Device]; d != nil && d.lives {
			*d = naiveDevice{deleted: telemetry.VersionOf(r.Offset, 0)}
		}
	case wire.ControlPartial:
		n.partial(c.Partial, r.Offset)
	}
}

// partial notes what a partition contributed to a group. After a crash it may be there twice, and must say the same.
func (n *naive) partial(p *wire.Partial, offset int64) {
	if p == nil {
		n.broken = append(n.broken, fmt.Sprintf("a partial without content at %d", offset))
		return
	}
	key := fmt.Sprintf("%d %d %s", p.Source, p.Version, p.Group)
	if before := n.partials[key]; before != nil && text(before) != text(p) {
		n.broken = append(n.broken, fmt.Sprintf("partial %s is there with two contents: %s, %s", key, text(before), text(p)))
	}
	n.partials[key] = p
}

func (d *naiveDevice) duplicate(session string, seq uint64) bool {
	i := slices.IndexFunc(d.sessions, func(s naiveSession) bool { return s.name == session })
	if i < 0 {
		if len(d.sessions) == 4 {
			d.sessions = slices.Delete(d.sessions, 0, 1)
		}
		d.sessions = append(d.sessions, naiveSession{name: session, seen: map[uint64]bool{seq: true}, max: seq})
		return false
	}
	s := d.sessions[i]
	d.sessions = append(slices.Delete(d.sessions, i, i+1), s)
	if s.seen[seq] {
		return seq+1024 > s.max
	}
	s.seen[seq] = true
	d.sessions[len(d.sessions)-1].max = max(s.max, seq)
	return false
}
