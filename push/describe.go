package push

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"

	"weir/wire"
)

// Catalog knows of series what their readings do not tell. It may be asked under the hub's lock: it answers at once, and
// calls nothing here.
type Catalog interface {
	// Meta is nil if nothing is known. It is not changed once it was returned.
	Meta(series string) *wire.Meta
}

// maxDescribed is how many devices may wait to be described anew; beyond it, all are.
const maxDescribed = 10_000

// describedAtOnce is how many series are described under one hold of the lock.
const describedAtOnce = 1000

// descriptions are the devices of which the catalog has something new.
type descriptions struct {
	mu      sync.Mutex
	devices map[string]struct{}
	all     bool
	some    chan struct{} // holds a token if there are any
}

func newDescriptions() *descriptions {
	return &descriptions{devices: make(map[string]struct{}), some: make(chan struct{}, 1)}
}

// Describe says that the catalog has something new on a device. Clients are told soon. It does not block.
func (s *Server) Describe(device string) {
	s.descriptions.add(func(d *descriptions) { d.devices[device] = struct{}{} })
}

// DescribeAll says so of all devices.
func (s *Server) DescribeAll() { s.descriptions.add(func(d *descriptions) { d.all = true }) }

func (d *descriptions) add(what func(*descriptions)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	what(d)
	if len(d.devices) > maxDescribed {
		d.all = true
	}
	if d.all {
		clear(d.devices)
	}
	select {
	case d.some <- struct{}{}:
	default:
	}
}

// take empties it.
func (d *descriptions) take() (devices []string, all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for device := range d.devices {
		devices = append(devices, device)
	}
	all = d.all
	clear(d.devices)
	d.all = false
	return devices, all
}

// describe tells views of what is new in the catalog, until ctx ends.
func (s *Server) describe(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.descriptions.some:
		}
		devices, all := s.descriptions.take()
		names := s.hub.seriesOf(devices, all)
		for chunk := range slices.Chunk(names, describedAtOnce) {
			s.hub.describe(chunk)
		}
	}
}

// seriesOf are the names of the series of devices, or of all.
func (h *hub) seriesOf(devices []string, all bool) (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if all {
		devices = []string{""}
	}
	for _, device := range devices {
		prefix := device + "/"
		if all {
			prefix = ""
		}
		for _, s := range h.store.withPrefix(prefix) {
			if all || strings.IndexByte(s.name[len(prefix):], '/') < 0 {
				names = append(names, s.name)
			}
		}
	}
	return names
}

// describe looks series up in the catalog.
func (h *hub) describe(names []string) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		s := h.store.series[name]
		if s == nil {
			continue
		}
		meta := h.catalog.Meta(name)
		if reflect.DeepEqual(meta, s.meta) {
			continue
		}
		s.meta = meta
		for _, m := range s.members {
			m.view.describe(m.idx)
			h.touchLocked(m.view)
		}
	}
	h.flushDirtyLocked(now)
}

// describe takes over what is known of a series now.
func (v *view) describe(idx uint32) {
	at := int(idx)
	if v.selection != nil {
		at = int(v.selection.named[idx]) - 1
		if f := v.selection.filter; f != nil && f.described {
			v.selection.look(idx)
		}
	}
	if at < 0 { // nobody has been told of it
		return
	}
	v.own()
	v.dictionary[at].Meta = v.members[idx].meta
	if at < v.told {
		v.pending.changed = append(v.pending.changed, uint32(at))
	}
}

// lend returns the dictionary as it is now, to be read without the lock.
func (v *view) lend() []wire.Entry {
	v.lent = true
	return v.dictionary[:len(v.dictionary):len(v.dictionary)]
}

// own makes the dictionary one that may be changed: who has a part of the one there was reads it without the lock.
func (v *view) own() {
	if v.lent {
		v.dictionary, v.lent = slices.Clone(v.dictionary), false
	}
}

// changedOf are the entries at some places of a dictionary, each once. Those from a place on are left out, and those of series that are
// gone.
func changedOf(dictionary []wire.Entry, places []uint32, from int) (out []wire.Entry) {
	places = slices.Clone(places) // others may read them at the same time
	slices.Sort(places)
	for _, at := range slices.Compact(places) {
		if int(at) < from && dictionary[at].Series != "" {
			out = append(out, dictionary[at])
		}
	}
	return out
}

// nothingKnown is the catalog of who has none.
type nothingKnown struct{}

func (nothingKnown) Meta(string) *wire.Meta { return nil }
