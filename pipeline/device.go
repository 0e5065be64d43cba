package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"weir/pipeline/plan"
	"weir/pipeline/rule"
	"weir/telemetry"
	"weir/wire"
)

// device is what a partition knows about one device: the unit of state.
type device struct {
	name string

	// Owned by decode: the series by metric, and those of the dictionary of the last record.
	series     map[string]*series
	dictionary []*series
	// reads are the metrics that rules of other series read.
	reads map[string]bool
	// own is how many of the series come from the device, not of others.
	own int
	// full: it was said that the device has no room for more series.
	full bool
	// met: the enricher was told of the device.
	met bool
	// buried are series that the device does not have, but that something is known of: they were deleted since the
	// last checkpoint, or emitted by a predecessor and not met by the replay yet. A reading brings one back.
	buried map[string]*series
	// heard is when its newest record came (processing time, µs); 0: not known.
	heard int64
	// whole: all that is known of it is in one batch of weir.state, at at. tooLarge: it never is.
	whole, tooLarge bool
	at              stub
	// gone: it was evicted; another struct stands for it when it is woken.
	gone bool
	// ghosts were buried and are at hand again, because others lead to them; as long as nothing has, they are not to be
	// found in any topic.
	ghosts []*series
	// retired: it has nothing any more, and leaves with the next checkpoint.
	retired bool

	// Owned by dedupe.
	seen  sessions
	dirty bool
	// applied is the offset of the newest record of the device that its state contains, or -1.
	applied int64
	// sources is up to which version partials of each source are contained; nil but in a group's device.
	sources map[source]telemetry.Version

	// contained is the offset up to which the state that was read back contains the records of the whole partition: what
	// ticks and plans up to there did. It does not change.
	contained int64

	// newestTime is the newest source time of the device's readings (µs). Owned by validate.
	newestTime int64

	// open are the open alerts. Owned by rules.
	open []rule.View

	// Owned by summarise: series changed since the last checkpoint, linked by series.summary.nextDirty.
	dirtySeries *series
}

// series is what a partition knows about one series. Each stage has its own part and touches no other, for
// each runs in a goroutine of its own.
type series struct {
	name   string
	device *device
	// buried: among those of the device. Owned by decode; between barriers, by the driver.
	buried bool
	// While restoring: weir.state, weir.latest has it; its place in the chain of updates is known from its state only.
	inState, inLatest, byState bool

	// treat is what the plan in force asks for. Owned by decode, which hands it on with each reading. derived: the series
	// comes of others, not from the device.
	treat   *treatment
	derived bool
	// standsFor is the group, as the plan has it, whose state is kept with the series; empty: none. Owned by decode.
	standsFor string

	// Owned by validate.
	newest newestState
	// Owned by compute: nil for a series that leads to no other.
	compute *computeState
	// Owned by average.
	average averageState
	// Owned by detect.
	detector detectorState
	// Owned by rules.
	watch watchState
	// Owned by summarise.
	summary summaryState
}

// metric is the last part of the series' name.
func (s *series) metric() string { return s.name[len(s.device.name)+1:] }

// forget leaves of a series what is known of its updates.
func (s *series) forget() {
	s.newest = newestState{time: minTime}
	s.compute, s.average, s.detector, s.watch = nil, averageState{}, detectorState{}, watchState{due: never}
}

// tenant is the first segment of the device's path.
func (d *device) tenant() string { return tenantOf(d.name) }

func tenantOf(device string) string {
	tenant, _, _ := strings.Cut(device, "/")
	return tenant
}

// limit is how many series of its own a device may have.
func (g *registry) limit() int { return min(g.maxSeries, g.plan.Limits().SeriesPerDevice) }

// setDerived tells whether the series comes of others.
func (g *registry) setDerived(s *series, derived bool) {
	n := 0
	switch {
	case s.derived && !derived:
		n = 1
	case !s.derived && derived:
		n = -1
	}
	s.derived = derived
	s.device.own += n
	if tenant := s.device.tenant(); n != 0 {
		if g.tenants[tenant] += n; g.tenants[tenant] == 0 {
			delete(g.tenants, tenant)
		}
	}
}

// hears notes that a partial of that version came from a partition. It reports false when it had come before.
func (d *device) hears(from source, version telemetry.Version) bool {
	if last, ok := d.sources[from]; ok && version <= last {
		return false
	}
	if d.sources == nil {
		d.sources = make(map[source]telemetry.Version)
	}
	from.group = strings.Clone(from.group)
	d.sources[from] = version
	return true
}

