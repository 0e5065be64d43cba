package pipeline

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"weir/kafka"
	"weir/pipeline/plan"
	"weir/telemetry"
	"weir/wire"
)

// log is what a Replay is fed with and what it tells, of one partition of one.
type log struct {
	t      *testing.T
	replay *Replay
	offset int64
	// rows are merged by series; values are of each update by itself.
	rows    map[string]*telemetry.Update
	values  map[string][]float64
	alerts  []telemetry.Alert
	letters []string
	parts   []wire.Control
}

const second = int64(1e6)

func newLog(t *testing.T, text string) *log {
	p, err := plan.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l := &log{t: t, rows: make(map[string]*telemetry.Update), values: make(map[string][]float64)}
	l.replay, err = NewReplay(ReplayOptions{
		Config: DefaultConfig(), Plan: p, Partitions: 1,
		Update: func(u *telemetry.Update) {
			if u.N > 0 {
				l.values[u.Series] = append(l.values[u.Series], u.Last)
			}
			if old := l.rows[u.Series]; old == nil {
				row := *u
				l.rows[u.Series] = &row
			} else if err := old.Merge(u); err != nil {
				t.Errorf("%s: %v: (%d, %d] after version %d", u.Series, err, u.Since, u.Version, old.Version)
			}
		},
		Alert:   func(a *telemetry.Alert) { l.alerts = append(l.alerts, *a) },
		Partial: func(_ int, c *wire.Control) { l.parts = append(l.parts, *c) },
		Letter:  func(d *wire.DeadLetter) { l.letters = append(l.letters, d.Code) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *log) feed(device string, value []byte) {
	l.t.Helper()
	record := kafka.Record{Offset: l.offset, Key: []byte(device), Value: value}
	l.offset++
	if err := l.replay.Feed([]kafka.Record{record}, l.offset); err != nil {
		l.t.Fatal(err)
	}
}

// frame feeds readings of one frame; each is metric, seconds after epoch, value.
func (l *log) frame(device string, readings ...any) {
	l.t.Helper()
	b := &telemetry.Batch{Device: device, Ingest: epoch}
	for i := 0; i < len(readings); i += 3 {
		at := epoch + int64(readings[i+1].(float64)*1e6)
		b.Ingest = max(b.Ingest, at)
		b.Readings = append(b.Readings, telemetry.Reading{Metric: readings[i].(string), Time: at, Value: readings[i+2].(float64)})
	}
	l.feed(device, wire.AppendReadingBatch(nil, b))
}

func (l *log) control(c *wire.Control) {
	l.t.Helper()
	l.feed(c.Device, wire.AppendControl(nil, c))
}

// tick lets processing time come to so many seconds after epoch.
func (l *log) tick(seconds float64) {
	l.t.Helper()
	l.control(&wire.Control{Kind: wire.ControlTick, Time: epoch + int64(seconds*1e6)})
}

func (l *log) want(series string, values ...float64) {
	l.t.Helper()
	got := l.values[series]
	same := slices.EqualFunc(got, values, func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) })
	if !same {
		l.t.Errorf("%s: %v, want %v", series, got, values)
	}
}

// phases are the transitions so far, as phase and reason.
func (l *log) phases() string {
	var list []string
	for i := range l.alerts {
		list = append(list, fmt.Sprintf("%s/%s", l.alerts[i].Phase, l.alerts[i].Reason))
	}
	return strings.Join(list, " ")
}

func TestWindowsCloseByTheWatermarkOfTheDevice(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/#"
    windows: [{name: 10s, kind: tumbling, size: 10s, grace: 2s, functions: [count, mean, max]}]
`)
	l.frame("p/a", "x", 1.0, 1.0, "x", 9.0, 3.0)
	l.frame("p/a", "x", 11.0, 5.0)
	l.want("p/a/x.10s.mean")
	l.frame("p/a", "y", 12.0, 0.0) // another metric of the device: x waits for its own reading
	l.want("p/a/x.10s.mean")
	l.frame("p/a", "x", 9.5, 8.0) // still in time, and closes it: the device has come to 12 s
	l.want("p/a/x.10s.mean", 2)
	l.frame("p/a", "x", 23.0, 7.0)
	l.want("p/a/x.10s.mean", 2, 5)
	l.want("p/a/x.10s.max", 3, 5)
	if n := l.replay.stages.decode.registry.devices["p/a"].own; n != 2 {
		t.Errorf("%d series count against the device's limit, want 2", n)
	}
}

func TestAWindowWhoseDeviceFallsSilentIsClosedByATick(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/#"
    windows: [{name: 10s, kind: tumbling, size: 10s, grace: 2s, functions: [mean]}]
`)
	l.frame("p/a", "x", 1.0, 1.0)
	l.frame("p/a", "x", 4.0, 3.0)
	if due := l.replay.Due(); due > epoch+12*second {
		t.Errorf("a tick is due %d s after the beginning, want at most 12", (due-epoch)/second)
	}
	l.tick(11)
	l.want("p/a/x.10s.mean")
	l.tick(12)
	l.want("p/a/x.10s.mean", 2)
	if due := l.replay.Due(); due != never {
		t.Errorf("a tick is due at %d although no window is open", due)
	}
}

