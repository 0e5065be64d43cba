package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"weir/pipeline/detect"
	"weir/pipeline/window"
	"weir/telemetry"
)

// device is what a partition knows about one device: the unit of state.
type device struct {
	name string

	// Owned by decode: the series by metric, and those of the dictionary of the last record.
	series     map[string]*series
	dictionary []*series
	// full: it was said that the device has no room for more series.
	full bool
	// buried are series that the device does not have, but that something is known of: they were deleted since the
	// last checkpoint, or emitted by a predecessor and not met by the replay yet. A reading brings one back.
	buried map[string]*series
	// retired: it has nothing any more, and leaves with the next checkpoint.
	retired bool

	// Owned by dedupe.
	seen  sessions
	dirty bool
	// applied is the offset of the newest record that the device's state contains, or -1.
	applied int64

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

	// newestTime is the newest source time (µs). Owned by validate.
	newestTime int64
	// mean is owned by average.
	mean window.Mean
	// Owned by detect.
	detector detect.Deviation
	alert    alertState
	// Owned by summarise.
	summary summaryState
}

// registry holds the devices of a partition. It belongs to decode; between barriers, to the driver.
type registry struct {
	devices   map[string]*device
	maxSeries int
	seriesN   int
	// mourned are the devices with buried series, retired those that have nothing any more.
	mourned, retired []*device
}

func newRegistry(maxSeries int) *registry {
	return &registry{devices: make(map[string]*device), maxSeries: maxSeries}
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

// admit makes a series of d, or returns nil when d has as many as it may have.
func (g *registry) admit(d *device, metric string) *series {
	if of := d.series[metric]; of != nil { // twice in one dictionary
		return of
	}
	if len(d.series) >= g.maxSeries {
		return nil
	}
	if of := d.buried[metric]; of != nil {
		return g.unbury(of)
	}
	return g.add(d, metric)
}

// add makes a new series. Its key in the map shares the bytes of its name.
func (g *registry) add(d *device, metric string) *series {
	name := telemetry.Series(d.name, metric)
	s := &series{name: name, device: d, newestTime: minTime, summary: newSummaryState(name, telemetry.NoVersion)}
	d.series[name[len(d.name)+1:]] = s
	g.seriesN++
	return s
}

// restoredDevice returns the device of a name that is known to be one; it copies the name if it is new.
func (g *registry) restoredDevice(name string) *device {
	d := g.devices[name]
	if d == nil {
		d = &device{name: strings.Clone(name), applied: -1, series: make(map[string]*series)}
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
