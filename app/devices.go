package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"weir/config"
	"weir/devices"
	"weir/ingest"
	"weir/kafka/table"
	"weir/nodes"
)

// knownDevices is what the process knows of devices.
type knownDevices struct {
	*devices.Registry
	// submit stores last wills; nil until ingest runs.
	submit atomic.Pointer[ingest.Server]
}

// startDevices begins to keep metadata, presence and health of devices in t, the table of weir.devices, and waits until what is known has been read:
// readings may be named by the labels of their metric. Ingest, if the process has it, tells of devices.
func (a *App) startDevices(
	ctx context.Context, b *build, t *table.Table, others *nodes.Registry, self string,
) (*knownDevices, error) {
	c := &a.opts.Config
	known := new(knownDevices)
	o := devices.Options{
		Config: c.Devices, Table: t, Producer: b.producer, Partitions: b.id.Partitions, Node: self, Alive: aliveAmong(others, self),
		Changed: b.catalog.changed,
		Logger:  a.log.With("component", "devices"), Metrics: a.set,
	}
	if c.Has(config.RoleIngest) {
		o.Submit = known.storeWill
		limit := c.Ingest.Limits.Device
		o.Quota = func(string) (float64, int) { return float64(limit.Rate), limit.Burst }
	}
	var err error
	if known.Registry, err = devices.New(o); err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	known.Routes(b.routes)
	a.background("table of devices", t.Run)
	a.background("devices", known.Run)
	if err := a.await(ctx, "devices", t.Ready()); err != nil {
		return nil, err
	}
	return known, nil
}

var errNoIngest = errors.New("readings are not taken yet")

func (k *knownDevices) storeWill(ctx context.Context, device string, frame []byte) error {
	if s := k.submit.Load(); s != nil {
		return s.StoreWill(ctx, device, frame)
	}
	return errNoIngest
}

// aliveAmong tells which instances are there. As long as this one does not see itself, it does not see the others
// either, and takes none for gone.
func aliveAmong(others *nodes.Registry, self string) func(node string) bool {
	return func(node string) bool {
		list := others.Nodes()
		is := func(id string) bool { return slices.ContainsFunc(list, func(n *nodes.Node) bool { return n.ID == id }) }
		return is(node) || !is(self)
	}
}
