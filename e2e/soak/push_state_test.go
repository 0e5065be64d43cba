//go:build soak

package soak

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pushState is a line of the journal: where a soak that was killed goes on. Its servers have their data still; who counts,
// watches and talks begins anew, in a tenant of its own.
type pushState struct {
	Seed    uint64         `json:"seed"`
	Begun   int            `json:"begun"` // processes of this soak
	Seconds float64        `json:"soaked_seconds"`
	Rounds  int            `json:"rounds"`
	Faults  map[string]int `json:"faults"`
	Done    bool           `json:"done,omitempty"`
}

// beginPushSoak goes on with what a killed soak of the same seed has left in the results, or begins anew. What a soak that has
// passed leaves is removed when its brokers have ended; that of a failed one stays to be looked into.
func beginPushSoak(t *testing.T, name string) *pushSoak {
	p := &pushSoak{rig: newRig(t), name: name, work: filepath.Join(t.TempDir(), "work")}
	if *resultDir != "" {
		p.work = filepath.Join(*resultDir, name+".work")
	}
	file := filepath.Join(p.work, "journal")
	if p.state = lastState[pushState](file); p.state.Seed != *soakSeed || p.state.Done {
		p.state = pushState{Seed: *soakSeed}
		if err := os.RemoveAll(p.work); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Logf("going on after %.0f s", p.state.Seconds)
	}
	p.state.Begun++
	if p.state.Faults == nil {
		p.state.Faults = map[string]int{}
	}
	p.tenant = fmt.Sprint("plant", p.state.Begun)
	p.rng = rand.New(rand.NewPCG(*soakSeed, uint64(5+p.state.Begun)))
	if err := os.MkdirAll(p.work, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.journal, err = os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.journal.Close()
		if !t.Failed() {
			_ = os.RemoveAll(p.work)
		}
	})
	return p
}

// watches reports whether a series is one that this process made, and somebody watches.
func (p *pushSoak) watches(series string) bool { return strings.HasPrefix(series, p.tenant+"/") }

// note writes the journal on after so long.
func (p *pushSoak) note(seconds float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Seconds = seconds
	p.noteLocked(false)
}

func (p *pushSoak) noteLocked(done bool) {
	at := p.state
	at.Done = done
	line, err := json.Marshal(at)
	if err == nil {
		_, err = p.journal.Write(append(line, '\n'))
	}
	if err != nil {
		p.Errorf("journal: %v", err)
	}
}

func (p *pushSoak) fault(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Faults[name]++
}

// pushSums are of the latest process of a soak.
type pushSums struct {
	Rows     int64 `json:"rows"`
	Readings int64 `json:"readings"`
	Sent     int64 `json:"sent"`
	Resumes  int64 `json:"resumes"`
	Resets   int64 `json:"resets"` // after the first
	Cuts     int64 `json:"cuts"`
	Alerts   int64 `json:"alerts"`
	Anew     int64 `json:"viewers_that_began_anew"`
	Messages int64 `json:"messages"`
	Told     int64 `json:"messages_told"`
}

// streamSums are of the clients of /v1/events alone.
type streamSums struct {
	Rows    int64 `json:"stream_rows"`
	Resumes int64 `json:"stream_resumes"`
	Cuts    int64 `json:"stream_cuts"`
	Heard   int64 `json:"stream_transitions"`
}

func (p *pushSoak) streamSums() (total streamSums) {
	for _, v := range p.streams {
		_ = v.look(func(t *told) error {
			total.Rows, total.Resumes, total.Cuts = total.Rows+t.Rows, total.Resumes+t.Resumes, total.Cuts+t.Cuts
			total.Heard += int64(len(t.Heard))
			return nil
		})
	}
	return total
}

func (p *pushSoak) sums() (total pushSums) {
	for _, c := range p.counters {
		total.Sent += int64(c.n)
	}
	if p.talk == nil {
		return total
	}
	for _, said := range p.talk.messages() {
		total.Messages += int64(len(said))
	}
	p.each(func(t *told) error {
		total.Rows += t.Rows
		total.Readings += t.Readings
		total.Resumes += t.Resumes
		total.Resets += t.Resets
		total.Cuts += t.Cuts
		if t.Resets > 0 {
			total.Anew++
		}
		for _, said := range t.Said {
			total.Told += int64(len(said))
		}
		return nil
	})
	total.Alerts = int64(len(p.heard()))
	return total
}

// report leaves the figures, however a soak has ended.
func (p *pushSoak) report(began time.Time) {
	total := p.sums()
	if total.Resets > total.Resumes/20 {
		p.Errorf("%d returns began anew, beside %d that went on", total.Resets, total.Resumes)
	}
	checkServerLogs(p.T, p.work)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noteLocked(true)
	result := struct {
		about
		pushState
		Viewers     int `json:"viewers"`
		NodeViewers int `json:"node_viewers"`
		Streams     int `json:"stream_viewers"`
		pushSums
		Stream streamSums `json:"streams"`
		Post   postSums   `json:"post"`
	}{aboutNow(p.T, p.name, began), p.state, soakViewers, soakNodeViewers, soakStreams, total, p.streamSums(), p.postSums()}
	row := func(name string, value any) [2]string { return [2]string{name, fmt.Sprint(value)} }
	rows := [][2]string{
		row("seed; processes of the soak", fmt.Sprintf("%d; %d", p.state.Seed, p.state.Begun)),
		row("seconds of faults", fmt.Sprintf("%.0f", p.state.Seconds)),
		row("clients of sdk/go; of sdk/ts in Node; of server-sent events; each checks every row", fmt.Sprintf("%d; %d; %d", soakViewers, soakNodeViewers, soakStreams)),
		row("rounds, each compared with /v1/snapshot and the receipts of rooms", p.state.Rounds),
	}
	for _, fault := range slices.Sorted(maps.Keys(p.state.Faults)) {
		rows = append(rows, row(fault, p.state.Faults[fault]))
	}
	rows = append(rows,
		row("in the latest process: readings sent", total.Sent),
		row("rows told; readings in them", fmt.Sprintf("%d; %d", total.Rows, total.Readings)),
		row("returns that went on exactly", total.Resumes),
		row("returns that began anew; clients they were of", fmt.Sprintf("%d; %d", total.Resets, total.Anew)),
		row("transitions of alerts, each heard once, and in weir.alerts", total.Alerts),
		row("messages to rooms; told to members, each once and in order", fmt.Sprintf("%d; %d", total.Messages, total.Told)),
		row("of server-sent events: rows; returns that went on exactly; cuts; transitions",
			fmt.Sprintf("%d; %d; %d; %d", result.Stream.Rows, result.Stream.Resumes, result.Stream.Cuts, result.Stream.Heard)))
	rows = append(rows, result.Post.rows()...)
	writeResult(p.T, p.name, result, markdown(result.about, rows))
}
