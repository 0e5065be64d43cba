//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/kafka"
	device "weir/sdk/go"
	"weir/wire"
)

// settle waits until every client has what every device and every member of its rooms has sent, and compares.
func (p *pushSoak) settle() {
	p.Helper()
	want := &truth{counts: map[string]uint64{}}
	for _, c := range p.counters {
		c.flush(p.rig)
		want.counts[c.path+"/count"] = c.n
	}
	p.settlePost()
	eventually(p.T, 90*time.Second, "every viewer has all", func(ctx context.Context) error {
		if err := p.talk.settleDoubts(ctx); err != nil {
			return err
		}
		want.messages = p.talk.messages()
		for _, v := range p.viewers {
			if err := v.look(func(t *told) error { return t.has(want) }); err != nil {
				stats, refused := v.live.ServerStats(ctx)
				return errors.Join(fmt.Errorf("%s: %w; the server says %+v; here %v, %+v, %+v", v.name, err, stats, v.live.State(), v.live.Stats(), v.sub.Stats()), refused)
			}
		}
		for _, v := range p.streams {
			if err := v.look(func(t *told) error { return t.has(want) }); err != nil {
				return fmt.Errorf("%s: %w", v.told.Name, err)
			}
		}
		if err := p.judgePost(); err != nil {
			return err
		}
		clients, err := p.node.report(ctx)
		for _, t := range clients {
			if err := t.has(want); err != nil {
				return fmt.Errorf("%s, %s: %w", t.Name, t.State, err)
			}
		}
		return err
	})
	want.versions, want.alerts = p.snapshot(), p.heard()
	p.each(func(t *told) error {
		if err := t.compare(want); err != nil {
			p.Errorf("%s: %v", t.Name, err)
		}
		return nil
	})
}

// each shows what every client was told.
func (p *pushSoak) each(see func(*told) error) {
	p.Helper()
	for _, v := range p.viewers {
		_ = v.look(see)
	}
	for _, v := range p.streams {
		_ = v.look(see)
	}
	ctx, cancel := context.WithTimeout(p.Context(), 30*time.Second)
	defer cancel()
	clients, err := p.node.report(ctx)
	if err != nil {
		p.Error(err)
	}
	for _, t := range clients {
		_ = see(t)
	}
}

// heard are the transitions that anybody has heard of.
func (p *pushSoak) heard() map[transition]bool {
	p.Helper()
	out := map[transition]bool{}
	p.each(func(t *told) error {
		for a := range t.Heard {
			out[a] = true
		}
		return nil
	})
	return out
}

// snapshot asks for the newest versions.
func (p *pushSoak) snapshot() map[string]device.Version {
	p.Helper()
	var out map[string]device.Version
	eventually(p.T, time.Minute, "the snapshot is there", func(ctx context.Context) error {
		body, err := p.push[0].get(ctx, "/v1/snapshot?series=%23", p.admin)
		if err != nil {
			return err
		}
		snap, err := wire.DecodeSnapshot([]byte(body))
		if err != nil {
			return err
		}
		out = map[string]device.Version{}
		for _, r := range snap.Rows {
			out[r.Update.Series] = r.Update.Version
		}
		return nil
	})
	return out
}

// judgeAlerts compares what was heard with what is in weir.alerts, when all is over.
func (p *pushSoak) judgeAlerts() {
	p.Helper()
	heard := p.heard()
	client, err := kafka.New(p.records())
	if err != nil {
		p.Fatal(err)
	}
	defer client.Close()
	stored, fences := map[transition]bool{}, map[int]*kafka.FenceFilter{}
	(&proof{rig: p.rig, client: client}).each(wire.TopicAlerts, func(partition int, r *kafka.Record) {
		if fences[partition] == nil {
			fences[partition] = &kafka.FenceFilter{}
		}
		if !fences[partition].Accept(r) {
			return
		}
		a, err := wire.DecodeAlert(r.Value)
		if err != nil {
			p.Errorf("%s/%d@%d: %v", wire.TopicAlerts, partition, r.Offset, err)
		} else if a.ID != "" && p.watches(a.Series) {
			stored[transition{a.ID, a.Series, a.Version}] = true
		}
	})
	for a := range stored {
		if !heard[a] {
			p.Errorf("alert %s of %s, version %d: in the log, and nobody has heard of it", a.id, a.series, a.version)
		}
	}
	for a := range heard {
		if !stored[a] {
			p.Errorf("alert %s of %s, version %d: heard, and not in the log", a.id, a.series, a.version)
		}
	}
	if len(stored) == 0 {
		p.Error("there were no alerts: nothing is proved of them")
	}
}