func TestARateIsMadeOfACounterThatBeginsAnew(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/#"
    counter: true
`)
	l.frame("p/a", "n", 0.0, 100.0, "n", 2.0, 110.0, "n", 4.0, 6.0, "n", 4.0, 7.0)
	l.want("p/a/n.rate", 3)
	if u := l.rows["p/a/n.rate"]; u.N != 2 || u.Max != 5 || u.Min != 3 {
		t.Errorf("%+v", u)
	}
	outs := l.replay.stages.decode.registry.series("p/a/n").treat
	if outs.detector != nil || outs.outs.rate.treat.detector == nil {
		t.Error("the detector watches the counter, not its rate")
	}
}

func TestASeriesOfSeveralIsMadeOncePerInstant(t *testing.T) {
	text := `
derived:
  - match: "p/+"
    as: power
    expr: voltage * current
  - match: "p/+"
    as: heavy
    expr: "power > 1000 ? 1 : 0"
`
	interleaved, columns := newLog(t, text), newLog(t, text)
	interleaved.frame("p/a", "voltage", 1.0, 230.0, "current", 1.0, 2.0, "voltage", 2.0, 231.0, "current", 2.0, 5.0)
	columns.frame("p/a", "voltage", 1.0, 230.0, "voltage", 2.0, 231.0, "current", 1.0, 2.0, "current", 2.0, 5.0)
	for _, l := range []*log{interleaved, columns} {
		u := l.rows["p/a/power"]
		if u == nil || u.N != 2 || u.Min != 460 || u.Max != 1155 || u.Last != 1155 {
			t.Errorf("power %+v", u)
		}
		if u := l.rows["p/a/heavy"]; u == nil || u.N != 2 || u.Sum != 1 {
			t.Errorf("heavy %+v", u)
		}
	}
	interleaved.frame("p/a", "current", 3.0, 1.0)
	interleaved.want("p/a/power", 1155, 231)
	interleaved.frame("p/a", "current", 500.0, 1.0) // the voltage is too old by then
	interleaved.want("p/a/power", 1155, 231)
}

func TestADeviceCannotSendWhatIsDerived(t *testing.T) {
	l := newLog(t, `
derived: [{match: "p/+", as: power, expr: voltage * current}]
`)
	l.frame("p/a", "voltage", 1.0, 230.0, "power", 1.0, 1.0)
	if !slices.Equal(l.letters, []string{wire.CodeMetricDerived}) {
		t.Errorf("dead letters %v", l.letters)
	}
	if l.rows["p/a/voltage"] == nil || l.rows["p/a/power"] != nil {
		t.Error("voltage does not count, or power does")
	}
}

func TestReadingsThatThePlanRefusesCountAsInvalid(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/+/t"
    validate: {min: 0, max: 100, max_rate: 10/s, stuck_after: 30s}
    filter: value != 13
`)
	l.frame("p/a", "t", 0.0, 5.0, "t", 1.0, -1.0, "t", 2.0, 101.0, "t", 3.0, 99.0, "t", 4.0, 13.0, "t", 5.0, 6.0, "t", 20.0, 6.0, "t", 34.0, 6.0, "t", 35.0, 6.0, "t", 36.0, 7.0)
	u := l.rows["p/a/t"]
	if u.N != 5 || u.Invalid != 5 || u.Max != 7 || u.Min != 5 {
		t.Errorf("%+v", u)
	}
}