// source is a partition that contributes to a group of the device, named by its series.
type source struct {
	partition int
	group     string
}

// registry holds the devices of a partition. It belongs to decode; between barriers, to the driver.
type registry struct {
	devices map[string]*device
	// asleep are the devices that were evicted, asleepSeries how many series they have.
	asleep       map[string]stub
	asleepSeries int
	// maxSeries of a device, derived ones not counted.
	maxSeries int
	seriesN   int
	// tenants have so many series that are not derived.
	tenants map[string]int
	// plan in force, and at which offset it came; plans are that and the one before. fixed: it stays, whatever comes.
	plan  *plan.Plan
	fixed bool
	plans []plannedAt
	// treatments are those of the plan for series that lead to no other.
	treatments map[*plan.Treatment]*treatment
	// mourned are the devices with buried series, retired those that have nothing any more.
	mourned, retired []*device
}

func newRegistry(maxSeries int) *registry {
	return &registry{
		devices: make(map[string]*device), asleep: make(map[string]stub), maxSeries: maxSeries,
		tenants: make(map[string]int), plan: plan.Default(), treatments: make(map[*plan.Treatment]*treatment),
	}
}

// find returns the series of the i-th metric in the dictionary of a record of d, nil if there is none. A
// device's records mostly have the same dictionary, so that a comparison does for most look-ups.
func (d *device) find(i int, metric string) *series {
	if d == nil {
		return nil
	}
	if i < len(d.dictionary) && d.dictionary[i].name[len(d.name)+1:] == metric {
		return d.dictionary[i]
	}
	return d.series[metric]
}

// remember makes the dictionary of a record the one that find compares with.
func (d *device) remember(resolved []*series) {
	if n := slices.Index(resolved, nil); n >= 0 {
		resolved = resolved[:n]
	}
	if len(resolved) > len(d.dictionary) || !slices.Equal(d.dictionary[:len(resolved)], resolved) {
		d.dictionary = append(d.dictionary[:0], resolved...)
	}
}

// admit makes a series of d for what the device sends. It is yet to be treated. It returns nil and a code when d
// has as many as it may have, or the plan derives a series of that name.
func (g *registry) admit(d *device, metric string) (of *series, code string) {
	of = d.series[metric]
	if of != nil && !of.derived { // twice in one dictionary
		return of, ""
	}
	if g.plan.Device(d.name).Outputs(metric) {
		return nil, wire.CodeMetricDerived
	}
	if d.own >= g.limit() {
		return nil, wire.CodeTooManySeries
	}
	// What was emitted once is not refused: a replay may find the tenant with more series than the first pass.
	if d.buried[metric] == nil && g.tenants[d.tenant()] >= g.plan.Limits().SeriesPerTenant {
		return nil, wire.CodeTenantSeries
	}
	switch buried := d.buried[metric]; {
	case of != nil: // no plan derives it any more
	case buried != nil:
		of = g.unbury(buried)
	default:
		of = g.add(d, metric)
	}
	g.setDerived(of, false)
	return of, ""
}

// add makes a new series. Its key in the map shares the bytes of its name.
func (g *registry) add(d *device, metric string) *series {
	name := telemetry.Series(d.name, metric)
	s := &series{name: name, device: d, derived: true, newest: newestState{time: minTime}, watch: watchState{due: never}, summary: newSummaryState(name, telemetry.NoVersion)}
	d.series[name[len(d.name)+1:]] = s
	g.seriesN++
	return s
}

// restoredDevice returns the device of a name that is known to be one; it copies the name if it is new.
func (g *registry) restoredDevice(name string) *device {
	d := g.devices[name]
	if d == nil {
		d = &device{name: strings.Clone(name), applied: -1, contained: -1, newestTime: minTime, series: make(map[string]*series)}
		g.devices[d.name] = d
	}
	return d
}

// restoredSeries returns the series of a path that Weir itself wrote down, whatever the limit is today.
func (g *registry) restoredSeries(path string) (*series, error) {
	deviceName, metric, ok := telemetry.SplitSeries(path)
	if !ok {
		return nil, fmt.Errorf("series %q names no device", path)
	}
	d := g.restoredDevice(deviceName)
	s := d.series[metric]
	if s == nil {
		s = g.add(d, metric)
	}
	return s, nil
}
