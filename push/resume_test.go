package push

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"weir/telemetry"
	"weir/wire"
)

// scriptedLog is what tails have read: all of it, and what the window has kept.
type scriptedLog struct {
	window  *window
	at      *positions
	records map[spanKey][]stored
	last    map[string]telemetry.Update
}

func newScriptedLog(partitions, budget int) *scriptedLog {
	l := &scriptedLog{
		window: newWindow(budget), records: make(map[spanKey][]stored), last: make(map[string]telemetry.Update),
		at: &positions{epoch: "e", updates: make([]int64, partitions), alerts: make([]int64, partitions)},
	}
	l.window.readBack = l.readBack
	for p := range partitions {
		l.window.begin(wire.TopicUpdates, p, 0)
		l.window.begin(wire.TopicAlerts, p, 0)
	}
	return l
}

// append writes a record and has it read. Offsets have gaps, as those of a real log do.
func (l *scriptedLog) append(topic string, partition int, value []byte, gap int64) {
	at := l.at.of(topic)
	r := stored{at[partition] + gap, value}
	at[partition] = r.offset + 1
	key := spanKey{topic, partition}
	l.records[key] = append(l.records[key], r)
	l.window.add(topic, partition, []stored{r}, r.offset+1)
}

func (l *scriptedLog) readBack(_ context.Context, topic string, partition int, from, to int64) (out []stored, err error) {
	for _, r := range l.records[spanKey{topic, partition}] {
		if r.offset >= from && r.offset < to {
			out = append(out, r)
		}
	}
	return out, nil
}

// catchUp is for the series of the names, as a view has them.
func (l *scriptedLog) catchUp(names []string) *catchUp {
	state := new(snapshot)
	for _, name := range names {
		u, ok := l.last[name]
		if !ok {
			u = telemetry.Update{Series: name, Version: telemetry.NoVersion, Since: telemetry.NoVersion}
		}
		state.rows = append(state.rows, u)
	}
	return &catchUp{
		window: l.window, to: l.at.clone(), patterns: []telemetry.Pattern{mustPattern("#")}, state: state, spans: make(map[spanKey][]since),
	}
}

func loadAll(t interface{ Fatal(args ...any) }, c *catchUp, cursors map[string]*positions) {
	for _, topic := range []string{wire.TopicUpdates, wire.TopicAlerts} {
		if err := c.load(context.Background(), topic, cursors); err != nil {
			t.Fatal(err)
		}
	}
}

func mustPattern(text string) telemetry.Pattern {
	p, err := telemetry.ParsePattern(text)
	if err != nil {
		panic(err)
	}
	return p
}

// write makes the next update of a series.
func (l *scriptedLog) write(partition int, name string, value float64, gap int64) telemetry.Update {
	u := single(name, telemetry.Version(len(l.records)+1), value)
	before, known := l.last[name]
	u.Since = telemetry.NoVersion
	if known {
		u.Since = before.Version
	}
	u.Version = l.nextVersion()
	l.last[name] = u
	l.append(wire.TopicUpdates, partition, wire.AppendUpdateBatch(nil, u.EmitTime, []telemetry.Update{u}), gap)
	return u
}

func (l *scriptedLog) nextVersion() (v telemetry.Version) {
	for _, u := range l.last {
		v = max(v, u.Version)
	}
	return v + 1
}

func TestWhatHappenedSinceACursorIsMergedExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 3).Draw(t, "partitions")
		l := newScriptedLog(partitions, rapid.SampledFrom([]int{1, 200_000, 1 << 22}).Draw(t, "budget"))
		names := []string{"a/b/x", "a/b/y", "a/c/x", "a/d/x"}
		type resumer struct {
			cursor string
			want   map[string]telemetry.Update
			alerts []string
		}
		var resumers []*resumer
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				l.at.stale = true
				resumers = append(resumers, &resumer{cursor: l.at.cursor(), want: map[string]telemetry.Update{}})
			case 1:
				id := fmt.Sprint("alert", i)
				l.append(wire.TopicAlerts, 0, wire.AppendAlert(nil, &telemetry.Alert{ID: id, Series: "a/b/x", Phase: telemetry.Firing, Version: 1}), 0)
				for _, r := range resumers {
					r.alerts = append(r.alerts, id)
				}
			default:
				n := rapid.IntRange(0, len(names)-1).Draw(t, "series")
				u := l.write(n%partitions, names[n], rapid.Float64Range(-9, 9).Draw(t, "value"), rapid.Int64Range(0, 2).Draw(t, "gap"))
				for _, r := range resumers {
					row, ok := r.want[u.Series]
					if !ok {
						row = u
					} else if err := row.Merge(&u); err != nil {
						t.Fatal(err)
					}
					r.want[u.Series] = row
				}
			}
		}
		c := l.catchUp(names)
		cursors := make(map[string]*positions)
		for _, r := range resumers {
			p, err := parseCursor(r.cursor)
			if err != nil || p.epoch != "e" || !p.reached(c.to) {
				t.Fatalf("%v, %+v", err, p)
			}
			cursors[r.cursor] = p
		}
		loadAll(t, c, cursors)
		for i, r := range resumers {
			got, err := c.since(cursors[r.cursor])
			if err != nil {
				t.Fatal(err)
			}
			rows := map[string]telemetry.Update{}
			for _, u := range got.rows {
				rows[u.Series] = u
			}
			var alerts []string
			for _, a := range got.alerts {
				alerts = append(alerts, a.ID)
			}
			if !reflect.DeepEqual(rows, r.want) || !reflect.DeepEqual(alerts, r.alerts) {
				t.Fatalf("cursor %d:\n%+v, %v, want\n%+v, %v", i, rows, alerts, r.want, r.alerts)
			}
		}
	})
}

func TestWhatDoesNotJoinUpIsNotTold(t *testing.T) {
	begin := func() (*scriptedLog, *positions) {
		l := newScriptedLog(1, 1<<20)
		l.write(0, "a/b/x", 1, 0)
		cursor := l.at.clone()
		l.write(0, "a/b/x", 2, 0)
		return l, cursor
	}
	for name, tc := range map[string]struct {
		spoil func(*scriptedLog)
		want  error
	}{
		"a device was deleted": {func(l *scriptedLog) {
			l.append(wire.TopicUpdates, 0, wire.AppendControl(nil, &wire.Control{Kind: wire.ControlDeleteDevice, Device: "a/b", Version: 1}), 0)
		}, errInexact},
		"a gap": {func(l *scriptedLog) {
			u := l.last["a/b/x"]
			u.Version += 10
			l.last["a/b/x"] = u
			l.write(0, "a/b/x", 3, 0)
		}, errInexact},
		"the newest is not in the log": {func(l *scriptedLog) {
			u := l.last["a/b/x"]
			u.Version += 10
			l.last["a/b/x"] = u
		}, errInexact},
		"a record that cannot be read": {func(l *scriptedLog) { l.append(wire.TopicUpdates, 0, []byte{1, 2, 3}, 0) }, errInexact},
	} {
		t.Run(name, func(t *testing.T) {
			l, cursor := begin()
			tc.spoil(l)
			c := l.catchUp([]string{"a/b/x"})
			err := c.load(t.Context(), wire.TopicUpdates, map[string]*positions{"": cursor})
			if err == nil {
				_, err = c.since(cursor)
			}
			if !errors.Is(err, tc.want) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("older than the window, and no log", func(t *testing.T) {
		l := newScriptedLog(1, 1)
		l.write(0, "a/b/x", 1, 0)
		cursor := l.at.clone()
		l.write(0, "a/b/x", 2, 0)
		c := l.catchUp([]string{"a/b/x"})
		l.window.readBack = nil
		if err := c.load(t.Context(), wire.TopicUpdates, map[string]*positions{"": cursor}); !errors.Is(err, errTooOld) {
			t.Errorf("%v", err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	p := positions{epoch: "e", updates: []int64{3, 1 << 40}, alerts: []int64{0, 7}}
	f.Add(p.cursor())
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseCursor(text)
		if err != nil {
			return
		}
		again, err := parseCursor(p.clone().cursor())
		if err != nil || again.epoch != p.epoch || !before(again.updates, p.updates) || !before(p.updates, again.updates) {
			t.Errorf("%+v, %+v, %v", p, again, err)
		}
	})
}
