//go:build realkafka

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// device sends frames and adds up what the receipts say. It is not the product's own device client.
type device struct {
	gws.BuiltinEventHandler
	t    *testing.T
	path string
	conn *gws.Conn
	rng  *rand.Rand

	mu         sync.Mutex
	sent       int
	accepted   int
	duplicates int
	receipts   int
	seq        uint64
}

func connectDevice(t *testing.T, addr, path string, seed uint64) *device {
	t.Helper()
	d := &device{t: t, path: path, rng: rand.New(rand.NewPCG(seed, 1))}
	conn, _, err := gws.NewClient(d, &gws.ClientOption{Addr: "ws://" + addr + "/v1/ingest"})
	if err != nil {
		t.Fatalf("connect device %s: %v", path, err)
	}
	d.conn = conn
	go conn.ReadLoop()
	t.Cleanup(func() { _ = conn.WriteClose(1000, nil) })
	return d
}

func (d *device) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	var receipt struct {
		Type    string
		Payload struct {
			Accepted, Duplicate int
			Rejected            []any
			Error               any
		}
	}
	if err := json.Unmarshal(message.Bytes(), &receipt); err != nil || receipt.Type != "receipt" {
		d.t.Errorf("device %s: not a receipt: %s", d.path, message.Bytes())
		return
	}
	if receipt.Payload.Error != nil || len(receipt.Payload.Rejected) > 0 {
		d.t.Errorf("device %s: refused: %s", d.path, message.Bytes())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.receipts++
	d.accepted += receipt.Payload.Accepted
	d.duplicates += receipt.Payload.Duplicate
}

var metrics = []string{"temperature", "pressure", "vibration"}

// sendFrame sends a frame of a few readings; one in ten is sent twice with the same number.
func (d *device) sendFrame() {
	d.mu.Lock()
	d.seq++
	readings := make([]map[string]any, 1+d.rng.IntN(8))
	now := time.Now().UnixMicro()
	for i := range readings {
		readings[i] = map[string]any{"metric": metrics[d.rng.IntN(len(metrics))], "ts": now + int64(i), "value": 20 + d.rng.NormFloat64()}
	}
	frame, err := json.Marshal(map[string]any{"device": d.path, "session": "e2e", "seq": d.seq, "readings": readings})
	if err != nil {
		d.t.Fatal(err)
	}
	again := d.rng.IntN(10) == 0
	d.sent += len(readings)
	d.mu.Unlock()
	d.write(frame)
	if again {
		d.write(frame)
	}
}

func (d *device) write(frame []byte) {
	if err := d.conn.WriteMessage(gws.OpcodeText, frame); err != nil {
		d.t.Errorf("device %s: write: %v", d.path, err)
	}
}

// distinct is how many different readings the device has sent.
func (d *device) distinct() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sent
}

// settled says whether every frame sent has its receipt.
func (d *device) settled() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.accepted+d.duplicates < d.sent {
		return fmt.Errorf("device %s: %d of %d readings receipted", d.path, d.accepted+d.duplicates, d.sent)
	}
	return nil
}
