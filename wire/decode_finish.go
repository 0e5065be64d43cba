package wire

// finish completes a frame of native JSON.
func (d *Decoder) finish() *Error {
	if err := d.finishTop(); err != nil {
		return err
	}
	of := owner{fallback: d.opts.DefaultDevice}
	switch t := &d.top; {
	case t.form == formReading:
		d.items = append(d.items, t.own)
	case t.form == formEnvelope && t.own.verdicts[fieldDevice] > good:
		return NewError(verdictCodes[t.own.verdicts[fieldDevice]], "device")
	case t.form == formEnvelope && t.own.verdicts[fieldDevice] == good:
		of = owner{fallback: t.own.device, sole: true}
	}
	d.gathering.finish(of, d)
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
	case t.unit > good:
		return NewError(verdictCodes[t.unit], "ts_unit")
	case t.backlog > good:
		return NewError(verdictCodes[t.backlog], "backlog")
	}
	f.Session, f.Seq, f.HasSeq = t.sessionName, t.seqNumber, t.seq == good
	f.Backlog = t.isBacklog
	return nil
}

func (d *Decoder) rejectionPath(index int, f field, v verdict) string {
	switch {
	case v == notReading:
		return d.pathOf(index, "")
	case d.top.form == formReading:
		return fieldNames[f]
	}
	return d.pathOf(index, fieldNames[f])
}
