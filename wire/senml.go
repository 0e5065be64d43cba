package wire

import (
	"fmt"
	"math/bits"
	"strconv"
)

// senmlVersion is the highest version of SenML that is understood.
const senmlVersion = 10

// senmlRelative is below which a time is relative to the time of arrival, in microseconds: 2^28 seconds.
const senmlRelative = (1 << 28) * 1_000_000

// maxSenMLTime bounds a time or base time, so that their sum has no overflow.
const maxSenMLTime = 1 << 61

// senmlLabel is a label of a record.
type senmlLabel uint8

const (
	senmlNone senmlLabel = iota
	senmlBver
	senmlBn
	senmlBt
	senmlBu
	senmlBv
	senmlBs
	senmlN
	senmlU
	senmlV
	senmlVs
	senmlVb
	senmlVd
	senmlS
	senmlT
	senmlUt

	senmlBase    = 1<<senmlBver | 1<<senmlBn | 1<<senmlBt | 1<<senmlBu | 1<<senmlBv | 1<<senmlBs
	senmlValues  = 1<<senmlV | 1<<senmlVs | 1<<senmlVb | 1<<senmlVd
	senmlTexts   = 1<<senmlBn | 1<<senmlBu | 1<<senmlN | 1<<senmlU | 1<<senmlVs
	senmlTimes   = 1<<senmlBt | 1<<senmlT
	senmlNumbers = 1<<senmlBver | 1<<senmlBv | 1<<senmlBs | 1<<senmlV | 1<<senmlS
)

var senmlLabels = [...]string{
	senmlBver: "bver", senmlBn: "bn", senmlBt: "bt", senmlBu: "bu", senmlBv: "bv", senmlBs: "bs", senmlN: "n",
	senmlU: "u", senmlV: "v", senmlVs: "vs", senmlVb: "vb", senmlVd: "vd", senmlS: "s", senmlT: "t", senmlUt: "ut",
}

func senmlLabelOf(name []byte) senmlLabel {
	switch string(name) {
	case "n":
		return senmlN
	case "v":
		return senmlV
	case "t":
		return senmlT
	case "u":
		return senmlU
	case "s":
		return senmlS
	}
	if len(name) < 2 || len(name) > len("bver") {
		return senmlNone
	}
	for l := senmlBver; l <= senmlUt; l++ {
		if senmlLabels[l] == string(name) {
			return l
		}
	}
	return senmlNone
}

// senmlCore makes readings of the records of SenML (RFC 8428), however they are encoded. The methods set… take a
// record's fields, endRecord follows.
type senmlCore struct {
	gathering
	resolver senmlResolver
	// spots has for each item where it is.
	spots []senmlSpot
	// record is the place of the record being read, err why the pack is refused.
	record int
	err    *Error
	// size is how long the pack is.
	size int

	base senmlBaseFields
	rec  senmlRecord
}

// senmlSpot is a record's place in the pack, and the label of the value that makes the reading.
type senmlSpot struct {
	record int
	label  senmlLabel
}

// senmlBaseFields hold for the record that has them and those that follow.
type senmlBaseFields struct {
	name, unit []byte
	time       int64
	value, sum float64
	// version is the pack's, 0 if none was said.
	version float64
	seen    uint32
}

// senmlRecord is a record as written: the verdicts are absent, good, or why the field was refused.
type senmlRecord struct {
	// seen has a bit for each label.
	seen                         uint32
	name, unit                   []byte
	time                         int64
	value, sum                   float64
	named, timed, valued, summed verdict
}

func newSenMLCore(opts DecoderOptions) senmlCore {
	opts = opts.withDefaults()
	return senmlCore{gathering: gathering{opts: opts}, resolver: newSenMLResolver(&opts)}
}

func (d *senmlCore) beginPack(size int) {
	d.release()
	d.begin()
	d.spots = d.spots[:0]
	d.record, d.err, d.size = 0, nil, size
	d.base = senmlBaseFields{name: d.base.name[:0], unit: d.base.unit[:0]}
	d.beginRecord()
}

// Release implements FrameDecoder.
func (d *senmlCore) Release() { d.release() }

