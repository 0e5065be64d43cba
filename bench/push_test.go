//go:build linux

package bench

import (
	"fmt"
	"testing"

	"weir/telemetry"
	"weir/wire"
)

// told is a message of rows as a server frames it.
func told(text string) []byte {
	b := appendClientFrame(nil, []byte(text))
	// A server does not mask: the bit goes, and the key with it.
	b[1] &^= 0x80
	head := len(b) - len(text) - 4
	return append(b[:head], b[head+4:]...)
}

func updates(view int, pushed int64, rows ...telemetry.Update) string {
	text := wire.AppendUpdatesHead(nil, view, "", pushed)
	for i := range rows {
		text = wire.AppendRow(text, i, &rows[i])
	}
	return string(wire.AppendUpdatesTail(text))
}

func row(since, version telemetry.Version, at int64) telemetry.Update {
	u := telemetry.Update{Version: version, Since: since}
	u.Add(version, at, 20)
	u.Since = since
	return u
}

// counting is a swarm of one connection that has been dialled.
func counting(probe bool) (*Swarm, *swarmConn) {
	s := &Swarm{options: SwarmOptions{Dialect: Live}, conns: make([]swarmConn, 1), endings: make(map[string]int)}
	s.Record()
	c := &s.conns[0]
	c.swarm = s
	if probe {
		c.probe = &Probe{swarm: s}
	}
	return s, c
}

func TestRowsAreCountedHoweverTheBytesCome(t *testing.T) {
	const now = 1_700_000_000_000_000
	var stream []byte
	for i := range 3 {
		at := telemetry.Version(i)
		stream = append(stream, told(updates(1, now, row(at-1, at, now), row(at-1, at, now), row(at-1, at, now)))...)
		stream = append(stream, told(`{"type":"alert","payload":{"samples":[[1],[2]]}}`)...)
	}
	for _, size := range []int{1, 7, 64, len(stream)} {
		for _, probe := range []bool{false, true} {
			t.Run(fmt.Sprintf("size=%d,probe=%v", size, probe), func(t *testing.T) {
				s, c := counting(probe)
				for rest := stream; len(rest) > 0; {
					n := min(size, len(rest))
					if err := c.feed(rest[:n], now); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				s.count(&c.tally)
				got := s.Recorded()
				if got.Rows != 9 || got.Messages != 3 || got.Bytes != int64(len(stream)) {
					t.Errorf("%d rows in %d messages, %d bytes, want 9, 3, %d", got.Rows, got.Messages, got.Bytes, len(stream))
				}
				if probe && (got.Probed != 9 || got.Faults != (Faults{})) {
					t.Errorf("%d rows probed, %+v", got.Probed, got.Faults)
				}
			})
		}
	}
}

func TestAProbeTellsAgesAndWhatDoesNotFollow(t *testing.T) {
	const now, pushAge, age = 1_700_000_000_000_000, 3_000, 9_000
	s, c := counting(true)
	for _, r := range []telemetry.Update{row(-1, 3, now-age), row(3, 5, now-age), row(6, 7, now-age), row(5, 7, now-age)} {
		if err := c.feed(told(updates(4, now-pushAge, r)), now); err != nil {
			t.Fatal(err)
		}
	}
	got := s.Recorded()
	if got.Faults != (Faults{Gaps: 1, Replays: 1}) {
		t.Errorf("%+v of a row that skips one and a row that comes again", got.Faults)
	}
	if p := got.Push.ValueAtQuantile(50); p < pushAge*99/100 || p > pushAge*101/100 {
		t.Errorf("%d µs after the push, want %d", p, pushAge)
	}
	if p := got.Device.ValueAtQuantile(50); p < age*99/100 || p > age*101/100 {
		t.Errorf("%d µs after the reading, want %d", p, age)
	}
}

func TestASwarmConnectionTellsWhyItWasClosed(t *testing.T) {
	_, c := counting(false)
	err := c.feed([]byte{0x88, 6, 0x0f, 0xa0, 'b', 'y', 'e', '!'}, 0)
	if err == nil || err.Error() != "closed by the server: 4000 bye!" {
		t.Errorf("%v", err)
	}
}
