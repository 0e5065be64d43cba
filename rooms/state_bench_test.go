package rooms

import (
	"fmt"
	"testing"

	"weir/wire"
)

// BenchmarkMessage applies messages that nothing keeps but their ids, which are as many as are kept.
func BenchmarkMessage(b *testing.B) {
	for _, tenants := range []int{1, 100, 20_000} {
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) {
			st := newState(DefaultConfig())
			ids, next := make([]string, 1<<16), int64(0)
			for i := range ids {
				ids[i] = fmt.Sprintf("an id like any other %d", i)
			}
			records := make([]wire.RoomRecord, tenants)
			for i := range records {
				records[i] = wire.RoomRecord{Kind: wire.RecordMessage, Message: &wire.MessageValue{
					Target: wire.Target{User: fmt.Sprintf("tenant%d/_users/a", i)}, Type: "t", Ephemeral: true, From: wire.Sender{User: "u"}}}
			}
			apply := func() {
				r := &records[next%int64(tenants)]
				r.Message.ID = ids[next%int64(len(ids))]
				if st.apply(next, 1, r).message == nil {
					b.Fatal("known")
				}
				next++
			}
			for range st.cfg.IDs {
				apply()
			}
			b.ReportAllocs()
			for b.Loop() {
				apply()
			}
		})
	}
}
