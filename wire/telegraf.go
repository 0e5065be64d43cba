package wire

// telegrafDecoder reads metrics as Telegraf writes them.
type telegrafDecoder struct{}

// telegrafField notes a field of the outermost object by which metrics of Telegraf are told.
func (d *Decoder) telegrafField(f field) bool {
	bracket := byte('{')
	if f == fieldMetrics {
		bracket = '['
	}
	if d.scan.peek() == bracket {
		d.top.telegraf = true
	}
	return d.scan.skip()
}

// telegrafElement does so for an element of an array, of which the first decides.
func (d *Decoder) telegrafElement() bool {
	if d.top.form == formArray && d.at.reading == 0 && d.scan.peek() == '{' {
		d.top.telegraf = true
	}
	return d.scan.skip()
}

// isTelegraf reports whether the frame that has been read is of Telegraf: it has the fields, and none of those
// that make a reading.
func (d *Decoder) isTelegraf() bool {
	if !d.top.telegraf {
		return false
	}
	var first *item
	switch d.top.form {
	case formReading:
		first = &d.top.own
	case formArray:
		first = &d.items[0]
	default:
		return false
	}
	return first.verdicts[fieldMetric] == absent && first.verdicts[fieldValue] == absent
}

func (d *Decoder) decodeTelegraf(_ []byte) *Error { return NewError(CodeFormatUnknown, "") }
