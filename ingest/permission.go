package ingest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"weir/auth"
	"weir/wire"
)

// allowed remembers what a principal was last found to be allowed.
type allowed struct {
	known  bool
	who    *auth.Principal
	device string // that it may speak for; empty: none was looked at
}

// recognise takes over a new principal: which device its readings are of that name none, and which it may speak for.
func (e *encoder) recognise() {
	if e.allowed.known && e.allowed.who == e.principal {
		return
	}
	e.allowed = allowed{known: true, who: e.principal}
	own := e.device
	if own == "" {
		own = onlyDevice(e.principal)
	} else if !e.maySpeakFor(own) {
		own = "" // no dead letter goes out in another's name; readings that name no device are refused
	}
	tenant := ""
	if e.principal != nil {
		tenant = e.principal.Tenant
	}
	if e.dec == nil || own != e.own || tenant != e.tenant {
		// What the connection names stays its default: that readings of it are forbidden is what is told.
		fallback := own
		if fallback == "" {
			fallback = e.device
		}
		e.own, e.tenant = own, tenant
		opts := e.srv.decoderOptions(fallback)
		opts.TimeUnit, opts.Tenant = e.unit, tenant
		e.dec = wire.NewFrameDecoder(e.format, opts)
	}
}

// onlyDevice is the one device that a principal may speak for, if there is just one.
func onlyDevice(p *auth.Principal) string {
	if p == nil || len(p.Write) != 1 || !p.Write[0].Literal() || !p.MaySpeakFor(p.Write[0].String()) {
		return ""
	}
	return p.Write[0].String()
}

func (e *encoder) maySpeakFor(device string) bool {
	if e.principal == nil || device == e.allowed.device {
		return true
	}
	if !e.principal.MaySpeakFor(device) {
		return false
	}
	e.allowed.device = device
	return true
}

// permit takes out of the frame what its sender may not send: it is rejected.
func (e *encoder) permit(frame *wire.Frame, raw []byte) {
	kept := 0
	for i := range frame.Batches {
		device := frame.Batches[i].Device
		if e.maySpeakFor(device) {
			frame.Batches[kept], frame.Index[kept] = frame.Batches[i], frame.Index[i]
			kept++
			if e.presence != nil {
				e.presence.Attach(device)
			}
			continue
		}
		frame.RejectedOf = append(frame.RejectedOf, device)
		message := "the credentials do not permit readings of " + strconv.Quote(device)
		for _, index := range frame.Index[i] {
			frame.Rejected = append(frame.Rejected, wire.Rejection{
				Index: index, Code: wire.CodeForbidden, Path: devicePath(frame, raw, index), Message: message})
		}
	}
	frame.Batches, frame.Index = frame.Batches[:kept], frame.Index[:kept]
}

// devicePath is where the frame names the device of a reading.
func devicePath(frame *wire.Frame, raw []byte, index int) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	switch {
	case len(raw) > 0 && raw[0] == '[':
		return fmt.Sprintf("[%d].device", index)
	case frame.Total == 1:
		return "device"
	}
	return fmt.Sprintf("readings[%d].device", index)
}

// allForbidden reports whether nothing but the lack of permission was wrong.
func allForbidden(rejected []wire.Rejection) bool {
	return !slices.ContainsFunc(rejected, func(r wire.Rejection) bool { return r.Code != wire.CodeForbidden })
}
