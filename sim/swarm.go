package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// SwarmOptions set up a Swarm.
type SwarmOptions struct {
	URL, Token string
	Sources    []Source
	// Stats counts for all devices; nil counts for nobody.
	Stats  *Stats
	Logger *slog.Logger
}

// Swarm runs one device for each of many sources.
type Swarm struct{ devices []*Device }

// NewSwarm checks the options and makes the devices.
func NewSwarm(o SwarmOptions) (*Swarm, error) {
	if len(o.Sources) == 0 {
		return nil, errors.New("sim: no sources")
	}
	s := new(Swarm)
	seen := make(map[string]bool, len(o.Sources))
	for _, source := range o.Sources {
		if seen[source.Device()] {
			return nil, fmt.Errorf("sim: two sources for device %q", source.Device())
		}
		seen[source.Device()] = true
		d, err := NewDevice(DeviceOptions{URL: o.URL, Token: o.Token, Source: source, Stats: o.Stats, Logger: o.Logger})
		if err != nil {
			return nil, err
		}
		s.devices = append(s.devices, d)
	}
	return s, nil
}

// Run runs all devices until their sources or ctx end. The first that the server forbids to come back ends
// all, with that error.
func (s *Swarm) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var refused error
	var once sync.Once
	var wg sync.WaitGroup
	for _, d := range s.devices {
		wg.Go(func() {
			if err := d.Run(ctx); err != nil {
				once.Do(func() { refused = err })
				cancel(err)
			}
		})
	}
	wg.Wait()
	return refused
}
