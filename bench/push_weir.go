package bench

import (
	"bytes"
	"fmt"
	"strings"
)

// Live is Weir's dialect: each row of an updates message begins with a bracket, and the list of them with one more.
var Live = Dialect{Marker: '[', PerMessage: 1, Kind: 'u', KindAt: len(`{"type":"`), Decode: decodeLive}

var (
	viewKey   = []byte(`"view":`)
	pushedKey = []byte(`"push_ts":`)
)

// decodeLive reads the rows of an updates message or of a snapshot. Their columns are those of docs/protocol/live.md.
func decodeLive(p *Probe, now int64, text []byte) {
	snapshot := bytes.HasPrefix(text, subscribedPrefix)
	if !snapshot && !bytes.HasPrefix(text, updatesPrefix) {
		return
	}
	view := numberBehind(text, viewKey)
	start := bytes.Index(text, rowsKey)
	if start < 0 {
		return
	}
	pushed := int64(0)
	if !snapshot {
		pushed = numberBehind(text, pushedKey)
	}
	rows := text[start+len(rowsKey):]
	for {
		var columns [columnLastTime + 1]int64
		rest := rows
		for c := range columns {
			columns[c], rest = integer(rest)
		}
		p.follow(view, columns[0], columns[1], columns[2], snapshot)
		if !snapshot {
			p.Seen(now, columns[columnN], pushed, max(0, columns[columnLastTime]))
			pushed = 0 // counts once
		}
		end := bytes.IndexByte(rest, ']')
		if end < 0 || len(rest) < end+3 || rest[end+1] != ',' {
			return
		}
		rows = rest[end+3:]
	}
}

// integer reads a column and leads behind its comma; what is no integer is 0.
func integer(text []byte) (n int64, rest []byte) {
	end := bytes.IndexByte(text, ',')
	if end < 0 {
		return 0, nil
	}
	if text[0] == '-' {
		return -number(text[1:end]), text[end+1:]
	}
	return number(text[:end]), text[end+1:]
}

func numberBehind(text, key []byte) int64 {
	if i := bytes.Index(text, key); i >= 0 {
		return number(text[i+len(key):])
	}
	return 0
}

// liveSwarm are dashboards of a server: connection i subscribes to what patterns says, or to nothing if that is nil.
func liveSwarm(s *server, conns int, maxHz float64, patterns func(i int) []string) SwarmOptions {
	o := SwarmOptions{
		Dialect: Live, Address: s.addr, Conns: conns, Probes: min(conns, probes), Ready: `"type":"welcome"`, ReadyCount: 1,
		Path:  func(int) string { return "/v1/live?access_token=" + s.key },
		Hello: func(int) []string { return nil },
	}
	if patterns != nil {
		o.Ready = `"type":"subscribed"`
		o.Hello = func(i int) []string {
			return []string{fmt.Sprintf(`{"type":"subscribe","payload":{"id":"bench","patterns":["%s"],"max_hz":%g}}`,
				strings.Join(patterns(i), `","`), maxHz)}
		}
	}
	return o
}

// probes is how many connections decode what they read.
const probes = 50

// inViews spreads connections over so many views, which show the same rows: the patterns of each select all devices,
// and something that there is not.
func inViews(views int) func(i int) []string {
	return func(i int) []string { return []string{"bench/#", fmt.Sprintf("bench/none/view%d", i%views)} }
}
