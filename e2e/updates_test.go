//go:build realkafka

package e2e

import (
	"context"
	"testing"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// checkUpdatesTopic reads weir.updates from its beginning, as a reader that honours fences, and checks each
// series' chain and the total count against want.
func checkUpdatesTopic(t *testing.T, brokers []string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := kafka.New(kafka.Options{Brokers: brokers})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ranges, err := client.Offsets(ctx, wire.TopicUpdates)
	if err != nil {
		t.Fatal(err)
	}
	var total uint64
	chain := map[string]telemetry.Version{}
	for partition, r := range ranges {
		var fences kafka.FenceFilter
		err := client.ReadRange(ctx, wire.TopicUpdates, partition, r.First, r.End, func(record *kafka.Record) error {
			if !fences.Accept(record) {
				return nil
			}
			updates, err := wire.DecodeUpdateBatch(record.Value, nil, nil)
			if err != nil {
				return err
			}
			for i := range updates {
				u := &updates[i]
				last, known := chain[u.Series]
				if !known {
					last = telemetry.NoVersion
				}
				if u.Since != last {
					t.Fatalf("weir.updates[%d]@%d %s: since %d after version %d", partition, record.Offset, u.Series, u.Since, last)
				}
				chain[u.Series] = u.Version
				total += u.N + u.Late + u.Invalid
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != uint64(want) {
		t.Fatalf("weir.updates holds %d readings, %d were sent", total, want)
	}
}
