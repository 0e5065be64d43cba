package tail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	sdk "weir/sdk/go"
)

// figures are what --stats prints.
type figures struct {
	Type     string `json:"type"`
	State    string `json:"state"`
	Frames   int64  `json:"frames"`
	Rows     int64  `json:"rows"`
	Readings int64  `json:"readings"`
	// Merged rows became part of others here, ServerMerged at the server, because they could not be taken in time.
	Merged       int64    `json:"merged"`
	ServerMerged *int64   `json:"server_merged,omitempty"`
	Stalls       *int64   `json:"stalls,omitempty"`
	ServerLagMS  *float64 `json:"server_lag_ms,omitempty"`
	LagMS        float64  `json:"lag_ms"`
	RTTMS        float64  `json:"rtt_ms"`
	Resyncs      int64    `json:"resyncs"`
	Resumes      int64    `json:"resumes"`
	Gaps         int64    `json:"gaps"`
	Replays      int64    `json:"replays"`
	Reconnects   int64    `json:"reconnects"`
	// Messages were said in rooms.
	Messages uint64 `json:"messages"`

	series bool // some are followed
}

// figures prints them now and then until ctx ends.
func (t *Tail) figures(ctx context.Context) {
	tick := time.NewTicker(t.o.Stats)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		f := t.count(ctx)
		t.mu.Lock()
		t.print.figures(&f, t.o.Notes)
		_ = t.print.flush() // whoever prints next is told
		t.mu.Unlock()
	}
}

func (t *Tail) count(ctx context.Context) figures {
	live := t.live.Stats()
	f := figures{Type: "stats", State: live.State.String(), RTTMS: milliseconds(live.RTT), Reconnects: max(0, live.Connects-1)}
	t.mu.Lock()
	f.Messages = t.counts.Messages
	t.mu.Unlock()
	if t.sub == nil {
		return f
	}
	f.series = true
	n := t.sub.Stats()
	f.Frames, f.Rows, f.Readings, f.Merged, f.LagMS = n.Frames, n.Rows, n.Readings, n.Merged, milliseconds(n.Lag)
	f.Resyncs, f.Resumes, f.Gaps, f.Replays = n.Resyncs, n.Resumes, n.Gaps, n.Replays
	ctx, cancel := context.WithTimeout(ctx, t.o.Stats)
	defer cancel()
	// Servers that do not count for their clients, or do not answer, leave it at that.
	if server, err := t.live.ServerStats(ctx); err == nil && len(server.Subscriptions) > 0 {
		s := &server.Subscriptions[0]
		f.ServerMerged, f.Stalls, f.ServerLagMS = &s.Merged, &s.Stalls, &s.LagMS
	}
	return f
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// figures prints to the notes, so that a table stays one.
func (t *table) figures(f *figures, notes io.Writer) {
	fmt.Fprintf(notes, "stats: %s  rtt %.1f ms  messages %d  reconnects %d", f.State, f.RTTMS, f.Messages, f.Reconnects)
	if f.series {
		fmt.Fprintf(notes, "  frames %d  rows %d  readings %d  lag %.1f ms  merged here %d", f.Frames, f.Rows, f.Readings, f.LagMS, f.Merged)
		if f.ServerMerged != nil {
			fmt.Fprintf(notes, ", by the server %d (stalls %d, %.0f ms behind)", *f.ServerMerged, *f.Stalls, *f.ServerLagMS)
		}
		fmt.Fprintf(notes, "  resyncs %d  resumes %d  gaps %d  replays %d", f.Resyncs, f.Resumes, f.Gaps, f.Replays)
	}
	fmt.Fprintln(notes)
}

func (l *lines) figures(f *figures, _ io.Writer) { l.encode(f) }

// said prints an event of a room.
func (t *table) said(room string, e *sdk.RoomEvent) {
	at, text := int64(0), "some messages are missing here"
	switch {
	case e.Message != nil:
		at, text = e.Message.Time, fmt.Sprintf("%s %s: %s", who(e.Message.From.User, e.Message.From.Session), e.Message.Type, compact(e.Message.Payload))
	case e.Presence != nil:
		at, text = e.Presence.Time, who(e.Presence.User, e.Presence.Session)+" "+e.Presence.Event
	}
	clock := ""
	if at > 0 {
		clock = time.UnixMicro(at).Format(clockFormat)
	}
	t.width = min(max(t.width, len(room)), maxSeriesWidth)
	fmt.Fprintf(t.out, "%-12s  %-*s %s\n", clock, t.width, room, plain(text))
}

// compact is a JSON text without the white space that it may hold between its parts, lines among it.
func compact(text []byte) string {
	var out bytes.Buffer
	if json.Compact(&out, text) != nil {
		return string(text)
	}
	return out.String()
}

func who(user, session string) string {
	if user == "" {
		return session
	}
	return user
}

func (l *lines) said(room string, e *sdk.RoomEvent) {
	switch {
	case e.Message != nil:
		l.encode(struct {
			Type    string       `json:"type"`
			Message *sdk.Message `json:"message"`
		}{"message", e.Message})
	case e.Presence != nil:
		l.encode(struct {
			Type     string        `json:"type"`
			Presence *sdk.Presence `json:"presence"`
		}{"presence", e.Presence})
	default:
		l.encode(struct {
			Type string `json:"type"`
			Room string `json:"room"`
		}{"missed", room})
	}
}
