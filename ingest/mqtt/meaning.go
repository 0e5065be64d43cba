package mqtt

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"

	"weir/telemetry"
	"weir/wire"
)

// Topics of commands: DEVICE/_commands, and DEVICE/_commands/ID/result. No device's path holds such a segment.
const (
	commandsSuffix = "/_commands"
	resultSuffix   = "/result"
)

// commandTopic is the device whose commands a filter asks for.
func commandTopic(filter string) (device string, ok bool) {
	device, ok = strings.CutSuffix(filter, commandsSuffix)
	return device, ok && telemetry.CheckDevice(device) == nil
}

// resultTopic is what a result is about.
func resultTopic(topic string) (device, id string, ok bool) {
	rest, ok := strings.CutSuffix(topic, resultSuffix)
	if !ok {
		return "", "", false
	}
	device, id, ok = strings.Cut(rest, commandsSuffix+"/")
	return device, id, ok && id != "" && !strings.Contains(id, "/") && telemetry.CheckDevice(device) == nil
}

// frameOf says what a publish means. The topic is the path of a series when the payload is a bare value, or an object
// with a value and no metric; else it is that of the device for readings that name none.
func frameOf(topic string, pk *packets.Packet) Frame {
	f := Frame{ContentType: pk.Properties.ContentType, Payload: pk.Payload}
	if pk.Properties.PayloadFormat == 1 && !utf8.Valid(pk.Payload) {
		return refused(f, wire.CodeJSONUTF8, "payload", "the payload format indicator promises UTF-8")
	}
	if refusal := f.number(pk.Properties.User); refusal != nil {
		f.Refusal = refusal
		return f
	}
	if device, metric, ok := telemetry.SplitSeries(topic); ok && valueOnly(&f) {
		if refusal := topicError(telemetry.CheckDevice(device), telemetry.CheckMetric(metric)); refusal != nil {
			f.Refusal = refusal
			return f
		}
		f.Payload = reading(device, metric, f.Payload)
		return f
	}
	if f.Refusal = topicError(telemetry.CheckDevice(topic)); f.Refusal == nil {
		f.Device = topic
	}
	return f
}

func refused(f Frame, code, path, message string) Frame {
	f.Refusal = &wire.Error{Code: code, Path: path, Message: message}
	return f
}

func topicError(errs ...error) *wire.Error {
	for _, err := range errs {
		var e *telemetry.PathError
		if errors.As(err, &e) {
			return &wire.Error{Code: e.Code, Path: "topic", Message: e.Reason}
		}
	}
	return nil
}

// number takes session and seq from the user properties.
func (f *Frame) number(user []packets.UserProperty) *wire.Error {
	for _, p := range user {
		switch p.Key {
		case "session":
			f.Session = strings.Clone(p.Val)
			if f.Session == "" || len(f.Session) > wire.MaxSessionBytes {
				return wire.NewError(wire.CodeSessionInvalid, "session")
			}
		case "seq":
			seq, err := strconv.ParseUint(p.Val, 10, 63)
			if err != nil {
				return wire.NewError(wire.CodeSeqInvalid, "seq")
			}
			f.Seq, f.HasSeq = seq, true
		}
	}
	if f.Session != "" && !f.HasSeq {
		return wire.NewError(wire.CodeSeqMissing, "session")
	}
	return nil
}

// valueOnly reports whether the payload is a value, so that the topic has to name the metric.
func valueOnly(f *Frame) bool {
	media, _, _ := strings.Cut(f.ContentType, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "", "application/json", "text/plain":
	default:
		return false
	}
	payload := bytes.TrimSpace(f.Payload)
	if len(payload) == 0 {
		return false
	}
	if payload[0] == '{' {
		return valueObject(payload)
	}
	if isScalar(payload) {
		f.ContentType = ""
		return true
	}
	return false
}

func isScalar(text []byte) bool {
	switch string(text) {
	case "true", "false", "NaN", "Infinity", "-Infinity":
		return true
	}
	return len(text) <= 64 && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && json.Valid(text)
}

// valueObject reports whether an object has a value, and neither metric nor readings, at its top level.
func valueObject(text []byte) bool {
	value := false
	depth, key := 0, false // key: the next string at depth 1 is a field's name
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := stringEnd(text, i+1)
			if end < 0 {
				return false
			}
			if depth == 1 && key {
				switch string(text[i+1 : end]) {
				case "metric", "readings":
					return false
				case "value":
					value = true
				}
				key = false
			}
			i = end
		case '{', '[':
			depth++
			key = depth == 1
		case '}', ']':
			depth--
		case ',':
			key = depth == 1
		}
	}
	return value
}

// stringEnd is where the string that began before i ends.
func stringEnd(text []byte, i int) int {
	for ; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// reading names device and metric in a payload that does not.
func reading(device, metric string, payload []byte) []byte {
	payload = bytes.TrimSpace(payload)
	dst := make([]byte, 0, len(payload)+len(device)+len(metric)+40)
	dst = append(dst, `{"device":`...)
	dst = quote(dst, device)
	dst = append(dst, `,"metric":`...)
	dst = quote(dst, metric)
	if payload[0] == '{' {
		dst = append(dst, ',')
		return append(dst, payload[1:]...)
	}
	dst = append(dst, `,"value":`...)
	dst = append(dst, payload...)
	return append(dst, '}')
}

func quote(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...) // a string cannot fail
	}
	return append(dst, text...)
}
