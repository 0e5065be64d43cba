//go:build soak

package soak

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// follow reads weir.updates as a dashboard does, and compares each row with what the model says of the same interval.
func (p *trialPart) follow(ctx context.Context) error {
	var rows []telemetry.Update
	return p.read(ctx, wire.TopicUpdates, &p.updates, -1, func(r *kafka.Record) (err error) {
		if !p.updateFences.Accept(r) {
			if string(r.Key) != kafka.FenceKey {
				p.Fenced++
			}
			return nil
		}
		if wire.IsControl(r.Value) {
			c, err := wire.DecodeControl(slices.Clone(r.Value))
			if err == nil && c.Kind == wire.ControlDeleteDevice {
				p.end(c.Device, c.Version)
			}
			return err
		}
		if rows, err = wire.DecodeUpdateBatch(r.Value, rows[:0], nil); err != nil {
			return err
		}
		for i := range rows {
			rows[i].Series = strings.Clone(rows[i].Series)
			p.row(&rows[i], r.Offset)
		}
		return nil
	})
}

// row compares an update with the model's rows of its interval.
func (p *trialPart) row(u *telemetry.Update, offset int64) {
	p.Rows++
	p.Late += u.Late
	p.Invalid += u.Invalid
	f := p.series[u.Series]
	if f == nil {
		f = &followed{last: telemetry.NoVersion}
		p.series[u.Series] = f
	}
	if u.Since != f.last {
		p.differ("%s: an update of (%d, %d] at %d of %s/%d follows version %d", u.Series, u.Since, u.Version, offset, wire.TopicUpdates, p.partition, f.last)
	}
	queue := p.rows[u.Series]
	n := 0
	var want telemetry.Update
	for ; n < len(queue) && queue[n].Version <= u.Version; n++ {
		if n == 0 {
			want = queue[0]
		} else if err := want.Merge(&queue[n]); err != nil {
			p.differ("%s: the model's own rows do not touch: (%d, %d] and (%d, %d]", u.Series, want.Since, want.Version, queue[n].Since, queue[n].Version)
		}
	}
	p.rows[u.Series] = queue[n:]
	if n == 0 {
		p.differ("%s: (%d, %d] is in %s/%d at %d, and the model has nothing there", u.Series, u.Since, u.Version, wire.TopicUpdates, p.partition, offset)
	} else if what := unlike(u, &want); what != "" {
		p.differ("%s (%d, %d] at %s/%d@%d: %s", u.Series, u.Since, u.Version, wire.TopicUpdates, p.partition, offset, what)
	}
	f.last = u.Version
	if u.N > 0 || f.newest.N == 0 || f.newest.Merge(u) != nil {
		f.newest = *u
	}
}

// unlike names the fields in which an update and the model differ: written, then modelled.
func unlike(got, want *telemetry.Update) string {
	var out []string
	field := func(name string, same bool, got, want any) {
		if !same {
			out = append(out, fmt.Sprintf("%s %v, model %v", name, got, want))
		}
	}
	count := func(name string, got, want uint64) { field(name, got == want, got, want) }
	number := func(name string, got, want float64) { field(name, equal(got, want), got, want) }
	field("since", got.Since == want.Since, got.Since, want.Since)
	field("version", got.Version == want.Version, got.Version, want.Version)
	count("n", got.N, want.N)
	count("late", got.Late, want.Late)
	count("invalid", got.Invalid, want.Invalid)
	if got.N > 0 && want.N > 0 {
		number("last", got.Last, want.Last)
		number("min", got.Min, want.Min)
		number("max", got.Max, want.Max)
		field("sum", near(got, want), got.Sum, want.Sum)
		field("first_ts", got.FirstTime == want.FirstTime, got.FirstTime, want.FirstTime)
		field("last_ts", got.LastTime == want.LastTime, got.LastTime, want.LastTime)
	}
	field("ingest_ts", got.IngestTime == want.IngestTime, got.IngestTime, want.IngestTime)
	number("avg", got.Avg, want.Avg)
	number("lo", got.Lo, want.Lo)
	number("hi", got.Hi, want.Hi)
	number("score", got.Score, want.Score)
	field("state", got.State == want.State, got.State, want.State)
	return strings.Join(out, "; ")
}

