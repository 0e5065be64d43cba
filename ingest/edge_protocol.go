package ingest

import (
	"net/http"
	"net/url"
	"strings"

	"weir/telemetry"
	"weir/wire"
)

const (
	protocolHeader = "Sec-WebSocket-Protocol"
	// protocolMQTT is MQTT over WebSocket (MQTT 5.0 §6), protocolMQTT31 what older clients call it.
	protocolMQTT   = "mqtt"
	protocolMQTT31 = "mqttv3.1"
	// tokenProtocol begins a subprotocol that is no subprotocol: it carries credentials, and is never answered with.
	tokenProtocol = "weir.token."
)

// dialect is how a client speaks, as its request declares.
type dialect struct {
	device string // of readings that name none
	format wire.Format
	unit   wire.TimeUnit
}

// deviceFormats are the formats that have a subprotocol, and a name for ?format=.
var deviceFormats = []wire.Format{
	wire.FormatJSON, wire.FormatSenMLJSON, wire.FormatSenMLCBOR, wire.FormatInflux, wire.FormatColumns,
}

// subprotocols lists those that are spoken here.
func subprotocols() []string {
	var names []string
	for _, f := range deviceFormats {
		names = append(names, f.Subprotocol())
	}
	return append(names, protocolMQTT, protocolMQTT31)
}

// dialectOf reads ?device=, ?format= and ?precision= or ?ts_unit=. The error is for the client.
func dialectOf(query url.Values) (d dialect, refusal *wire.Error) {
	if d.device = query.Get("device"); d.device != "" {
		if refusal := pathError(telemetry.CheckDevice(d.device)); refusal != nil {
			return d, refusal
		}
	}
	if name := query.Get("format"); name != "" {
		// In a query a plus that is not escaped is a space.
		f, ok := wire.ParseFormat(strings.ReplaceAll(name, " ", "+"))
		if !ok {
			return d, wire.NewError(wire.CodeFormatUnknown, "format")
		}
		d.format = f
	}
	for _, name := range []string{"precision", "ts_unit"} {
		if text := query.Get(name); text != "" {
			unit, ok := wire.ParseTimeUnit(text)
			if !ok {
				return d, wire.NewError(wire.CodeTimeUnit, name)
			}
			d.unit = unit
		}
	}
	return d, nil
}

func isMQTT(protocol string) bool { return protocol == protocolMQTT || protocol == protocolMQTT31 }

// offered are the subprotocols that the client offers, but for those that carry credentials.
func offered(h http.Header) []string {
	var names []string
	for _, name := range strings.Split(strings.Join(h.Values(protocolHeader), ","), ",") {
		if name = strings.TrimSpace(name); name != "" && !strings.HasPrefix(name, tokenProtocol) {
			names = append(names, name)
		}
	}
	return names
}

// negotiate picks the first of the offers that is spoken here, and is false when none is. Who offers none is served.
func (s *Server) negotiate(offers []string) (chosen string, ok bool) {
	for _, name := range offers {
		if _, format := wire.FormatOfSubprotocol(name); format || isMQTT(name) {
			return name, true
		}
	}
	return "", len(offers) == 0
}
