//go:build soak

package soak

import (
	"context"
	"fmt"
	"time"

	device "weir/sdk/go"
)

// counter is a device whose n-th reading of "count" is n. Its "level" goes up and down every few seconds.
type counter struct {
	path   string
	client *device.Client
	every  time.Duration
	n      uint64
	time   int64 // µs of the newest reading: the machine's clock may go back
	level  float64
}

func (p *pushSoak) count(i int) *counter {
	p.Helper()
	c := &counter{path: fmt.Sprintf("%s/line%d/press%d", p.tenant, i%3, i), every: time.Duration(10+p.rng.IntN(60)) * time.Millisecond}
	var err error
	c.client, err = device.New(device.Options{
		URL: "ws://" + p.servers[0].addr + "/v1/ingest", Device: c.path, Token: p.admin,
		Retry: device.Retry{First: 100 * time.Millisecond, Max: time.Second},
	})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = c.client.Close(context.Background()) })
	return c
}

// run counts until ctx ends.
func (c *counter) run(ctx context.Context) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.time = max(c.time+1, now.UnixMicro())
			readings := []device.Reading{{Metric: "count", Time: c.time, Value: float64(c.n + 1)}}
			if i%int(4*time.Second/c.every) == 0 {
				c.level = 1 - c.level
				readings = append(readings, device.Reading{Metric: "level", Time: c.time, Value: c.level})
			}
			if _, err := c.client.Send(ctx, readings...); err != nil {
				continue // full; the number was not used
			}
			c.n++
		}
	}
}

// flush waits until all that was sent is receipted.
func (c *counter) flush(r *rig) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	if err := c.client.Flush(ctx); err != nil {
		r.Fatalf("%s: %v", c.path, err)
	}
}
