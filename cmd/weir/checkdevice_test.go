package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/conformance"
)

// post sends a frame to a kit, again until it listens.
func postTo(ctx context.Context, address, frame string) {
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/readings", strings.NewReader(frame))
		if err != nil {
			return
		}
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_ = resp.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestCheckDeviceReportsAndExits(t *testing.T) {
	good := `{"device":"a/b","session":"s","seq":1,"readings":[{"metric":"m","value":1}]}`
	for name, c := range map[string]struct {
		frame string
		args  []string
		code  int
		want  []string
	}{
		"good": {good, nil, exitOK, []string{"pass           numbers", "0 failed"}},
		"bad":  {`{"device":"a/b","metric":"m","value":1}`, nil, exitFailed, []string{"fail           numbers", "connection 1, frame 1", "read docs/protocol/ingest.md#frames"}},
		"json": {good, []string{"--json"}, exitOK, []string{`"check": "numbers"`}},
	} {
		address := closedPort(t)
		ctx, cancel := context.WithCancel(t.Context())
		go postTo(ctx, address, c.frame)
		code, out, _ := weir(t, append([]string{"check-device", "--listen", address, "--for", "1s", "--scenario", "basic"}, c.args...)...)
		cancel()
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d\n%s", name, code, c.code, out)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, out)
			}
		}
		var report conformance.Report
		if c.args != nil && (json.Unmarshal([]byte(out), &report) != nil || report.Frames != 1) {
			t.Errorf("%s: not the report: %+v", name, report)
		}
	}
	if code, out, _ := weir(t, "check-device", "--listen", closedPort(t), "--for", "50ms"); code != exitFailed || !strings.Contains(out, "not one frame") {
		t.Errorf("without a device: exit code %d\n%s", code, out)
	}
}