func (d *senmlCore) release() {
	d.gathering.release()
	if cap(d.spots) > keepReadings {
		d.spots = nil
	}
	if cap(d.base.name)+cap(d.base.unit)+cap(d.rec.name)+cap(d.rec.unit) > keepScratch {
		d.base, d.rec = senmlBaseFields{}, senmlRecord{}
	}
}

// finishPack makes the Frame.
func (d *senmlCore) finishPack() (*Frame, error) {
	if d.err != nil {
		return nil, d.err
	}
	d.frame.Session, d.frame.Seq, d.frame.HasSeq = "", 0, false
	d.finish(owner{fallback: d.opts.DefaultDevice}, d)
	return &d.frame, nil
}

// refuse refuses the pack for something in the current record.
func (d *senmlCore) refuse(name, why string) bool {
	if d.err == nil {
		d.err = &Error{Code: CodeFormatSyntax, Path: d.place(d.record, name), Message: why}
	}
	return false
}

func (d *senmlCore) place(record int, name string) string {
	path := "[" + strconv.Itoa(record) + "]"
	if name == "" {
		return path
	}
	return path + "." + name
}

func (d *senmlCore) beginRecord() {
	d.rec = senmlRecord{name: d.rec.name[:0], unit: d.rec.unit[:0]}
}

// meet notes a label; ok is false if the record has it already.
func (d *senmlCore) meet(l senmlLabel) (ok bool) {
	if d.rec.seen&(1<<l) != 0 {
		return d.refuse(senmlLabels[l], "a record has a field twice")
	}
	d.rec.seen |= 1 << l
	return true
}

// unknown takes a field that is not known: one whose name ends in _ must be understood (RFC 8428, 4.4).
func (d *senmlCore) unknown(name []byte) bool {
	if len(name) > 0 && name[len(name)-1] == '_' {
		return d.refuse(string(clip(name)), "a field that must be understood is not known")
	}
	return true
}

// wrongType takes a field whose type is not that of its label.
func (d *senmlCore) wrongType(l senmlLabel) bool {
	switch l {
	case senmlN:
		d.rec.named = metricType
	case senmlT:
		d.rec.timed = timeType
	case senmlS:
		d.rec.summed = valueType
	case senmlV, senmlVs, senmlVb, senmlVd:
		d.rec.valued = valueType
	case senmlU, senmlUt:
	default:
		return d.refuse(senmlLabels[l], "a base field is of another type")
	}
	return true
}

func (d *senmlCore) setText(l senmlLabel, raw []byte) {
	switch l {
	case senmlBn:
		d.base.name = append(d.base.name[:0], raw...)
	case senmlBu:
		d.base.unit = append(d.base.unit[:0], raw...)
	case senmlN:
		d.rec.name = append(d.rec.name[:0], raw...)
	case senmlU:
		d.rec.unit = append(d.rec.unit[:0], raw...)
	case senmlVs:
		d.rec.value, d.rec.valued = d.text(raw)
	}
}

func (d *senmlCore) setTime(l senmlLabel, micros int64, fits bool) bool {
	fits = fits && micros < maxSenMLTime && micros > -maxSenMLTime
	if l == senmlT {
		d.rec.time, d.rec.timed = micros, good
		if !fits {
			d.rec.timed = timeInvalid
		}
		return true
	}
	d.base.time = micros
	d.base.seen |= 1 << l
	return fits || d.refuse(senmlLabels[l], messageOf(CodeTimeInvalid))
}

func (d *senmlCore) setNumber(l senmlLabel, value float64, v verdict) bool {
	switch l {
	case senmlV:
		d.rec.value, d.rec.valued = value, v
		return true
	case senmlS:
		d.rec.sum, d.rec.summed = value, v
		return true
	}
	if v != good {
		return d.refuse(senmlLabels[l], messageOf(verdictCodes[v]))
	}
	switch l {
	case senmlBver:
		if value > senmlVersion {
			return d.refuse(senmlLabels[l], fmt.Sprintf("version %v of SenML is not known", value))
		}
		if d.base.seen&(1<<senmlBver) != 0 && value != d.base.version {
			return d.refuse(senmlLabels[l], "a pack of several versions")
		}
		d.base.version = value
	case senmlBv:
		d.base.value = value
	case senmlBs:
		d.base.sum = value
	}
	d.base.seen |= 1 << l
	return true
}

