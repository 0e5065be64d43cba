package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"weir/bench"
)

func markdown(about head, r *bench.Outcomes) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Weir's push beside Centrifugo v5.4.9\n\nCommit %s, %s, %s.\n`%s`\n\n", about.Commit, about.Date, r.Machine, about.Command)
	b.WriteString(`A delivery is a series row (Weir) or a publication (Centrifugo) that a client has received; the clients are the same program for both, on the same
machine. Weir takes readings from devices, keeps and processes them (embedded broker, pipeline) and pushes rows of about 190 bytes, at the rate that
is named; Centrifugo (memory engine, default limits) is published to over its HTTP API, all that is due in 2 ms in one request. "Base" is what a server
takes for that without clients. In the second case Weir's five rows of a frame weigh as much as Centrifugo's one publication, and a message is what
compares. Latency is from when the reading or publication was due until a client has read it.

| | who | deliveries/s (offered) | messages/s | MB/s | cores: server (base) | clients and senders | others | CPU µs per delivery (without base) | CPU µs per KB | p50, p99 ms | RSS KiB per connection | lost |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
`)
	for i := range r.Runs {
		o := &r.Runs[i]
		fmt.Fprintf(&b, "| %s | %s | %.0f (%.0f) | %.0f | %.1f | %.2f (%.2f) | %.2f | %.2f | %.2f (%.2f) | %.2f | %.1f, %.1f | %.1f | %s |\n",
			o.Name, o.Who, o.Deliveries, o.Offered, o.Messages, o.MB, o.ServerCores, o.BaseCores, o.LoadCores, o.OthersCores,
			o.CPU, o.PushCPU, o.ServerCores/o.MB*1e3, o.DeviceP50, o.DeviceP99, o.RSSPerConn, endings(o.Endings))
	}
	b.WriteString("\n| idle connections with a subscription | conns | RSS KiB each | server MiB | lost |\n|---|---|---|---|---|\n")
	for _, m := range r.Idle {
		fmt.Fprintf(&b, "| %s | %d | %.1f | %.0f | %d |\n", m.Name, m.Conns, m.PerConn, m.RSS, m.Lost)
	}
	b.WriteString("\n| a reader of a fifth of what there is, after 45 s | told in the last 15 s | that stand for (published) | how old: p50, max s | cut | gaps |\n|---|---|---|---|---|---|\n")
	for _, s := range r.Slow {
		fmt.Fprintf(&b, "| %s | %d | %d (%.0f) | %.1f, %.1f | %s | %d |\n", s.Who, s.Rows, s.Readings, s.Published, s.P50, s.Max, endings(s.Endings),
			s.Faults.Gaps+s.Faults.Replays)
	}
	b.WriteString("\n| kill -9 and start at once | first data made after it, seen by a client after s |\n|---|---|\n")
	for _, c := range r.Crashes {
		fmt.Fprintf(&b, "| %s | %.2f |\n", c.Who, c.Fresh)
	}
	b.WriteString(`
- What Weir's slow reader is told is the newest state: rows that could not be sent in time are merged, and their n adds up to all readings. Centrifugo's
  is told every publication in turn, older and older; it is disconnected once its queue of 1 MB, which begins where the kernel's buffers end, is full.
- After a crash Weir's clients get the state of all series with it, and nothing is missing of what devices have a receipt for; Centrifugo's memory engine
  begins empty.
`)
	return b.String()
}

// endings lists how connections ended.
func endings(by map[string]int) string {
	if len(by) == 0 {
		return "no"
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%d %s", by[reason], reason))
	}
	return strings.Join(parts, "; ")
}
