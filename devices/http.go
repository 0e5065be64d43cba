package devices

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// Routes registers the endpoints.
func (r *Registry) Routes(m *auth.Router) {
	m.HandleFunc("GET /v1/devices", auth.SignedIn, r.handleList)
	m.HandleFunc("GET /v1/devices/{device...}", auth.SignedIn, r.handleGet)
	m.HandleFunc("PUT /v1/devices/{device...}", auth.SignedIn, r.handlePut)
	m.HandleFunc("DELETE /v1/devices/{device...}", auth.Operators, r.handleDelete)
	m.HandleFunc("GET /v1/health/{device...}", auth.SignedIn, r.handleHealth)
}

// healthSuffix ends the path of a health report. A device whose own last segment is health is asked after at
// /v1/health/… or by GET /v1/devices?pattern=….
const healthSuffix = "/health"

// mayKnow: whoever may see the device's readings, and the device.
func mayKnow(p *auth.Principal, device string) bool {
	return p.MayReadPath(device) || p.MaySpeakFor(device)
}

// mayKnowAll: the device, and operators, who also see from where it is connected and as whom.
func mayKnowAll(p *auth.Principal, device string) bool {
	return p.MaySpeakFor(device) || p.Has(auth.RoleOperator) && p.MayReadPath(device)
}

// mayDescribe: the device, and operators who may act on it.
func mayDescribe(p *auth.Principal, device string) bool {
	return p.MaySpeakFor(device) || mayAct(p, device)
}

// mayAct: operators, within their Write patterns.
func mayAct(p *auth.Principal, device string) bool {
	return p.Has(auth.RoleOperator) && p.MayWrite(device)
}

// Device is what GET says about a device.
type Device struct {
	Device   string    `json:"device"`
	Presence *Presence `json:"presence,omitempty"`
	// Version, Updated and By are of the metadata.
	Version  uint64          `json:"version,omitempty"`
	Updated  *time.Time      `json:"updated,omitempty"`
	By       string          `json:"updated_by,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// describe puts together what is known of a device; ok is false when that is nothing.
func (r *Registry) describe(device string, full bool) (d Device, ok bool) {
	meta, presence := r.storedMeta(device), r.storedPresence(device)
	d = Device{Device: device, Presence: presence.report(full)}
	if meta != nil {
		updated := timeOf(meta.Updated)
		d.Version, d.Updated, d.Metadata = meta.Version, &updated, meta.Raw
		if full {
			d.By = meta.By
		}
	}
	return d, meta != nil || presence != nil
}

// device is the one in the request's path, or a refusal that has been answered.
func deviceIn(w http.ResponseWriter, name string) bool {
	if err := telemetry.CheckDevice(name); err != nil {
		wire.Refuse(w, pathError(err, "device"))
		return false
	}
	return true
}

// ready reports whether the table has been read; if not, that is the answer.
func (r *Registry) ready(w http.ResponseWriter) bool {
	select {
	case <-r.table.Ready():
		return true
	default:
	}
	wire.Refuse(w, wire.NewError(wire.CodeNotReady, ""))
	return false
}

func (r *Registry) handleGet(w http.ResponseWriter, req *http.Request) {
	device := req.PathValue("device")
	if of, found := strings.CutSuffix(device, healthSuffix); found {
		r.answerHealth(w, req, of)
		return
	}
	p := auth.PrincipalOf(req.Context())
	if !r.mayAnswer(w, p, device) {
		return
	}
	d, ok := r.describe(device, mayKnowAll(p, device))
	if !ok {
		wire.Refuse(w, wire.NewError(wire.CodeDeviceUnknown, "device"))
		return
	}
	w.Header().Set("ETag", etag(d.Version))
	wire.WriteJSON(w, http.StatusOK, d)
}

func (r *Registry) handleHealth(w http.ResponseWriter, req *http.Request) {
	r.answerHealth(w, req, req.PathValue("device"))
}

func (r *Registry) answerHealth(w http.ResponseWriter, req *http.Request, device string) {
	p := auth.PrincipalOf(req.Context())
	if !r.mayAnswer(w, p, device) {
		return
	}
	report, ok := r.Health(device, mayKnowAll(p, device))
	if !ok {
		wire.Refuse(w, wire.NewError(wire.CodeDeviceUnknown, "device"))
		return
	}
	wire.WriteJSON(w, http.StatusOK, report)
}

// mayAnswer reports whether there is a device to tell of, to one who may know of it, and what is known has been read; if
// not, that is answered.
func (r *Registry) mayAnswer(w http.ResponseWriter, p *auth.Principal, device string) bool {
	if !deviceIn(w, device) {
		return false
	}
	if !mayKnow(p, device) {
		wire.Refuse(w, wire.NewError(wire.CodeForbidden, "device"))
		return false
	}
	return r.ready(w)
}

func (r *Registry) handlePut(w http.ResponseWriter, req *http.Request) {
	device := req.PathValue("device")
	p := auth.PrincipalOf(req.Context())
	if !deviceIn(w, device) {
		return
	}
	if !mayDescribe(p, device) {
		wire.Refuse(w, wire.NewError(wire.CodeForbidden, "device"))
		return
	}
	if !r.ready(w) {
		return
	}
	expected, refusal := precondition(req.Header)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	meta, refusal := readMeta(w, req)
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	stored, created, refusal := r.setMeta(req.Context(), setting{
		device: device, meta: meta, by: p.Subject, expected: expected, paced: !p.Has(auth.RoleOperator)})
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	w.Header().Set("ETag", etag(stored.Version))
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	d, _ := r.describe(device, true)
	if !mayKnow(p, device) {
		d.Presence = nil
	}
	wire.WriteJSON(w, status, d)
}

func readMeta(w http.ResponseWriter, req *http.Request) (*Meta, *wire.Error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, req.Body, MaxMetaBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(wire.CodeFrameTooLarge, "", "metadata is larger than 64 KiB")
	case err != nil:
		return nil, refuse(wire.CodeJSONSyntax, "", "the body could not be read")
	}
	return DecodeMeta(raw, "")
}

func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

// precondition reads If-Match: an ETag of this server, or none.
func precondition(h http.Header) (uint64, *wire.Error) {
	text := h.Get("If-Match")
	if none := h.Get("If-None-Match"); none == "*" {
		return noVersion, nil
	}
	if text == "" {
		return anyVersion, nil
	}
	version, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(text, "W/"), `"`), 10, 63)
	if err != nil {
		return 0, refuse(wire.CodeFieldRange, "If-Match", "If-Match takes the ETag of an earlier answer")
	}
	return version, nil
}