func (d *senmlCore) setBool(value bool) {
	d.rec.value, d.rec.valued = 0, good
	if value {
		d.rec.value = 1
	}
}

// endRecord makes the readings of a record: one of its value, one of its sum. One that has base fields only makes
// none.
func (d *senmlCore) endRecord() bool {
	r := &d.rec
	defer d.nextRecord()
	if r.seen&^senmlBase == 0 {
		return true
	}
	resolved := d.resolver.resolve(&d.base, r)
	values := r.seen & senmlValues
	label := senmlLabel(bits.TrailingZeros32(values))
	if r.seen&(1<<senmlS) == 0 && d.base.seen&(1<<senmlBs) != 0 {
		// A missing sum counts as 0 beside a base sum.
		r.sum, r.summed = 0, good
		r.seen |= 1 << senmlS
	}
	switch {
	case bits.OnesCount32(values) > 1:
		r.valued = valueType
	case values == 0:
		label = senmlV
		if d.base.seen&(1<<senmlBv) != 0 {
			// A missing value counts as 0 beside a base value.
			r.value, r.valued = 0, good
		}
	}
	if label == senmlV && r.valued == good {
		r.value, r.valued = sum(r.value, d.base.value)
	}
	if values != 0 || r.valued == good || r.seen&(1<<senmlS) == 0 {
		if !d.add(label, &resolved.value, r.value, r.valued) {
			return false
		}
	}
	if r.seen&(1<<senmlS) == 0 {
		return true
	}
	if r.summed == good {
		r.sum, r.summed = sum(r.sum, d.base.sum)
	}
	return d.add(senmlS, &resolved.sum, r.sum, r.summed)
}

func (d *senmlCore) nextRecord() {
	d.record++
	d.beginRecord()
}

func sum(a, b float64) (float64, verdict) {
	if !isFinite(a + b) {
		return 0, valueNotFinite
	}
	return a + b, good
}

// notRecord takes an element of a pack that is no record.
func (d *senmlCore) notRecord() bool {
	defer d.nextRecord()
	return d.add(senmlNone, &senmlName{verdict: notReading}, 0, absent)
}

// add makes a reading of the current record.
func (d *senmlCore) add(label senmlLabel, name *senmlName, value float64, v verdict) bool {
	if d.full() {
		if d.err == nil {
			d.err = &Error{Code: CodeReadingsTooMany, Path: d.place(d.record, ""), Message: messageOf(CodeReadingsTooMany)}
		}
		return false
	}
	d.spots = append(d.spots, senmlSpot{d.record, label})
	it := d.next(d.size)
	it.device, it.verdicts[fieldDevice] = name.device, name.verdict
	it.metric, it.verdicts[fieldMetric] = name.metric, name.metricVerdict
	if d.rec.named > good {
		it.verdicts[fieldMetric] = d.rec.named
	}
	it.value, it.verdicts[fieldValue] = value, v
	it.time, it.verdicts[fieldTime] = d.time()
	return true
}

// time is the record's, resolved.
func (d *senmlCore) time() (int64, verdict) {
	if d.rec.timed > good {
		return 0, d.rec.timed
	}
	if d.rec.timed == absent && d.base.seen&(1<<senmlBt) == 0 {
		return 0, absent
	}
	t := d.base.time + d.rec.time
	if t < senmlRelative {
		t += d.now
	}
	return t, timeVerdict(t, true)
}

func (d *senmlCore) rejectionPath(index int, f field, v verdict) string {
	spot := d.spots[index]
	switch {
	case v == notReading:
		return d.place(spot.record, "")
	case f == fieldTime:
		return d.place(spot.record, senmlLabels[senmlT])
	case f == fieldValue:
		return d.place(spot.record, senmlLabels[spot.label])
	}
	return d.place(spot.record, senmlLabels[senmlN])
}
