//go:build realkafka

package e2e

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/lxzan/gws"
)

// dashboard subscribes to everything and checks the chain of since and version row by row. It reads the
// protocol from its page, not from the product's own client code.
type dashboard struct {
	gws.BuiltinEventHandler
	t *testing.T

	mu         sync.Mutex
	subscribed bool
	names      map[int]string
	seen       map[string]int64
	readings   int
	max        float64
	wrong      []string
}

func connectDashboard(t *testing.T, addr string) *dashboard {
	t.Helper()
	d := &dashboard{t: t, names: map[int]string{}, seen: map[string]int64{}}
	conn, _, err := gws.NewClient(d, &gws.ClientOption{Addr: "ws://" + addr + "/v1/live"})
	if err != nil {
		t.Fatalf("connect dashboard: %v", err)
	}
	go conn.ReadLoop()
	t.Cleanup(func() { _ = conn.WriteClose(1000, nil) })
	if err := conn.WriteString(`{"type":"subscribe","payload":{"id":"all","patterns":["#"],"max_hz":20}}`); err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	return d
}

type liveMessage struct {
	Type    string
	Payload struct {
		Dictionary, Added []struct {
			I      int
			Series string
		}
		Rows   [][]*float64
		Reason string
	}
}

func (d *dashboard) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	var m liveMessage
	if err := json.Unmarshal(message.Bytes(), &m); err != nil {
		// An alert's or welcome's payload has fields of other types; only rows matter here.
		var kind struct{ Type string }
		if json.Unmarshal(message.Bytes(), &kind) != nil || kind.Type == "updates" || kind.Type == "subscribed" {
			d.t.Errorf("dashboard: %v in %.200s", err, message.Bytes())
		}
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, entry := range append(m.Payload.Dictionary, m.Payload.Added...) {
		d.names[entry.I] = entry.Series
	}
	switch m.Type {
	case "subscribed":
		d.subscribed = true
		d.rowsLocked(m.Payload.Rows, true)
	case "updates":
		d.rowsLocked(m.Payload.Rows, false)
	case "resync":
		d.wrong = append(d.wrong, "resync: "+m.Payload.Reason)
	}
}

func (d *dashboard) rowsLocked(rows [][]*float64, snapshot bool) {
	for _, row := range rows {
		if len(row) != 20 {
			d.wrong = append(d.wrong, fmt.Sprintf("row of %d columns", len(row)))
			continue
		}
		series, version, since := d.names[int(*row[0])], int64(*row[1]), int64(*row[2])
		last, known := d.seen[series]
		if !known {
			last = -1
		}
		if !snapshot {
			if since != last {
				d.wrong = append(d.wrong, fmt.Sprintf("%s: since %d after version %d", series, since, last))
			}
			d.readings += int(*row[3] + *row[4] + *row[5])
			if row[10] != nil {
				d.max = max(d.max, *row[10])
			}
		}
		d.seen[series] = version
	}
}

// check returns what is wrong with the chain, or that the count is not yet want.
func (d *dashboard) check(want int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.wrong) > 0 {
		d.t.Fatalf("the dashboard's chain is broken %d times, first: %s", len(d.wrong), d.wrong[0])
	}
	if d.readings > want {
		d.t.Fatalf("the dashboard has seen %d readings, more than the %d that were sent", d.readings, want)
	}
	if d.readings < want {
		return fmt.Errorf("the dashboard has seen %d of %d readings", d.readings, want)
	}
	return nil
}

func (d *dashboard) ready() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.subscribed {
		return fmt.Errorf("not subscribed yet")
	}
	return nil
}
