package pipeline

import (
	"strings"
	"testing"

	"weir/telemetry"
	"weir/wire"
)

// newestOf is the last record of each key, tombstones as nil.
func (w *world) newestOf(topic string) map[string][]byte {
	w.t.Helper()
	out := make(map[string][]byte)
	for _, r := range w.records(topic, 0) {
		out[string(r.Key)] = r.Value
	}
	return out
}

func (w *world) delete(device string) telemetry.Version {
	w.t.Helper()
	offset := w.sendRaw(device, wire.AppendControl(nil, &wire.Control{Kind: wire.ControlDeleteDevice, Device: device, Time: epoch, By: "operator"}))
	return telemetry.VersionOf(offset, 0)
}

// alarm sends readings of which the last raises an alert.
func (w *world) alarm(device, metric string) {
	w.t.Helper()
	for i := range int64(60) {
		w.send(oneReading(device, metric, epoch+i*1e6, 20+float64(i%3)))
	}
	for i := range int64(20) {
		w.send(oneReading(device, metric, epoch+(60+i)*1e6, 500))
	}
}

func TestADeletedDeviceLeavesTombstonesEverywhere(t *testing.T) {
	w := newWorld(t, 1)
	stop := w.start(w.pipeline(nil))
	w.alarm("p/d", "x")
	w.send(oneReading("p/d", "y", epoch, 1))
	w.send(oneReading("p/e", "x", epoch, 1))
	w.await("the alert is open", func() bool {
		for key, value := range w.newestOf(wire.TopicLatest) {
			if kind, _ := wire.ParseLatestKey([]byte(key)); kind == wire.LatestAlert && value != nil {
				return true
			}
		}
		return false
	})
	w.delete("p/d")
	w.await("tombstones", func() bool {
		latest, state := w.newestOf(wire.TopicLatest), w.newestOf(wire.TopicState)
		for key, value := range latest {
			if kind, name := wire.ParseLatestKey([]byte(key)); value != nil && (kind == wire.LatestAlert || kind == wire.LatestSeries && name != "p/e/x") {
				return false
			}
		}
		return state["s/p/d/x"] == nil && state["s/p/d/y"] == nil && state["s/p/e/x"] != nil
	})
	w.await("the device's header is gone after a checkpoint more", func() bool {
		w.send(oneReading("p/e", "x", epoch, 1))
		return w.newestOf(wire.TopicState)["d/p/d"] == nil
	})
	alerts := w.records(wire.TopicAlerts, 0)
	last, err := wire.DecodeAlert(alerts[len(alerts)-1].Value)
	if err != nil || last.Phase != telemetry.Resolved || !strings.HasPrefix(last.Summary, "p/d/x was deleted") {
		t.Errorf("the last word on the alert: %+v, %v", last, err)
	}
	stop()
	again := w.start(w.pipeline(nil))
	w.send(oneReading("p/d", "x", epoch, 7))
	w.await("the device begins anew", func() bool { return w.chains()["p/d/x"] != nil })
	if c := w.chains()["p/d/x"]; c.N != 1 || c.Last != 7 {
		t.Errorf("%+v", c)
	}
	again()
}

func TestADeviceThatSendsAfterItsDeletionBeginsAnew(t *testing.T) {
	w := newWorld(t, 1)
	w.start(w.pipeline(func(o *Options) { o.Config.MaxSeriesPerDevice = 2 }))
	first := &telemetry.Batch{Device: "p/d", Session: "boot", Seq: 1, Readings: []telemetry.Reading{
		{Metric: "a", Time: epoch, Value: 1}, {Metric: "b", Time: epoch, Value: 2}}}
	second := &telemetry.Batch{Device: "p/d", Session: "boot", Seq: 1, Readings: []telemetry.Reading{
		{Metric: "c", Time: epoch - 1e12, Value: 3}, {Metric: "a", Time: epoch - 1e12, Value: 4}}}
	w.send(first)
	version := w.delete("p/d")
	w.send(second) // the same seq, other metrics, and older than what was deleted
	w.awaitStored(4)
	chains := w.chains()
	for name, want := range map[string]float64{
		endedAt("p/d/a", version): 1, endedAt("p/d/b", version): 2, "p/d/c": 3, "p/d/a": 4,
	} {
		if c := chains[name]; c == nil || c.N != 1 || c.Late != 0 || c.Last != want {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if c := chains["p/d/a"]; c.Version <= version {
		t.Errorf("version %d does not grow beyond the deletion's, %d", c.Version, version)
	}
}

func TestCommandsThatMakeNoSenseGoToTheDeadLetters(t *testing.T) {
	w := newWorld(t, 1)
	w.start(w.pipeline(nil))
	w.sendRaw("p/d", []byte{0, '{'})
	w.sendRaw("p/d", wire.AppendControl(nil, &wire.Control{Kind: "paint_device", Device: "p/d"}))
	w.sendRaw("p/d", wire.AppendControl(nil, &wire.Control{Kind: wire.ControlDeleteDevice, Device: "_weir"}))
	w.delete("p/unknown") // nothing to do
	w.await("dead letters", func() bool { return len(w.records(wire.TopicDeadLetters, 0)) == 3 })
	letters := w.records(wire.TopicDeadLetters, 0)
	for i, code := range []string{wire.CodeRecordMalformed, wire.CodeRecordMalformed, telemetry.CodePathReserved} {
		if l, err := wire.DecodeDeadLetter(letters[i].Value); err != nil || l.Code != code {
			t.Errorf("letter %d: %+v, %v", i, l, err)
		}
	}
}
