package devices

import (
	"math"
	"time"
)

// Health is a device's report, as one instance sees it.
type Health struct {
	Device string `json:"device"`
	// Node is the instance that reports. Readings that went to another one are not in it.
	Node     string    `json:"node"`
	Time     time.Time `json:"time"`
	Presence *Presence `json:"presence,omitempty"`
	// Since is when this instance first heard of the device, LastSeen when last; absent: it never did.
	Since    *time.Time `json:"since,omitempty"`
	LastSeen *time.Time `json:"last_seen,omitempty"`
	Frames   uint64     `json:"frames"`
	Readings counts     `json:"readings"`
	// RejectedBy and LimitedBy count readings by the code they were refused with.
	RejectedBy map[string]uint64 `json:"rejected_by"`
	LimitedBy  map[string]uint64 `json:"limited_by"`
	Sequence   sequence          `json:"sequence"`
	ClockSkew  *clockSkew        `json:"clock_skew"`
	Rate       rateReport        `json:"rate"`
	Errors     []errorReport     `json:"errors"`
}

type counts struct {
	Accepted  uint64 `json:"accepted"`
	Duplicate uint64 `json:"duplicate"`
	Late      uint64 `json:"late"`
	Backlog   uint64 `json:"backlog"`
	Rejected  uint64 `json:"rejected"`
	Limited   uint64 `json:"limited"`
}

type sequence struct {
	Session  string  `json:"session,omitempty"`
	Sessions uint32  `json:"sessions"`
	LastSeq  *uint64 `json:"last_seq"`
	// Missing are the frames that were never seen of those between the first and the last.
	Missing    uint64 `json:"missing"`
	OutOfOrder uint64 `json:"out_of_order"`
}

// clockSkew says by how much the device's clock is ahead of the server's (negative: behind).
type clockSkew struct {
	Milliseconds float64 `json:"ms"`
	Method       string  `json:"method"`
}

const skewMethod = "greatest difference between the time of a frame's newest reading and its arrival, over the last 5 to 10 minutes; " +
	"the shortest delay on the way counts as clock behind"

type rateReport struct {
	PerSecond float64 `json:"readings_per_second"`
	// Quota is the limit, absent without one; Burst how many may come at once.
	Quota *float64 `json:"quota,omitempty"`
	Burst *int     `json:"burst,omitempty"`
}

type errorReport struct {
	Time  time.Time `json:"time"`
	Code  string    `json:"code"`
	Path  string    `json:"path,omitempty"`
	Count uint64    `json:"count"`
}

// Health reports on a device. full adds who is connected from where. ok is false when nothing is known of it.
func (r *Registry) Health(device string, full bool) (report Health, ok bool) {
	now := r.micros()
	report = Health{
		Device: device, Node: r.opts.Node, Time: timeOf(now),
		RejectedBy: map[string]uint64{}, LimitedBy: map[string]uint64{}, Errors: []errorReport{},
	}
	if r.opts.Quota != nil {
		if perSecond, burst := r.opts.Quota(device); perSecond > 0 {
			report.Rate.Quota, report.Rate.Burst = &perSecond, &burst
		}
	}
	stored := r.storedPresence(device)
	report.Presence = stored.report(full)
	s := r.shards.of(device)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[device]
	if e == nil || e.presence.quiet {
		return report, stored != nil || r.storedMeta(device) != nil
	}
	if p := e.presence.report(r.opts.Node, full); p != nil && (stored == nil || stored.Node == r.opts.Node || e.presence.conns > 0) {
		report.Presence = p
	}
	e.health.report(&report, now)
	return report, true
}

// report fills in what is counted.
func (h *health) report(to *Health, now int64) {
	if h.frames > 0 {
		first, last := timeOf(h.first), timeOf(h.last)
		to.Since, to.LastSeen = &first, &last
	}
	to.Frames = h.frames
	to.Readings = counts{h.accepted, h.duplicate, h.late, h.backlog, h.rejected, h.limited}
	to.Sequence = sequence{Session: h.session, Sessions: h.sessions, Missing: h.missing, OutOfOrder: h.outOfOrder}
	if h.hasSeq {
		seq := h.seq
		to.Sequence.LastSeq = &seq
	}
	if ahead, ok := h.skew.estimate(); ok {
		to.ClockSkew = &clockSkew{Milliseconds: float64(ahead) / 1e3, Method: skewMethod}
	}
	to.Rate.PerSecond = math.Round(h.rate.perSecond(now)*100) / 100
	if h.faults == nil {
		return
	}
	for _, c := range h.faults.codes {
		to.RejectedBy[c.code] += c.n
	}
	for _, c := range h.faults.limits {
		to.LimitedBy[c.code] += c.n
	}
	for _, f := range h.faults.recent() {
		to.Errors = append(to.Errors, errorReport{Time: timeOf(f.at), Code: f.code, Path: f.path, Count: f.n})
	}
}

// Presence says whether a device is there, since when, and who says so.
type Presence struct {
	State     string    `json:"state"`
	Since     time.Time `json:"since"`
	Node      string    `json:"node"`
	Transport string    `json:"transport,omitempty"`
	Text      string    `json:"text,omitempty"`
	// Principal and Remote are told to operators, and to the device itself.
	Principal string `json:"principal,omitempty"`
	Remote    string `json:"remote,omitempty"`
}

func (s *storedPresence) report(full bool) *Presence {
	if s == nil {
		return nil
	}
	p := &Presence{State: s.State, Since: timeOf(s.Since), Node: s.Node, Transport: s.Transport, Text: s.Text}
	if full {
		p.Principal, p.Remote = s.Principal, s.Remote
	}
	return p
}

// report is what this instance thinks, which may not have been written yet.
func (p *presence) report(node string, full bool) *Presence {
	if p.state == Unknown {
		return nil
	}
	out := &Presence{State: p.state.String(), Since: timeOf(p.since), Node: node, Transport: transportHTTP, Text: p.text}
	if p.peer != nil {
		out.Transport = p.peer.Transport
		if full {
			out.Principal, out.Remote = p.peer.Principal, p.peer.Remote
		}
	}
	return out
}

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
