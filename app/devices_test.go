package app

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// do asks with a body and expects a status.
func (r *running) do(method, path, body string, want int) []byte {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, strings.TrimSuffix(r.URL(), "/")+path, strings.NewReader(body))
	must(r.t, err)
	res, err := asking(r.t).Do(req)
	must(r.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(r.t, err)
	if res.StatusCode != want {
		r.t.Fatalf("%s %s: %d %s, want %d", method, path, res.StatusCode, text, want)
	}
	return text
}

func (r *running) series() string {
	r.t.Helper()
	_, body := r.get("/v1/series", "")
	var list struct{ Series []string }
	must(r.t, json.Unmarshal(body, &list))
	return strings.Join(list.Series, " ")
}

// state is a device's, by the list of all.
func (r *running) state(device string) string {
	r.t.Helper()
	var list struct {
		Devices []struct {
			Device   string
			Presence struct{ State string }
		}
	}
	must(r.t, json.Unmarshal(r.do("GET", "/v1/devices", "", 200), &list))
	for _, d := range list.Devices {
		if d.Device == device {
			return d.Presence.State
		}
	}
	return "unknown"
}

func TestADeletedDeviceIsGoneEverywhereAndStaysSo(t *testing.T) {
	c := onDisk(t)
	r := start(t, c)
	r.do("PUT", "/v1/devices/p/d", `{"display_name":"Press","metrics":{"door":{"labels":{"open":1}}}}`, 201)
	for range 3 {
		r.do("POST", "/v1/readings", `[{"device":"p/d","metric":"x","value":1},{"device":"p/d","metric":"door","value":"open"},{"device":"p/e","metric":"x","value":1}]`, 200)
	}
	r.eventually("all series", func() bool { return r.series() == "p/d/door p/d/x p/e/x" })
	r.eventually("the device is online", func() bool { return r.state("p/d") == "online" })
	r.do("DELETE", "/v1/devices/p/d", "", 202)
	r.eventually("the device's series are gone", func() bool { return r.series() == "p/e/x" })
	r.do("GET", "/v1/devices/p/d", "", 404)
	r.do("GET", "/v1/devices/p/d/health", "", 404)
	must(t, r.stop())

	r = start(t, c)
	if got := r.series(); got != "p/e/x" {
		t.Errorf("after a restart there are %s", got)
	}
	if got := r.state("p/d"); got != "unknown" {
		t.Errorf("after a restart the device is %s", got)
	}
	r.do("POST", "/v1/readings", `{"device":"p/d","metric":"x","value":7}`, 200)
	r.eventually("the device is back", func() bool { return r.series() == "p/d/x p/e/x" && r.state("p/d") == "online" })
	if s := r.snapshot("p/d/x"); len(s.Rows) != 1 || s.Rows[0].Update.Last != 7 || s.Rows[0].Update.N != 1 {
		t.Errorf("%+v", s.Rows)
	}
	must(t, r.stop())
	r = start(t, c)
	if got := r.series(); got != "p/d/x p/e/x" {
		t.Errorf("after another restart there are %s", got)
	}
}

func TestMetadataSurvivesARestart(t *testing.T) {
	c := onDisk(t)
	r := start(t, c)
	r.do("PUT", "/v1/devices/p/d", `{"metrics":{"door":{"labels":{"open":1}}}}`, 201)
	must(t, r.stop())
	r = start(t, c)
	r.do("POST", "/v1/readings", `{"device":"p/d","metric":"door","value":"open"}`, 200) // at once: it knows the label
	var health struct {
		Readings struct{ Accepted int }
		Rate     struct{ Quota float64 }
	}
	must(t, json.Unmarshal(r.do("GET", "/v1/health/p/d", "", 200), &health))
	if health.Readings.Accepted != 1 || health.Rate.Quota != float64(c.Ingest.Limits.Device.Rate) {
		t.Errorf("%+v", health)
	}
}