func equal(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// near allows a sum the error that the order of additions makes.
func near(a, b *telemetry.Update) bool {
	return math.Abs(a.Sum-b.Sum) <= 1e-9*float64(b.N)*max(math.Abs(b.Min), math.Abs(b.Max), 1e-9)
}

// end takes the word of a deletion. It may come twice.
func (p *trialPart) end(device string, version telemetry.Version) {
	if told, ok := p.told[device]; ok && version <= told {
		return
	}
	p.told[device] = version
	p.Deletions++
	queue := p.gone[device]
	i := slices.IndexFunc(queue, func(g goneDevice) bool { return g.version == version })
	if i < 0 {
		p.differ("%s: deleted at %d, and the model does not know", device, version)
	}
	for _, g := range queue[:max(i, 0)] {
		if g.lived {
			p.differ("%s: nothing tells of its deletion at %d", device, g.version)
		}
	}
	p.gone[device] = queue[i+1:]
	for name, f := range p.series {
		if of, _, _ := telemetry.SplitSeries(name); of != device {
			continue
		}
		if f.last > version {
			p.differ("%s: version %d was written before the word of the deletion at %d", name, f.last, version)
		}
		delete(p.series, name)
	}
	for name, rows := range p.rows {
		if of, _, _ := telemetry.SplitSeries(name); of == device && len(rows) > 0 && rows[0].Version < version {
			p.differ("%s: deleted at %d before its rows from (%d, %d] on were written", name, version, rows[0].Since, rows[0].Version)
		}
	}
}

// settle checks that nothing of the model is missing, and the model against the naive count.
func (p *trialPart) settle() {
	for name, rows := range p.rows {
		if len(rows) > 0 {
			p.differ("%s: %d rows of the model are not in %s, the first of (%d, %d] with n %d, late %d, invalid %d",
				name, len(rows), wire.TopicUpdates, rows[0].Since, rows[0].Version, rows[0].N, rows[0].Late, rows[0].Invalid)
		}
		delete(p.rows, name)
	}
	for device, queue := range p.gone {
		for _, g := range queue {
			if g.lived {
				p.differ("%s: nothing tells of its deletion at %d", device, g.version)
			}
		}
		delete(p.gone, device)
	}
	for key := range p.raised {
		p.differ("alert %s of the model is not in %s", key, wire.TopicAlerts)
		delete(p.raised, key)
	}
	for offset := range p.acked[p.partition] {
		if offset < p.committed {
			p.differ("%s/%d@%d was acknowledged and is not there", wire.TopicReadings, p.partition, offset)
		}
	}
	for key, n := range p.naive.lives {
		if p.lives[key] != n {
			p.differ("%s: %d new readings are stored, the model has %d", key, n, p.lives[key])
		}
	}
	for key, n := range p.lives {
		if _, sent := p.naive.lives[key]; !sent && !isDerived(key) {
			p.differ("%s: the model has %d readings that nobody sent", key, n)
		}
	}
}

// isDerived reports whether a plan of the stream makes the series of a life: their names have a dot, or are a group's.
func isDerived(life string) bool {
	device, metric, _ := telemetry.SplitSeries(life[:strings.LastIndexByte(life, '@')])
	return strings.Contains(device, "/_") || strings.ContainsRune(metric, '.')
}

// comparePartials compares what partitions contributed to groups. What one wrote last may be behind what the other has
// committed.
func (t *trial) comparePartials(ctx context.Context) error {
	stored := map[string]*wire.Partial{}
	for _, p := range t.parts {
		maps.Copy(stored, p.naive.partials)
		behind, from := newNaive(p.partition, len(t.parts)), p.committed
		err := p.read(ctx, wire.TopicReadings, &from, -1, func(r *kafka.Record) error {
			if wire.IsControl(r.Value) {
				behind.feed(r)
			}
			return nil
		})
		if err != nil {
			return err
		}
		maps.Copy(stored, behind.partials)
	}
	for _, p := range t.parts {
		for key, want := range p.partial {
			if got := stored[key]; got == nil {
				t.differ("partial %s is not there: %s", key, text(want))
			} else if text(got) != text(want) {
				t.differ("partial %s is %s, the model says %s", key, text(got), text(want))
			}
		}
	}
	for key, got := range stored {
		if p := t.parts[got.Source]; p.partial[key] == nil && got.Version.Offset() < p.committed {
			t.differ("partial %s is there, and the model has none", key)
		}
	}
	return nil
}

func (p *trialPart) expectAlert(a *telemetry.Alert) {
	p.raised[alertKey(a)] = wire.AppendAlert(nil, a)
}

func alertKey(a *telemetry.Alert) string {
	return fmt.Sprintf("%s of %s %s at %d (%s)", a.ID, a.Series, a.Phase, a.Version, a.Reason)
}

// hear reads weir.alerts.
func (p *trialPart) hear(ctx context.Context) error {
	return p.read(ctx, wire.TopicAlerts, &p.alerts, -1, func(r *kafka.Record) error {
		if !p.alertFences.Accept(r) {
			return nil
		}
		value := slices.Clone(r.Value)
		a, err := wire.DecodeAlert(value)
		if err != nil {
			return err
		}
		p.Transitions[string(a.Phase)]++
		key := alertKey(&a)
		want, expected := p.raised[key]
		switch {
		case p.seen[key]:
			p.differ("alert %s is in %s/%d twice, again at %d", key, wire.TopicAlerts, p.partition, r.Offset)
		case !expected:
			p.differ("alert %s is in %s/%d at %d, and the model has none", key, wire.TopicAlerts, p.partition, r.Offset)
		case !bytes.Equal(value, want):
			modelled, _ := wire.DecodeAlert(want)
			p.differ("alert %s: written %+v, model %+v", key, a, modelled)
		}
		if before, known := p.last[a.ID]; known && before.Version > a.Version {
			p.differ("alert %s follows version %d", key, before.Version)
		}
		p.seen[key], p.last[a.ID] = true, a
		delete(p.raised, key)
		return nil
	})
}

// latest compares weir.latest with the last of each series and alert.
func (p *trialPart) latest(ctx context.Context) error {
	var fences kafka.FenceFilter
	values, from := map[string][]byte{}, int64(0)
	err := p.read(ctx, wire.TopicLatest, &from, -1, func(r *kafka.Record) error {
		if fences.Accept(r) {
			values[string(r.Key)] = slices.Clone(r.Value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, f := range p.series {
		p.latestRow(name, f, values[wire.SeriesKey(name)])
	}
	for id, a := range p.last {
		value := values[wire.AlertKey(id)]
		if open := a.Phase != telemetry.Resolved; open != (value != nil) {
			p.differ("alert %s is %s at %d, and in %s: %v", id, a.Phase, a.Version, wire.TopicLatest, value != nil)
		} else if open && !bytes.Equal(value, wire.AppendAlert(nil, &a)) {
			p.differ("alert %s differs in %s from its transition at %d", id, wire.TopicLatest, a.Version)
		}
	}
	for key, value := range values {
		kind, name := wire.ParseLatestKey([]byte(key))
		if kind == wire.LatestSeries && value != nil && p.series[name] == nil {
			p.differ("%s is in %s, and was deleted", name, wire.TopicLatest)
		}
	}
	return nil
}

func (p *trialPart) latestRow(name string, f *followed, value []byte) {
	rows, err := wire.DecodeUpdateBatch(value, nil, nil)
	if err != nil || len(rows) != 1 {
		p.differ("%s is not in %s: %d rows, %v", name, wire.TopicLatest, len(rows), err)
		return
	}
	u, want := &rows[0], &f.newest
	if u.Version != want.Version || !equal(u.Avg, want.Avg) || !equal(u.Lo, want.Lo) || !equal(u.Hi, want.Hi) || u.State != want.State ||
		want.N > 0 && u.Last != want.Last {
		p.differ("%s in %s: version %d last %v avg %v band %v to %v %v, after updates %d, %v, %v, %v to %v %v", name, wire.TopicLatest,
			u.Version, u.Last, u.Avg, u.Lo, u.Hi, u.State, want.Version, want.Last, want.Avg, want.Lo, want.Hi, want.State)
	}
}
