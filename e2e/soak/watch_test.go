//go:build soak

package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/kafka"
	"weir/telemetry"
)

// watched is what a server took while it was overloaded.
type watched struct {
	MaxMiB         float64    `json:"max_resident_mib"`
	Quarters       [4]float64 `json:"median_resident_mib_by_quarter"`
	Inflight       float64    `json:"max_inflight_frames"`
	Unacknowledged float64    `json:"max_unacknowledged_bytes"`
	Lag            float64    `json:"max_pipeline_lag_records"`
}

// watcher samples a server's memory five times a second, and its gauges every second.
type watcher struct {
	server *server
	token  string
	mib    []float64
	seen   watched
}

func newWatcher(s *server, token string) *watcher { return &watcher{server: s, token: token} }

func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if mib := residentMiB(w.server.pid()); mib > 0 {
			w.mib = append(w.mib, mib)
		}
		if n%5 != 0 {
			continue
		}
		// A server without a core to spare may answer late.
		exposition, err := w.server.get(ctx, "/metrics", w.token)
		if err != nil {
			continue
		}
		for name, most := range map[string]*float64{
			"weir_ingest_inflight_frames": &w.seen.Inflight, "weir_ingest_unacknowledged_bytes": &w.seen.Unacknowledged,
			"weir_pipeline_lag_records": &w.seen.Lag,
		} {
			if v, err := sumOf(exposition, name); err == nil {
				*most = max(*most, v)
			}
		}
	}
}

// judge finds memory that was not bounded, or grew.
func (w *watcher) judge(o *overload) {
	if len(w.mib) < 8 {
		o.Fatalf("only %d samples of the server's memory", len(w.mib))
	}
	w.seen.MaxMiB = slices.Max(w.mib)
	for q := range w.seen.Quarters {
		part := slices.Sorted(slices.Values(w.mib[q*len(w.mib)/4 : (q+1)*len(w.mib)/4]))
		w.seen.Quarters[q] = part[len(part)/2]
	}
	o.result.Watch = w.seen
	if w.seen.MaxMiB > memoryBoundMiB {
		o.Errorf("the server's memory reached %.0f MiB", w.seen.MaxMiB)
	}
	if second, last := w.seen.Quarters[1], w.seen.Quarters[3]; last > 1.3*second+32 {
		o.Errorf("the server's memory grew from %.0f to %.0f MiB", second, last)
	}
	if most := float64((rudeDevices + honestDevices + posters) * 64); w.seen.Inflight > most {
		o.Errorf("%.0f frames were in the server, beyond the credit of all", w.seen.Inflight)
	}
}

func residentMiB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// postReadings is how many readings a post has: few posts are enough to pass the limit.
const postReadings = 4000

// poster posts frame after frame and heeds no refusal.
type poster struct {
	addr, token, device, session string

	accepted int64
	codes    map[string]int // by status and code
	wrong    []string
}

func (p *poster) run(ctx context.Context) {
	d := &soakDevice{deviceConfig: deviceConfig{Device: p.device, Token: p.token}}
	readings := strings.TrimSuffix(strings.Repeat(`{"metric":"m","value":1.5},`, postReadings), ",")
	for seq := 1; ctx.Err() == nil; seq++ {
		status, body, err := d.request(p.addr, fmt.Appendf(nil, `{"session":%q,"seq":%d,"readings":[%s]}`, p.session, seq, readings))
		if err != nil {
			// Without an answer nothing is known: the number goes out again until there is one.
			seq--
			time.Sleep(10 * time.Millisecond)
			continue
		}
		var answer struct {
			Accepted, Duplicate int64
			Error               *struct{ Code string }
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			p.wrong = append(p.wrong, fmt.Sprintf("%s: %d %.200s", p.device, status, body))
			return
		}
		key := strconv.Itoa(status)
		if answer.Error != nil {
			key += " " + answer.Error.Code
		}
		p.codes[key]++
		p.accepted += answer.Accepted + answer.Duplicate
		if (status == 200) == (answer.Error != nil) {
			p.wrong = append(p.wrong, fmt.Sprintf("%s: %d with %.200s", p.device, status, body))
		}
	}
}

// sumUpdates is how many readings are in weir.updates.
func (p *proof) sumUpdates() (sum uint64) {
	p.eachUpdate(func(_ int, _ *kafka.Record, u *telemetry.Update) { sum += u.N + u.Late + u.Invalid })
	return sum
}
