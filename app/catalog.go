package app

import (
	"math"
	"net/http"
	"sync/atomic"

	"weir/devices"
	"weir/push"
	"weir/telemetry"
	"weir/wire"
)

// catalog tells push what the devices' metadata say of series. Push starts first; nothing is known until there is a
// registry.
type catalog struct {
	registry atomic.Pointer[devices.Registry]
	push     atomic.Pointer[push.Server]
}

// Meta implements push.Catalog.
func (c *catalog) Meta(series string) *wire.Meta {
	registry := c.registry.Load()
	device, metric, ok := telemetry.SplitSeries(series)
	if registry == nil || !ok {
		return nil
	}
	m, ok := registry.Meta(device)
	if !ok {
		return nil
	}
	return metaOf(m, metric)
}

// metaOf is what dictionaries tell of a metric of a device, nil if that is nothing.
func metaOf(m *devices.Meta, metric string) *wire.Meta {
	out := &wire.Meta{DeviceName: m.DisplayName, Tags: m.Tags, IntervalMS: m.ExpectedInterval.Milliseconds()}
	if of := m.Metrics[metric]; of != nil {
		out.Unit, out.Name, out.Labels = of.Unit, of.DisplayName, of.Labels
		out.Min, out.Max = bound(of.Min), bound(of.Max)
		if of.ExpectedInterval > 0 {
			out.IntervalMS = of.ExpectedInterval.Milliseconds()
		}
	}
	if out.DeviceName == "" && len(out.Tags) == 0 && out.IntervalMS == 0 && m.Metrics[metric] == nil {
		return nil
	}
	return out
}

func bound(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// visit counts a request that waits among push's connections.
func (c *catalog) visit(r *http.Request) (leave func(), refusal *wire.Error) {
	s := c.push.Load()
	if s == nil {
		return nil, wire.NewError(wire.CodeNotReady, "")
	}
	return s.Visit(r)
}

// readShare is what push lets be read of the log for whoever makes a request.
func (c *catalog) readShare(r *http.Request) func(bytes int) (left bool) {
	s := c.push.Load()
	if s == nil { // no request comes so early
		return func(int) bool { return false }
	}
	return s.ReadShare(r)
}

// changed is for a device whose metadata have changed.
func (c *catalog) changed(device string) {
	if s := c.push.Load(); s != nil {
		s.Describe(device)
	}
}

// open says that the registry is there.
func (c *catalog) open(r *devices.Registry) {
	c.registry.Store(r)
	if s := c.push.Load(); s != nil {
		s.DescribeAll()
	}
}
