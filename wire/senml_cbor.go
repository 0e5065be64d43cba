package wire

import "math"

// senmlCBORLabels are the labels by their integers (RFC 8428, 6), which begin at senmlFirst.
var senmlCBORLabels = [...]senmlLabel{
	senmlBs, senmlBv, senmlBu, senmlBt, senmlBn, senmlBver, // -6 to -1
	senmlN, senmlU, senmlV, senmlVs, senmlVb, senmlS, senmlT, senmlUt, senmlVd,
}

const senmlFirst = -6

// senmlCBORDecoder reads SenML in CBOR.
type senmlCBORDecoder struct {
	senmlCore
	read cborReader
}

// Inlined, it would make the stack of every connection larger that may use it.
//
//go:noinline
func newSenMLCBORDecoder(opts DecoderOptions) *senmlCBORDecoder {
	return &senmlCBORDecoder{senmlCore: newSenMLCore(opts)}
}

func (d *senmlCBORDecoder) Decode(frame []byte) (*Frame, error) {
	d.beginPack(len(frame))
	if len(frame) == 0 {
		return nil, NewError(CodeFrameEmpty, "")
	}
	if err := cborMode.Wellformed(frame); err != nil {
		return nil, &Error{Code: CodeFormatSyntax, Message: "not well-formed CBOR within bounds: " + err.Error()}
	}
	d.read = cborReader{data: frame}
	d.pack()
	d.read.data = nil
	return d.finishPack()
}

func (d *senmlCBORDecoder) pack() {
	r := &d.read
	h := r.head()
	if h.major != cborArray {
		d.err = &Error{Code: CodeFormatSyntax, Message: "a SenML pack is an array"}
		return
	}
	for i := 0; r.more(i, h.arg); i++ {
		if r.peek() != cborMap {
			r.skip()
			if !d.notRecord() {
				return
			}
			continue
		}
		if !d.readRecord() || !d.endRecord() {
			return
		}
	}
}

func (d *senmlCBORDecoder) readRecord() bool {
	r := &d.read
	h := r.head()
	for i := 0; r.more(i, h.arg); i++ {
		l, ok := d.label()
		switch {
		case !ok:
			return false
		case l == senmlNone:
			r.skip()
		case !d.meet(l) || !d.field(l):
			return false
		}
	}
	return true
}

// label reads a label: an integer for the known ones, or a text.
func (d *senmlCBORDecoder) label() (l senmlLabel, ok bool) {
	r := &d.read
	switch r.peek() {
	case cborUnsigned, cborNegative:
		n, _ := r.number()
		if at := n.float - senmlFirst; at >= 0 && at < float64(len(senmlCBORLabels)) {
			return senmlCBORLabels[int(at)], true
		}
		return senmlNone, true
	case cborText:
		name, ok := r.text()
		if !ok {
			return senmlNone, d.refuse("", "a label is not valid text")
		}
		if l = senmlLabelOf(name); l == senmlNone {
			return l, d.unknown(name)
		}
		return l, true
	}
	return senmlNone, d.refuse("", "a label is neither integer nor text")
}

// field reads the value of a field.
func (d *senmlCBORDecoder) field(l senmlLabel) bool {
	r := &d.read
	switch bit := uint32(1) << l; {
	case senmlTexts&bit != 0:
		raw, ok := r.text()
		if !ok {
			return d.wrongType(l)
		}
		d.setText(l, raw)
		return true
	case senmlTimes&bit != 0:
		n, ok := r.number()
		if !ok {
			return d.wrongType(l)
		}
		t, fits := n.micros()
		return d.setTime(l, t, fits)
	case senmlNumbers&bit != 0:
		n, ok := r.number()
		if !ok {
			return d.wrongType(l)
		}
		return d.setNumber(l, n.float, n.verdict())
	case l == senmlVb:
		const no, yes = 0xf4, 0xf5
		switch first := r.data[r.pos]; first {
		case no, yes:
			r.pos++
			d.setBool(first == yes)
			return true
		}
	}
	r.skip()
	return d.wrongType(l)
}

// verdict is that of the number as a value.
func (n cborNumber) verdict() verdict {
	switch {
	case n.integer && n.mantissa > maxExactInt:
		return valueUnsafe
	case !isFinite(n.float):
		return valueNotFinite
	}
	return good
}

// micros is a number of seconds in microseconds. A float is rounded, as it has come from a decimal.
func (n cborNumber) micros() (t int64, fits bool) {
	const limit = maxSenMLTime / 1_000_000
	if !(math.Abs(n.float) < limit) {
		return 0, false
	}
	if !n.integer {
		return int64(math.RoundToEven(n.float * 1e6)), true
	}
	if t = int64(n.mantissa) * 1_000_000; n.negative {
		t = -t
	}
	return t, true
}
