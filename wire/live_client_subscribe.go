package wire

import (
	"errors"
	"strconv"
	"strings"

	"weir/telemetry"
)

func (d *clientDecoder) subscribe() bool {
	sub := &d.msg.Subscribe
	if !d.fields("payload", d.subscribeField) {
		return false
	}
	switch {
	case sub.ID == "":
		return d.refuse(CodeFieldMissing, "payload.id")
	case len(sub.Patterns) == 0:
		return d.refuse(CodeFieldMissing, "payload.patterns")
	case sub.Points != 0 && sub.WindowMS == 0:
		return d.refuse(CodeFieldMissing, "payload.window_ms")
	case sub.Points == 0 && sub.WindowMS != 0:
		return d.refuse(CodeFieldMissing, "payload.points")
	case sub.Order != "" && sub.Limit == 0:
		return d.refuse(CodeFieldMissing, "payload.limit")
	}
	return true
}

func (d *clientDecoder) subscribeField(name, path string) (ok bool) {
	sub := &d.msg.Subscribe
	var n int64
	switch name {
	case "id":
		sub.ID, ok = d.id(path)
	case "patterns":
		ok = d.patterns(path)
	case "max_hz":
		sub.MaxHz, ok = d.rate(path)
		sub.HasMaxHz = true
	case "fields":
		ok = d.columns(path)
	case "filter":
		sub.Filter, ok = d.bounded(path, MaxFilterBytes)
	case "order":
		ok = d.order(path)
	case "limit":
		n, ok = d.whole(path, 1, MaxLimit)
		sub.Limit = int(n)
	case "points":
		n, ok = d.whole(path, MinPoints, MaxPoints)
		sub.Points = int(n)
	case "window_ms":
		sub.WindowMS, ok = d.whole(path, 1, MaxWindowMS)
	case "cursor":
		sub.Cursor, ok = d.bounded(path, MaxClientCursorBytes)
	default:
		return d.refuse(CodeFieldUnknown, path)
	}
	return ok
}

// refuseValue fails at path because what is there is none of the values that there are.
func (d *clientDecoder) refuseValue(path, there string) bool {
	d.reason = "there are: " + there
	return d.refuse(CodeFieldValue, path)
}

func (d *clientDecoder) columns(path string) bool {
	set := &d.msg.Subscribe.Columns
	*set = ownColumns
	ok := d.list(path, func(int) (ok bool) {
		name, ok := d.text(d.path)
		if !ok {
			return false
		}
		at := columnIndex(name)
		if at < 0 {
			return d.refuseValue(d.path, strings.Join(columns, ", "))
		}
		*set |= 1 << at
		return true
	})
	*set = set.canonical()
	return ok
}

func (d *clientDecoder) order(path string) (ok bool) {
	sub := &d.msg.Subscribe
	if sub.Order, ok = d.text(path); !ok {
		return false
	}
	if _, known := ParseOrder(sub.Order); !known {
		return d.refuseValue(path, OrderWorst+", and with or without a - before it: "+strings.Join(columns[1:], ", "))
	}
	return true
}

// bounded reads a text of 1 to limit bytes.
func (d *clientDecoder) bounded(path string, limit int) (string, bool) {
	text, ok := d.text(path)
	if ok && (text == "" || len(text) > limit) {
		return "", d.refuse(CodeFieldRange, path)
	}
	return text, ok
}

// list calls item for each item of the array at path that follows, with d.path at the item.
func (d *clientDecoder) list(path string, item func(i int) bool) bool {
	if d.peek() != '[' {
		return d.skip() && d.refuse(CodeFieldType, path)
	}
	if !d.open() {
		return false
	}
	for i := 0; ; i++ {
		more, ok := d.more(i == 0, ']')
		if !more {
			d.path = path
			return ok
		}
		d.path = path + "[" + strconv.Itoa(i) + "]"
		if !item(i) {
			return false
		}
	}
}

func (d *clientDecoder) patterns(path string) bool {
	list := &d.msg.Subscribe.Patterns
	*list = nil
	return d.list(path, func(i int) bool {
		if i == MaxPatterns {
			return d.refuse(CodePatternsTooMany, path)
		}
		p, ok := d.pattern(d.path)
		*list = append(*list, p)
		return ok
	})
}

func (d *clientDecoder) pattern(path string) (telemetry.Pattern, bool) {
	d.path = path
	text, ok := d.text(path)
	if !ok {
		return telemetry.Pattern{}, false
	}
	p, err := telemetry.ParsePattern(text)
	if err != nil {
		code := telemetry.CodePatternForm
		var e *telemetry.PathError
		if errors.As(err, &e) {
			code = e.Code
		}
		return p, d.refuse(code, path)
	}
	return p, true
}

func (d *clientDecoder) rate(path string) (float64, bool) {
	if c := d.peek(); c != '-' && !isDigit(c) {
		return 0, d.skip() && d.refuse(CodeFieldType, path)
	}
	n, ok := d.number()
	if !ok {
		return 0, false
	}
	hz, finite := d.float(n)
	if !finite || hz < 0 || hz > MaxRate {
		return 0, d.refuse(CodeFieldRange, path)
	}
	return hz, true
}
