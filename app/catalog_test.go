package app

import (
	"math"
	"testing"
	"time"

	"weir/devices"
	"weir/telemetry"
	"weir/wire"
)

func TestDashboardsAreToldWhatTheMetadataSay(t *testing.T) {
	c := onDisk(t)
	r := start(t, c)
	r.do("PUT", "/v1/devices/p/d", `{"display_name":"Press","tags":{"line":"7"},"metrics":{"x":{"unit":"°C","min":-40}}}`, 201)
	r.do("POST", "/v1/readings", `{"device":"p/d","metric":"x","value":1}`, 200)
	r.eventually("the series", func() bool { return r.series() == "p/d/x" })
	unit := func(d *dashboard, want string) {
		t.Helper()
		for {
			if m, ok := d.step().(*wire.SeriesMsg); ok {
				if len(m.Changed) != 1 || m.Changed[0].Unit != want {
					t.Fatalf("%+v, want %s", m, want)
				}
				return
			}
		}
	}
	d := r.dashboard("#")
	r.do("PUT", "/v1/devices/p/d", `{"metrics":{"x":{"unit":"K"}}}`, 200)
	unit(d, "K")
	must(t, r.stop())
	r = start(t, c) // it is known, too, when the process starts
	d = &dashboard{t: t, socket: r.dial("v1/live?subscribe=%23"), seen: map[string]telemetry.Version{}}
	for {
		m, ok := d.step().(*wire.Subscribed)
		if !ok {
			continue
		}
		if e := m.Dictionary[0]; e.Meta == nil { // push was quicker
			unit(d, "K")
		} else if e.Unit != "K" {
			t.Errorf("entry %+v", e)
		}
		break
	}
}

func TestMetadataBecomeEntries(t *testing.T) {
	m := &devices.Meta{
		DisplayName: "Press", ExpectedInterval: time.Minute, Tags: map[string]string{"line": "7"},
		Metrics: map[string]*devices.Metric{
			"x": {Unit: "°C", DisplayName: "Oil", Min: -40, Max: math.NaN(), ExpectedInterval: time.Second, Labels: map[string]float64{"open": 1}},
		},
	}
	x := metaOf(m, "x")
	if x.Unit != "°C" || x.Name != "Oil" || x.DeviceName != "Press" || *x.Min != -40 || x.Max != nil || x.IntervalMS != 1000 ||
		x.Tags["line"] != "7" || x.Labels["open"] != 1 {
		t.Errorf("%+v", x)
	}
	if y := metaOf(m, "y"); y.IntervalMS != 60_000 || y.Unit != "" || y.Min != nil {
		t.Errorf("%+v", y)
	}
	if none := metaOf(&devices.Meta{Description: "an old one"}, "x"); none != nil {
		t.Errorf("%+v", none)
	}
}
