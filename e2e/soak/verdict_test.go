//go:build soak

package soak

import (
	"bytes"
	"slices"
	"strings"

	device "weir/sdk/go"
	"weir/wire"
)

// checkStored compares each reading in Kafka with the one that its device has written down, and finds those that are
// there under two names.
func (p *proof) checkStored() {
	seen := map[string]map[float64]frameKey{}
	for key, s := range p.stored {
		if seen[key.device] == nil {
			seen[key.device] = map[float64]frameKey{}
		}
		var whole *frame
		for topic, rows := range s.rows {
			for _, row := range rows {
				f := p.owner[key.device][row.Value]
				if f == nil {
					p.violation("%s: %v holds %s, which nobody has sent", topic, key, text(row))
					continue
				}
				if first, twice := seen[key.device][row.Value]; twice {
					p.violation("%s of %s is stored as %v and as %v", text(row), key.device, first, key)
				}
				seen[key.device][row.Value] = key
				if whole != nil && whole != f {
					p.violation("%v holds readings of two frames", key)
				}
				whole = f
				p.compare(topic, key, f, row)
			}
		}
		if whole != nil {
			p.name(whole, key)
		}
	}
}

// compare checks one stored reading.
func (p *proof) compare(topic string, key frameKey, f *frame, row sample) {
	i := slices.IndexFunc(f.Samples, func(s sample) bool { return s.Value == row.Value })
	sent := f.Samples[i]
	aged := strings.HasSuffix(key.session, backlogSuffix) || sent.Fate == late
	switch {
	case sent.Metric != row.Metric || sent.Time != row.Time:
		p.violation("%v: %s was sent, %s is stored", key, text(sent), text(row))
	case sent.Fate == bad:
		p.violation("%v: %s is stored and had to be refused", key, text(row))
	case aged != (topic == wire.TopicBacklog):
		p.violation("%v: %s is in %s", key, text(row), topic)
	}
	p.Stored++
	if topic == wire.TopicBacklog {
		p.Backlog++
	}
}

// name checks the name under which a frame is stored, or learns it: a device that is killed while Send runs does not
// know the number.
func (p *proof) name(f *frame, key frameKey) {
	plain := frameKey{key.device, strings.TrimSuffix(key.session, backlogSuffix), key.seq}
	switch {
	case f.taken && (f.Session != plain.session || f.Seq != plain.seq):
		p.violation("%s was sent as %s/%d and is stored as %v", text(f.Samples), f.Session, f.Seq, key)
	case !f.taken:
		f.taken, f.Session, f.Seq = true, plain.session, plain.seq
		if told := p.byKey[plain]; told != nil {
			f.receipts, f.rejected = told.receipts, told.rejected
		}
		p.byKey[plain] = f
	}
}

// checkFrames checks that each frame is where its receipt says, and counts those that have none.
func (p *proof) checkFrames() {
	for _, frames := range p.frames {
		for _, f := range frames {
			if f.taken {
				p.checkFrame(f)
				if len(f.receipts) == 0 {
					p.Untold++
				}
			}
		}
	}
	for key, f := range p.byKey {
		if f.Samples == nil && !p.isOrphan(f) {
			p.violation("%v has a receipt for %d readings, and none of them is stored", key, f.receipts[0].Receipt.Readings)
		}
	}
}

// checkTold checks that devices learned what became of their frames. The SDK strikes a frame out and then tells of it, so
// that each kill may take one receipt along. A run without frames or receipts proves nothing.
func (p *proof) checkTold() {
	kills := 0
	for _, d := range p.devices {
		kills += int(d.kills.Load())
	}
	if p.Untold > kills {
		p.violation("%d frames were taken and have no receipt, devices were killed %d times", p.Untold, kills)
	}
	if p.Frames == 0 || p.Receipts == 0 {
		p.violation("%d frames, %d receipts: nothing is proved", p.Frames, p.Receipts)
	}
}

// isOrphan reports whether a frame that its device knows only by the receipt is one of which nothing was stored.
func (p *proof) isOrphan(f *frame) bool {
	for _, e := range f.receipts {
		if r := e.Receipt; r.Accepted+r.Duplicate+r.Late > 0 {
			return false
		}
	}
	return true
}

func (p *proof) checkFrame(f *frame) {
	there := map[float64]bool{}
	for _, session := range []string{f.Session, f.Session + backlogSuffix} {
		if s := p.stored[frameKey{f.device, session, f.Seq}]; s != nil {
			for _, rows := range s.rows {
				for _, row := range rows {
					there[row.Value] = true
				}
			}
		}
	}
	for i, s := range f.Samples {
		if s.Fate == bad {
			p.Refused++
			p.checkLetter(f, i)
		} else if !there[s.Value] {
			p.violation("%s %s/%d: %s was taken, and is not in Kafka (receipts: %s)", f.device, f.Session, f.Seq, text(s), text(f.receipts))
		}
	}
	for _, e := range f.receipts {
		p.checkReceipt(f, e.Receipt, len(there))
	}
	for _, e := range f.rejected {
		p.checkRejection(f, e.Rejected)
	}
}

// checkReceipt compares what a receipt counts with what is stored.
func (p *proof) checkReceipt(f *frame, r *device.Receipt, there int) {
	if n := r.Accepted + r.Duplicate + r.Late; n != there || n+r.Rejected != len(f.Samples) {
		p.violation("%s %s/%d: the receipt says %s, stored are %d of %d", f.device, f.Session, f.Seq, text(r), there, len(f.Samples))
	}
}

// checkRejection checks that what a device was told about a reading is what it deserves.
func (p *proof) checkRejection(f *frame, r *device.Rejection) {
	if r.Index >= 0 && (r.Index >= len(f.Samples) || f.Samples[r.Index].Fate != bad) {
		p.violation("%s %s/%d: reading %d was refused with %s", f.device, f.Session, f.Seq, r.Index, r.Code)
	}
	if r.Index < 0 && slices.ContainsFunc(f.Samples, func(s sample) bool { return s.Fate != bad }) {
		p.violation("%s %s/%d: the frame was refused with %s", f.device, f.Session, f.Seq, r.Code)
	}
}

// checkLetter finds the dead letter of a reading that is refused: the frame, and the reading's place in it.
func (p *proof) checkLetter(f *frame, index int) {
	for i := range p.letters {
		l := &p.letters[i]
		if l.Device != f.device || len(l.Rejected) > 0 && !slices.Contains(l.Rejected, uint32(index)) {
			continue
		}
		if f.Body != nil && bytes.Equal(l.Raw, f.Body) || f.Body == nil && p.isLetterOf(l, f) {
			return
		}
	}
	p.violation("%s %s/%d: no dead letter for reading %d, %s", f.device, f.Session, f.Seq, index, text(f.Samples[index]))
}

// isLetterOf reads the frame of a dead letter as it came.
func (p *proof) isLetterOf(l *wire.DeadLetter, f *frame) bool {
	format, ok := wire.ParseFormat(l.Format)
	if !ok {
		return false
	}
	decoder := wire.NewFrameDecoder(format, wire.DecoderOptions{DefaultDevice: l.DefaultDevice, Now: func() int64 { return l.Time }})
	defer decoder.Release()
	decoded, err := decoder.Decode(l.Raw)
	return err == nil && decoded.Seq == f.Seq && strings.TrimSuffix(decoded.Session, backlogSuffix) == f.Session &&
		len(decoded.Rejected) > 0 && decoded.Total == len(f.Samples)
}