func TestMembersOfAGroupMeetInTheGroupsPartition(t *testing.T) {
	text := `
groups: [{match: "p/+/t", as: p/_all/t, every: 10s, grace: 3s, functions: [mean, max, count]}]
`
	l := newLog(t, text)
	l.frame("p/a", "t", 1.0, 10.0, "t", 2.0, 20.0)
	l.frame("p/b", "t", 3.0, 60.0)
	l.tick(4.5)
	if len(l.parts) != 1 || l.parts[0].Device != "p/_all" || len(l.parts[0].Partial.Windows) != 1 {
		t.Fatalf("partials %+v", l.parts)
	}
	own, elsewhere := l.parts[0], l.parts[0]
	other := *elsewhere.Partial // what another partition has, with the same content
	other.Version = 7
	elsewhere.Partial = &other
	l.control(&own)
	l.control(&own) // it came twice
	l.control(&elsewhere)
	l.want("p/_all/t")
	l.tick(12)
	l.want("p/_all/t")
	l.tick(13)
	l.want("p/_all/t.count", 3)
	l.want("p/_all/t", 30)
	l.want("p/_all/t.max", 60)
	if u := l.rows["p/_all/t"]; u.LastTime != epoch/second/10*10*second+10*second {
		t.Errorf("the result is of %d", u.LastTime)
	}
}

const oven = `
pipelines:
  - match: "p/+/t"
    detector: off
    rules:
      - {name: hot, kind: threshold, above: 80, clear_above: 70, for: 5s, severity: critical}
      - {name: gone, kind: absence, for: 30s}
`

func TestALifeOfAnAlert(t *testing.T) {
	l := newLog(t, oven)
	l.frame("p/a", "t", 0.0, 60.0, "t", 1.0, 81.0, "t", 5.0, 90.0)
	if len(l.alerts) != 0 {
		t.Fatalf("raised before it had held for 5 s: %s", l.phases())
	}
	l.frame("p/a", "t", 6.0, 91.0)
	if l.phases() != "firing/raised" {
		t.Fatalf("transitions %s", l.phases())
	}
	a := l.alerts[0]
	if a.Rule != "hot" || a.Severity != telemetry.Critical || a.Value != 91 || a.Limit != 80 || len(a.Samples) != 4 || a.Quality.N != 4 {
		t.Errorf("%+v", a)
	}
	command := func(action telemetry.AlertAction, id string) {
		l.control(&wire.Control{Kind: wire.ControlAlert, Device: "p/a", Time: epoch + 7*second, By: "mia",
			Alert: &telemetry.AlertCommand{Alert: id, Series: "p/a/t", Action: action, Text: "on it"}})
	}
	command(telemetry.ActionAcknowledge, a.ID)
	command(telemetry.ActionAcknowledge, "0-none")
	l.frame("p/a", "t", 8.0, 75.0)
	l.frame("p/a", "t", 9.0, 69.0)
	if l.phases() != "firing/raised acknowledged/acknowledged resolved/cleared" {
		t.Errorf("transitions %s", l.phases())
	}
	if marked := l.alerts[1].Marked; marked == nil || marked.By != "mia" || l.alerts[1].ID != a.ID {
		t.Errorf("%+v", l.alerts[1])
	}
	if !slices.Equal(l.letters, []string{wire.CodeAlertUnknown}) {
		t.Errorf("dead letters %v", l.letters)
	}
}

func TestASeriesThatFallsSilentIsOfflineUntilItSpeaks(t *testing.T) {
	l := newLog(t, oven)
	l.frame("p/a", "t", 0.0, 60.0)
	l.frame("p/a", "t", 20.0, 60.0)
	l.tick(30)
	l.tick(49)
	if len(l.alerts) != 0 || l.rows["p/a/t"].State == telemetry.Offline {
		t.Fatalf("absent too early: %s", l.phases())
	}
	l.tick(50)
	if l.phases() != "firing/raised" || l.alerts[0].Rule != "gone" || l.rows["p/a/t"].State != telemetry.Offline || l.rows["p/a/t"].N != 2 {
		t.Fatalf("%s: %+v", l.phases(), l.rows["p/a/t"])
	}
	l.frame("p/a", "t", 60.0, 60.0)
	if l.phases() != "firing/raised resolved/cleared" || l.rows["p/a/t"].State != telemetry.OK {
		t.Errorf("%s: %+v", l.phases(), l.rows["p/a/t"])
	}
}

