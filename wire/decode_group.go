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

// group makes Batches of the accepted readings. Their devices are in d.items.
func (d *Decoder) group(device string, several bool) {
	if len(d.readings) == 0 {
		return
	}
	if !several {
		d.addBatch(device, d.readings, d.index)
		return
	}
	s := &d.sorted
	d.countDevices()
	// A counting sort: counts become the places where each device's next reading goes.
	s.readings = append(s.readings[:0], d.readings...)
	s.index = append(s.index[:0], d.index...)
	next := 0
	for i, n := range s.counts {
		d.frame.Batches[i].Readings = s.readings[next : next+n : next+n]
		d.frame.Index[i] = s.index[next : next+n : next+n]
		s.counts[i] = next
		next += n
	}
	for j, at := range d.index {
		o := s.ordinal[d.items[at].device]
		s.readings[s.counts[o]], s.index[s.counts[o]] = d.readings[j], at
		s.counts[o]++
	}
	clear(s.ordinal)
}

// countDevices begins a Batch for each device, in order of first appearance.
func (d *Decoder) countDevices() {
	s := &d.sorted
	if s.ordinal == nil {
		s.ordinal = make(map[string]int)
	}
	s.counts = s.counts[:0]
	for _, at := range d.index {
		device := d.items[at].device
		o, ok := s.ordinal[device]
		if !ok {
			o = len(s.counts)
			s.ordinal[device] = o
			s.counts = append(s.counts, 0)
			d.addBatch(device, nil, nil)
		}
		s.counts[o]++
	}
}

func (d *Decoder) addBatch(device string, readings []telemetry.Reading, index []int) {
	f := &d.frame
	f.Batches = append(f.Batches, telemetry.Batch{
		Device: device, Session: f.Session, Seq: f.Seq, Ingest: d.now, Readings: readings,
	})
	f.Index = append(f.Index, index)
}
