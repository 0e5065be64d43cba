package wire

import (
	"errors"
	"strconv"

	"weir/telemetry"
)

// form is the form of a frame.
type form uint8

const (
	formReading form = iota
	formArray
	formEnvelope
)

// topFields are the fields of the outermost object besides a reading's own.
type topFields struct {
	form form
	// own holds the fields of the object as a reading; of an envelope only the device counts.
	own item
	// session, seq and readings: whether present, valid, or refused.
	session, seq, readings verdict
	sessionName            string
	seqNumber              uint64
	// backlog and unit likewise.
	backlog, unit verdict
	isBacklog     bool
	timeUnit      TimeUnit
	// telegraf: there is a field that metrics of Telegraf have; telegrafForm: formEnvelope if it is "metrics".
	telegraf     bool
	telegrafForm form
}

// item is a reading as written: each field with what is wrong with it.
type item struct {
	device, metric string
	time           int64
	value          float64
	verdicts       [fieldCount]verdict
}

// field is one that a frame may have.
type field uint8

const (
	// Fields of a reading, in the order in which their faults are reported.
	fieldDevice field = iota
	fieldMetric
	fieldTime
	fieldValue
	// Fields of an envelope.
	fieldSession
	fieldSeq
	fieldReadings
	fieldBacklog
	fieldTimeUnit
	// Fields by which metrics of Telegraf are told.
	fieldMetrics
	fieldFields
	// fieldUnknown is any other, fieldNone a place between fields.
	fieldUnknown
	fieldNone

	// fieldCount is how many fields a reading has.
	fieldCount = fieldValue + 1
)

var fieldNames = [fieldUnknown]string{
	fieldDevice: "device", fieldMetric: "metric", fieldTime: "ts", fieldValue: "value",
	fieldSession: "session", fieldSeq: "seq", fieldReadings: "readings", fieldBacklog: "backlog", fieldTimeUnit: "ts_unit",
	fieldMetrics: "metrics", fieldFields: "fields",
}

func fieldOf(name []byte) field {
	switch string(name) {
	case "device":
		return fieldDevice
	case "metric":
		return fieldMetric
	case "ts":
		return fieldTime
	case "value":
		return fieldValue
	case "session":
		return fieldSession
	case "seq":
		return fieldSeq
	case "readings":
		return fieldReadings
	case "backlog":
		return fieldBacklog
	case "ts_unit":
		return fieldTimeUnit
	case "metrics":
		return fieldMetrics
	case "fields":
		return fieldFields
	}
	return fieldUnknown
}

// place is where the scanner is: in which reading (-1: none) and at which field; name is that of an unknown
// one.
type place struct {
	reading int
	field   field
	name    []byte
}

// verdict is what is known of a field: absent, good, or the code with which it was refused.
type verdict uint8

const (
	absent verdict = iota
	good
	notReading
	pathEmpty
	pathTooLong
	pathTooDeep
	pathSegment
	pathWildcard
	pathReserved
	pathChar
	deviceMissing
	deviceType
	deviceConflict
	metricMissing
	metricType
	timeType
	timeInvalid
	timeFuture
	valueMissing
	valueType
	valueNotFinite
	valueUnsafe
	sessionInvalid
	seqInvalid
	readingsType
	backlogType
	unitUnknown
	templateMismatch
	syntaxInvalid
	// valueText: a text that may be a label.
	valueText
)

var verdictCodes = [...]string{
	notReading:     CodeReadingType,
	pathEmpty:      telemetry.CodePathEmpty,
	pathTooLong:    telemetry.CodePathTooLong,
	pathTooDeep:    telemetry.CodePathTooDeep,
	pathSegment:    telemetry.CodePathSegment,
	pathWildcard:   telemetry.CodePathWildcard,
	pathReserved:   telemetry.CodePathReserved,
	pathChar:       telemetry.CodePathChar,
	deviceMissing:  CodeDeviceMissing,
	deviceType:     CodeDeviceType,
	deviceConflict: CodeDeviceConflict,
	metricMissing:  CodeMetricMissing,
	metricType:     CodeMetricType,
	timeType:       CodeTimeType,
	timeInvalid:    CodeTimeInvalid,
	timeFuture:     CodeTimeFuture,
	valueMissing:   CodeValueMissing,
	valueType:      CodeValueType,
	valueNotFinite: CodeValueNotFinite,
	valueUnsafe:    CodeValueUnsafe,
	sessionInvalid: CodeSessionInvalid,
	seqInvalid:     CodeSeqInvalid,
	readingsType:   CodeReadingsType,
	backlogType:    CodeFieldType,
	unitUnknown:    CodeTimeUnit,

	templateMismatch: CodeTemplateMismatch,
	syntaxInvalid:    CodeFormatSyntax,
	valueText:        CodeValueType,
}

// pathVerdict is the verdict for an error of telemetry.CheckDevice or CheckMetric.
func pathVerdict(err error) verdict {
	var e *telemetry.PathError
	if errors.As(err, &e) {
		for v := pathEmpty; v <= pathChar; v++ {
			if verdictCodes[v] == e.Code {
				return v
			}
		}
	}
	return pathChar
}

// path is that of the place the scanner is at.
func (d *Decoder) path() string {
	switch f := d.at.field; f {
	case fieldNone:
		return d.pathOf(d.at.reading, "")
	case fieldUnknown:
		return d.pathOf(d.at.reading, string(clip(d.at.name)))
	default:
		return d.pathOf(d.at.reading, fieldNames[f])
	}
}

// pathOf is the path of the field called name of the reading at index, of the reading itself if name is
// empty, or, with index -1, of a field of the outermost object.
func (d *Decoder) pathOf(index int, name string) string {
	var prefix string
	switch {
	case index < 0:
		return name
	case d.top.form == formArray:
		prefix = "[" + strconv.Itoa(index) + "]"
	default:
		prefix = "readings[" + strconv.Itoa(index) + "]"
	}
	if name == "" {
		return prefix
	}
	return prefix + "." + name
}

// clip bounds a field name that a client made up.
func clip(name []byte) []byte {
	return name[:min(len(name), 64)]
}
