package pipeline

import (
	"maps"
	"slices"
	"strings"

	"weir/telemetry"
)

// A device that is deleted loses its series, but a batch before the command may still be in the graph, and what a
// predecessor emitted of them is not to be emitted again. So they are buried: out of the device's series, and their
// names are free for others, but at hand until the next checkpoint, which writes their tombstones.

// bury takes all series from a device and returns them, with those that are buried already.
func (g *registry) bury(d *device) []*series {
	all := make([]*series, 0, len(d.series))
	for _, of := range d.series {
		all = append(all, of)
	}
	// What a predecessor emitted and the replay has not met yet is deleted, too.
	laid := slices.Collect(maps.Values(d.buried))
	for _, of := range all {
		g.lay(of)
	}
	all = append(all, laid...)
	slices.SortFunc(all, func(a, b *series) int { return strings.Compare(a.name, b.name) })
	d.dictionary, d.full = nil, false
	return all
}

// lay buries one series.
func (g *registry) lay(of *series) {
	d := of.device
	if d.buried == nil {
		d.buried = make(map[string]*series)
		g.mourned = append(g.mourned, d)
	}
	metric := of.name[len(d.name)+1:]
	delete(d.series, metric)
	d.buried[metric], of.buried = of, true
	g.setDerived(of, true)
	g.seriesN--
}

// unbury gives a series back to its device.
func (g *registry) unbury(of *series) *series {
	d := of.device
	metric := of.name[len(d.name)+1:]
	delete(d.buried, metric)
	d.series[metric], of.buried = of, false
	g.seriesN++
	return of
}

// forget removes a series of which nothing is to be remembered.
func (g *registry) forget(of *series) {
	g.setDerived(of, true)
	delete(of.device.series, of.name[len(of.device.name)+1:])
	g.seriesN--
}

// series is the one of a name, if there is one.
func (g *registry) series(name string) *series {
	device, metric, _ := telemetry.SplitSeries(name)
	return g.known(device, metric)
}

// known is the series of a path, if there is one.
func (g *registry) known(deviceName, metric string) *series {
	if d := g.devices[deviceName]; d != nil {
		return d.series[metric]
	}
	return nil
}

// retire has a device that has nothing any more leave with the checkpoint after the next one: until the next has been
// written, a successor may read the device's records again, and needs to know that they were applied.
func (g *registry) retire(d *device) {
	if !d.retired && len(d.series) == 0 && len(d.seen) == 0 {
		d.retired = true
		g.retired = append(g.retired, d)
	}
}

// mourning adds to the devices that changed those that have buried series, and forgets which they are.
func (g *registry) mourning(changed []*device) []*device {
	changed = join(changed, g.mourned)
	g.mourned = g.mourned[:0]
	return changed
}
