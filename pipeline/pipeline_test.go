package pipeline

import (
	"testing"

	"weir/wire"
)

func TestReadingsBecomeUpdates(t *testing.T) {
	w := newWorld(t, 2)
	stop := w.start(w.pipeline(nil))
	for i := range 100 {
		w.send(oneReading("plant/a", "temperature", epoch+int64(i)*1e6, float64(i)))
		w.send(oneReading("plant/b", "pressure", epoch+int64(i)*1e6, -float64(i)))
	}
	chains := w.awaitStored(200)
	stop()
	a := chains["plant/a/temperature"]
	if a == nil || a.N != 100 || a.Min != 0 || a.Max != 99 || a.Last != 99 || a.Sum != 4950 {
		t.Errorf("plant/a/temperature: %+v", a)
	}
	markers := 0
	for p := range 2 {
		for _, r := range w.records(wire.TopicLatest, p) {
			if string(r.Key) == wire.MarkerKey {
				markers++
			}
		}
	}
	if markers == 0 {
		t.Error("no marker in weir.latest")
	}
}
