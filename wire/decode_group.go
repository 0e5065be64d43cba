package wire

import "weir/telemetry"

// sorter groups the readings of a frame of several devices.
type sorter struct {
	// ordinal numbers the devices of the frame, counts has how many readings each has.
	ordinal  map[string]int
	counts   []int
	readings []telemetry.Reading
	index    []int
}

// group makes Batches of the accepted readings. Their devices are in g.items.
func (g *gathering) group(device string, several bool) {
	if len(g.readings) == 0 {
		return
	}
	if !several {
		g.addBatch(device, g.readings, g.index)
		return
	}
	s := &g.sorted
	g.countDevices()
	// A counting sort: counts become the places where each device's next reading goes.
	s.readings = append(s.readings[:0], g.readings...)
	s.index = append(s.index[:0], g.index...)
	next := 0
	for i, n := range s.counts {
		g.frame.Batches[i].Readings = s.readings[next : next+n : next+n]
		g.frame.Index[i] = s.index[next : next+n : next+n]
		s.counts[i] = next
		next += n
	}
	for j, at := range g.index {
		o := s.ordinal[g.items[at].device]
		s.readings[s.counts[o]], s.index[s.counts[o]] = g.readings[j], at
		s.counts[o]++
	}
	clear(s.ordinal)
}

// countDevices begins a Batch for each device, in order of first appearance.
func (g *gathering) countDevices() {
	s := &g.sorted
	if s.ordinal == nil {
		s.ordinal = make(map[string]int)
	}
	s.counts = s.counts[:0]
	for _, at := range g.index {
		device := g.items[at].device
		o, ok := s.ordinal[device]
		if !ok {
			o = len(s.counts)
			s.ordinal[device] = o
			s.counts = append(s.counts, 0)
			g.addBatch(device, nil, nil)
		}
		s.counts[o]++
	}
}

func (g *gathering) addBatch(device string, readings []telemetry.Reading, index []int) {
	f := &g.frame
	f.Batches = append(f.Batches, telemetry.Batch{
		Device: device, Session: f.Session, Seq: f.Seq, Ingest: g.now, Readings: readings,
	})
	f.Index = append(f.Index, index)
}