func TestASilencedAlertSaysSo(t *testing.T) {
	l := newLog(t, oven)
	l.control(&wire.Control{Kind: wire.ControlSilence, Time: epoch, Silence: &telemetry.Silence{
		ID: "s1", Series: "p/#", From: epoch, Until: epoch + 10*second, By: "mia"}})
	l.frame("p/a", "t", 0.0, 90.0, "t", 6.0, 90.0)
	l.frame("p/a", "t", 11.0, 0.0)
	if len(l.alerts) != 2 || !slices.Equal(l.alerts[0].Silences, []string{"s1"}) || len(l.alerts[1].Silences) != 0 {
		t.Errorf("%+v", l.alerts)
	}
}

func TestAnotherPlanEndsWhatItNoLongerAsksFor(t *testing.T) {
	l := newLog(t, oven)
	l.frame("p/a", "t", 0.0, 90.0, "t", 6.0, 90.0)
	text := `pipelines: [{match: "p/+/t", average: {kind: exponential, tau: 10s}, rules: [{name: cold, kind: threshold, below: 0}]}]`
	l.control(&wire.Control{Kind: wire.ControlPlan, Time: epoch + 7*second, Text: text})
	if l.phases() != "firing/raised resolved/rule_removed" {
		t.Errorf("transitions %s", l.phases())
	}
	l.frame("p/a", "t", 8.0, -1.0)
	if len(l.alerts) != 3 || l.alerts[2].Rule != "cold" {
		t.Errorf("transitions %s", l.phases())
	}
	l.control(&wire.Control{Kind: wire.ControlPlan, Text: "pipelines: [{nonsense: 1}]"})
	if !slices.Equal(l.letters, []string{wire.CodeRecordMalformed}) {
		t.Errorf("dead letters %v", l.letters)
	}
	l.frame("p/a", "t", 9.0, 1.0)
	if l.phases() != "firing/raised resolved/rule_removed firing/raised resolved/cleared" {
		t.Errorf("the plan before is no longer in force: %s", l.phases())
	}
}

func TestRulesReadOtherMetricsOfTheDevice(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/+/t"
    detector: off
    rules: [{name: dry, kind: expr, raise: "value > 50 && pump < 1"}]
`)
	l.frame("p/a", "t", 0.0, 60.0)
	if len(l.alerts) != 0 {
		t.Errorf("raised although nothing is known of the pump: %s", l.phases())
	}
	l.frame("p/a", "pump", 1.0, 0.0, "t", 1.0, 61.0)
	l.frame("p/a", "pump", 2.0, 1.0, "t", 2.0, 62.0)
	if l.phases() != "firing/raised resolved/cleared" {
		t.Errorf("transitions %s", l.phases())
	}
}

func TestASeriesIsInAlertWhileTheConditionOfARuleHolds(t *testing.T) {
	l := newLog(t, oven)
	l.frame("p/a", "t", 0.0, 90.0)
	if s := l.rows["p/a/t"].State; s != telemetry.OK {
		t.Errorf("%v before it had held for 5 s", s)
	}
	l.frame("p/a", "t", 6.0, 90.0)
	if u := l.rows["p/a/t"]; u.State != telemetry.Alerting || u.Worst != telemetry.Alerting {
		t.Errorf("%v while it is too hot", u.State)
	}
	l.frame("p/a", "t", 7.0, 20.0)
	if u := l.rows["p/a/t"]; u.State != telemetry.OK || u.Worst != telemetry.Alerting {
		t.Errorf("%v, worst %v, when it is not", u.State, u.Worst)
	}
}

func TestWhatNoPlanMakesAnyMoreIsNotAbsent(t *testing.T) {
	with := `
pipelines:
  - match: "#"
    detector: off
    rules: [{name: gone, kind: absence, for: 30s}]
derived: [{match: "p/a", as: double, expr: t * 2}]
`
	l := newLog(t, with)
	l.frame("p/a", "t", 0.0, 1.0)
	l.control(&wire.Control{Kind: wire.ControlPlan, Time: epoch + second, Text: strings.Split(with, "derived:")[0]})
	for at := 2.0; at < 100; at += 2 {
		l.frame("p/a", "t", at, 1.0)
		l.tick(at)
	}
	if len(l.alerts) != 0 {
		t.Errorf("%s: %s", l.phases(), l.alerts[0].Summary)
	}
	l.control(&wire.Control{Kind: wire.ControlPlan, Time: epoch + 100*second, Text: with})
	l.frame("p/a", "t", 101.0, 3.0)
	l.want("p/a/double", 2, 6)
}
