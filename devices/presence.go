package devices

import (
	"time"
)

// State says whether a device is there.
type State uint8

// States of presence.
const (
	// Unknown: nothing was heard of it since its metadata was written.
	Unknown State = iota
	Online
	Stale
	Offline
)

var stateNames = [...]string{"unknown", "online", "stale", "offline"}

func (s State) String() string { return stateNames[s] }

// ParseState is the inverse of State.String.
func ParseState(text string) (State, bool) {
	for i, name := range stateNames {
		if name == text {
			return State(i), true
		}
	}
	return Unknown, false
}

// Peer is who is at the other end. It does not change once it is handed over.
type Peer struct {
	// Transport is websocket, mqtt or http.
	Transport string
	// Principal is the subject of the credentials, Remote the address without a port.
	Principal, Remote string
}

// silences is how many expected intervals may pass without a reading.
const silences = 3

// presence is what this instance knows of whether a device is there. Times are in microseconds.
type presence struct {
	state State
	since int64
	conns int32
	// quiet: it was deleted. Nothing is said of it until it is heard of again.
	quiet bool
	peer  *Peer
	// heardAt is when readings, or a connection, came last; byHTTP when readings came by a request.
	heardAt, byHTTP int64
	leaving         *leaving
	text            string // of the last will
	// told is the state that was written last, toldAt when.
	told   State
	toldAt int64
}

// leaving is a device that has no connection any more, and may come back until then.
type leaving struct {
	since, until int64
	will         *Will
}

// alive: the entry is needed to tell when the device goes.
func (p *presence) alive() bool {
	return p.conns > 0 || p.leaving != nil || p.state == Online || p.state == Stale || p.state != p.told && !p.quiet
}

// heard notes that readings came, and reports whether that changes the state.
func (p *presence) heard(f *FrameInfo) bool {
	p.heardAt = max(p.heardAt, f.Now)
	if f.HTTP {
		p.byHTTP = max(p.byHTTP, f.Now)
	} else if p.conns == 0 {
		return false // the connection has ended meanwhile, or there are more devices than it may attach
	}
	p.quiet = false
	return p.become(Online, f.Now)
}

func (p *presence) become(s State, at int64) bool {
	if p.state == s {
		return false
	}
	p.state, p.since = s, at
	return true
}

func (p *presence) attach(peer *Peer, now int64) bool {
	p.conns++
	p.peer, p.heardAt, p.leaving, p.quiet, p.text = peer, max(p.heardAt, now), nil, false, ""
	return p.become(Online, now)
}

// detach takes one connection away. Whether the device is gone is seen when the grace is over.
func (p *presence) detach(now int64, grace time.Duration, will *Will) {
	p.conns--
	if p.conns == 0 {
		p.leaving = &leaving{since: now, until: now + grace.Microseconds(), will: will}
	}
}

// judge brings the state up to date and returns the will that is to be carried out, if any. interval is how often
// readings are expected.
func (p *presence) judge(now int64, interval time.Duration) (changed bool, will *Will) {
	patience := silences * interval.Microseconds()
	if p.conns > 0 {
		if p.state == Online && now-p.heardAt > patience {
			changed = p.become(Stale, now)
		}
		return changed, nil
	}
	if l := p.leaving; l != nil {
		if now < l.until {
			return false, nil
		}
		p.leaving = nil
		will = l.will
		if will != nil {
			p.text = will.Text
		}
		if p.byHTTP == 0 || now-p.byHTTP > patience {
			return p.become(Offline, l.since), will
		}
		p.peer = nil // it goes on over HTTP
		return false, will
	}
	if (p.state == Online || p.state == Stale) && now-p.byHTTP > patience {
		changed = p.become(Offline, now)
	}
	return changed, nil
}
