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

const transportHTTP = "http"

// silences is how many expected intervals may pass without a reading.
const silences = 3

// instant is a moment in microseconds: by the wall clock, which others are told and which may jump, and since the
// start, which tells how long something lasts.
type instant struct{ wall, up int64 }

// presence is what this instance knows of whether a device is there. since is by the wall clock, the other times are
// microseconds since the start.
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

// here: a connection or recent readings tell of the device, which was not deleted since.
func (p *presence) here() bool { return !p.quiet && (p.state == Online || p.state == Stale) }

// leaving is a device that has no connection any more, and may come back until then.
type leaving struct {
	since int64 // by the wall clock
	until int64
	will  *Will
}

// alive: the entry is needed to tell when the device goes.
func (p *presence) alive() bool {
	return p.conns > 0 || p.leaving != nil || p.state == Online || p.state == Stale || p.state != p.told && !p.quiet
}

// heard notes that readings came, and reports whether that changes the state.
func (p *presence) heard(f *FrameInfo, up int64) bool {
	p.heardAt = up
	if f.HTTP {
		p.byHTTP = up
	} else if p.conns == 0 {
		return false // the connection has ended meanwhile, or there are more devices than it may attach
	}
	p.quiet = false
	return p.become(Online, f.Now)
}

// yields: what another instance, which is there, says of the device counts for more.
func (p *presence) yields(other *storedPresence) bool {
	switch other.state {
	case Unknown:
		return false
	case Offline:
		return p.state == Offline
	case Online:
		return p.state != Online || p.conns == 0 && other.Transport != transportHTTP
	}
	return p.state != Online
}

// become takes a state that began at a time of the wall clock.
func (p *presence) become(s State, since int64) bool {
	if p.state == s {
		return false
	}
	p.state, p.since = s, since
	return true
}

func (p *presence) attach(peer *Peer, now instant) bool {
	p.conns++
	p.peer, p.heardAt, p.leaving, p.quiet, p.text = peer, now.up, nil, false, ""
	return p.become(Online, now.wall)
}

// detach takes one connection away. Whether the device is gone is seen when the grace is over.
func (p *presence) detach(now instant, grace time.Duration, will *Will) {
	p.conns--
	if p.conns == 0 {
		p.leaving = &leaving{since: now.wall, until: now.up + grace.Microseconds(), will: will}
	}
}

// judge brings the state up to date and returns the will that is to be carried out, if any. interval is how often
// readings are expected.
func (p *presence) judge(now instant, interval time.Duration) (changed bool, will *Will) {
	patience := silences * interval.Microseconds()
	if p.conns > 0 {
		if p.state == Online && now.up-p.heardAt > patience {
			changed = p.become(Stale, now.wall)
		}
		return changed, nil
	}
	if l := p.leaving; l != nil {
		if now.up < l.until {
			return false, nil
		}
		p.leaving = nil
		will = l.will
		if will != nil {
			p.text = will.Text
		}
		if p.byHTTP == 0 || now.up-p.byHTTP > patience {
			return p.become(Offline, l.since), will
		}
		p.peer = nil // it goes on over HTTP
		return false, will
	}
	if (p.state == Online || p.state == Stale) && now.up-p.byHTTP > patience {
		changed = p.become(Offline, now.wall)
	}
	return changed, nil
}
