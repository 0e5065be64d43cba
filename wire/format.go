package wire

import (
	"mime"
	"strings"
)

// Format is a format in which devices send.
type Format uint8

const (
	// FormatAuto: the format of each frame is told from its first bytes.
	FormatAuto Format = iota
	// FormatJSON is a reading, an array of readings, an envelope, or metrics as Telegraf writes them.
	FormatJSON
	// FormatSenMLJSON and FormatSenMLCBOR are SenML (RFC 8428).
	FormatSenMLJSON
	FormatSenMLCBOR
	// FormatInflux is InfluxDB's line protocol.
	FormatInflux
	// FormatColumns is a protobuf message, weir.v1.DeviceFrame or ReadingBatch.
	FormatColumns
)

// formats has the name of each format, which is also the end of its subprotocol, and its content types.
var formats = [...]struct {
	name  string
	types []string
}{
	FormatAuto:      {"auto", nil},
	FormatJSON:      {"json", []string{"application/json", "text/json"}},
	FormatSenMLJSON: {"senml+json", []string{"application/senml+json", "application/sensml+json"}},
	FormatSenMLCBOR: {"senml+cbor", []string{"application/senml+cbor", "application/sensml+cbor"}},
	FormatInflux:    {"influx", []string{"application/vnd.influx.line-protocol", "application/vnd.influx", "text/x-influx"}},
	FormatColumns: {"columns", []string{
		"application/vnd.weir.columns+protobuf", "application/x-protobuf", "application/protobuf",
	}},
}

// subprotocolPrefix is what the WebSocket subprotocols of formats begin with.
const subprotocolPrefix = "weir.v1."

// String is the format's name as in configuration and dead letters: auto, json, senml+json, senml+cbor, influx,
// columns.
func (f Format) String() string { return formats[f].name }

// ParseFormat is the inverse of Format.String.
func ParseFormat(name string) (Format, bool) {
	for f := range formats {
		if formats[f].name == name {
			return Format(f), true
		}
	}
	return FormatAuto, false
}

// Subprotocol is the WebSocket subprotocol of a format, empty for FormatAuto.
func (f Format) Subprotocol() string {
	if f == FormatAuto {
		return ""
	}
	return subprotocolPrefix + f.String()
}

// FormatOfContentType tells the format from a Content-Type. Without one, and for those that say nothing of the
// content (text/plain, application/octet-stream, and curl's application/x-www-form-urlencoded), it is FormatAuto;
// ok is false for the types of other formats.
func FormatOfContentType(contentType string) (f Format, ok bool) {
	if contentType == "" {
		return FormatAuto, true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil && kind == "" {
		return FormatAuto, false
	}
	switch kind {
	case "text/plain", "application/octet-stream", "application/x-www-form-urlencoded":
		return FormatAuto, true
	}
	for f := range formats {
		for _, t := range formats[f].types {
			if t == kind {
				return Format(f), true
			}
		}
	}
	return FormatAuto, false
}

// FormatOfSubprotocol tells the format from a WebSocket subprotocol such as weir.v1.influx.
func FormatOfSubprotocol(subprotocol string) (f Format, ok bool) {
	name, ok := strings.CutPrefix(subprotocol, subprotocolPrefix)
	if !ok || name == formats[FormatAuto].name {
		return FormatAuto, false
	}
	return ParseFormat(name)
}

// FrameDecoder reads the frames of one connection in one format. It is not safe for concurrent use.
type FrameDecoder interface {
	// Decode reads one frame. The result and all it refers to, other than strings, are valid until the next
	// Decode or Release. The error, an *Error, is for frames that cannot be understood at all; readings that
	// cannot be accepted are in Frame.Rejected.
	Decode(frame []byte) (*Frame, error)
	// Release ends the use of what Decode returned and gives back the memory of an unusually large frame.
	Release()
}

// NewFrameDecoder makes the decoder of a format.
func NewFrameDecoder(format Format, opts DecoderOptions) FrameDecoder {
	switch format {
	case FormatSenMLJSON:
		return newSenMLJSONDecoder(opts)
	case FormatSenMLCBOR:
		return newSenMLCBORDecoder(opts)
	case FormatInflux:
		return newInfluxDecoder(opts)
	case FormatColumns:
		return newColumnsDecoder(opts)
	case FormatJSON:
		return NewDecoder(opts)
	}
	return &autoDecoder{opts: opts}
}
