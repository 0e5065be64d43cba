package wire

import (
	"slices"

	"weir/telemetry"
)

// finish settles what could not be before the end of the frame was seen: which device each reading is of,
// and times. It fills frame.
func (d *Decoder) finish() *Error {
	f := &d.frame
	if err := d.finishTop(); err != nil {
		return err
	}
	f.Batches, f.Index, f.Rejected = f.Batches[:0], f.Index[:0], f.Rejected[:0]
	f.Total = len(d.items)
	d.readings, d.index = d.readings[:0], d.index[:0]
	envelope := d.top.form == formEnvelope && d.top.own.verdicts[fieldDevice] == good
	fallback := d.opts.DefaultDevice
	if envelope {
		fallback = d.top.own.device
	}
	device, several := "", false
	d.readings = slices.Grow(d.readings, len(d.items))
	d.index = slices.Grow(d.index, len(d.items))
	for i := range d.items {
		it := &d.items[i]
		d.settle(it, fallback, envelope)
		if f, refused := it.refusal(); refused {
			d.reject(i, f, it.verdicts[f])
			continue
		}
		switch {
		case device == "":
			device = it.device
		case device != it.device:
			several = true
		}
		d.readings = append(d.readings, telemetry.Reading{Metric: it.metric, Time: it.time, Value: it.value})
		d.index = append(d.index, i)
	}
	d.group(device, several)
	return nil
}

// finishTop takes over what concerns the whole frame, and refuses it if that is wrong.
func (d *Decoder) finishTop() *Error {
	t, f := &d.top, &d.frame
	switch {
	case t.readings > good:
		return NewError(verdictCodes[t.readings], "readings")
	case t.session > good:
		return NewError(verdictCodes[t.session], "session")
	case t.seq > good:
		return NewError(verdictCodes[t.seq], "seq")
	case t.session == good && t.seq == absent:
		return NewError(CodeSeqMissing, "seq")
	}
	switch v := t.own.verdicts[fieldDevice]; {
	case t.form == formReading:
		d.items = append(d.items, t.own)
	case t.form == formEnvelope && v > good:
		return NewError(verdictCodes[v], "device")
	}
	f.Session, f.Seq, f.HasSeq = t.sessionName, t.seqNumber, t.seq == good
	return nil
}

// settle completes a reading with what the frame and the server add.
func (d *Decoder) settle(it *item, fallback string, envelope bool) {
	switch v := it.verdicts[fieldDevice]; {
	case v == absent && fallback == "":
		it.verdicts[fieldDevice] = deviceMissing
	case v == absent:
		it.device = fallback
		it.verdicts[fieldDevice] = good
	case envelope && v == good:
		it.verdicts[fieldDevice] = deviceConflict
	}
	switch {
	case it.verdicts[fieldMetric] == absent:
		it.verdicts[fieldMetric] = metricMissing
	case it.verdicts[fieldMetric] == good && len(it.device)+1+len(it.metric) > telemetry.MaxPathBytes:
		it.verdicts[fieldMetric] = pathTooLong
	}
	switch {
	case it.verdicts[fieldTime] == absent:
		it.time = d.now
		it.verdicts[fieldTime] = good
	case it.verdicts[fieldTime] == good && it.time > d.now+d.opts.MaxFuture.Microseconds():
		it.verdicts[fieldTime] = timeFuture
	}
	if it.verdicts[fieldValue] == absent {
		it.verdicts[fieldValue] = valueMissing
	}
}

// refusal is the first field that was refused.
func (it *item) refusal() (f field, refused bool) {
	// absent and good have no bit of the others; one byte at a time, as they have just been written.
	if v := &it.verdicts; v[fieldDevice]|v[fieldMetric]|v[fieldTime]|v[fieldValue] <= good {
		return 0, false
	}
	for i, v := range it.verdicts {
		if v > good {
			return field(i), true
		}
	}
	return 0, false
}

func (d *Decoder) reject(index int, f field, v verdict) {
	var path string
	switch {
	case v == notReading:
		path = d.pathOf(index, "")
	case d.top.form == formReading:
		path = fieldNames[f]
	default:
		path = d.pathOf(index, fieldNames[f])
	}
	code := verdictCodes[v]
	d.frame.Rejected = append(d.frame.Rejected, Rejection{Index: index, Code: code, Path: path, Message: messageOf(code)})
}
