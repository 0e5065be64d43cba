package device

import (
	"slices"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// Changes is what has happened in a subscription since it was read before. A series has one row at most: what came for it
// meanwhile was merged.
type Changes struct {
	// Reset: what is known is void, and what follows here is all there is. It stands in the first Changes, which have no
	// Reason, and when the server could not go on where the client was. Readings between are summed up in nothing.
	Reset  bool
	Reason string
	// Resumed: a connection was lost, or something on it, and Rows continue exactly from before.
	Resumed bool

	// Series are those that were named first or anew, with what is known of them; all of them after a Reset.
	Series []SeriesInfo
	// Removed series exist no more. This came before the rest: one that is also in Series has come back as another one.
	Removed []string
	// Rows continue the chain of each series: Since is the version of the row before.
	Rows []Update
	// Back are rows that were told before, of series that are in the view again without news. They count for nothing else.
	Back []Update
	// Left are series that are in the view no more. What they have in Rows was before.
	Left []string
	// Alerts are transitions, each told once. Open, of a Reset, are all alerts that are open after those.
	Alerts []Alert
	Open   []Alert

	// PushTime is when the server wrote the newest frame in this (µs), Received when it came.
	PushTime int64
	Received time.Time
}

// SeriesInfo is a series with what is known of it and its device.
type SeriesInfo struct {
	Series string
	// Meta is nil if nothing is known. It must not be changed.
	*SeriesMeta
}

// SeriesMeta is what is known of a series.
type SeriesMeta = wire.Meta

// track is where a series stands in a subscription.
type track struct {
	series  string
	version Version
	known   bool // version is of a row that was told
	out     bool // it has left the view
	// Places in what nobody has read, counted from 1.
	row, info, back int
	left            bool // it is in pending.left
	gone            bool // it was removed, and what has these places is not told
}

// pending is what nobody has read. It is bounded by the series of the view, and maxAlerts.
type pending struct {
	news    bool
	changes Changes
	touched []*track // those with a place or mark
	left    []*track
	frames  int64
}

func (p *pending) stamp(pushTime int64, at time.Time) {
	p.changes.PushTime, p.changes.Received = pushTime, at
}

// touch notes that t has a place, if it has none yet.
func (p *pending) touch(t *track) {
	if t.row == 0 && t.info == 0 && t.back == 0 && !t.left {
		p.touched = append(p.touched, t)
	}
}

// add takes a row that continues the chain of its series, and reports whether it was merged into another.
func (p *pending) add(t *track, u *Update) (merged bool, err error) {
	if t.row > 0 {
		return true, p.changes.Rows[t.row-1].Merge(u)
	}
	p.touch(t)
	p.news = true
	p.changes.Rows = append(p.changes.Rows, *u)
	t.row = len(p.changes.Rows)
	return false, nil
}

// again takes a row that was told before.
func (p *pending) again(t *track, u *Update) {
	if t.row > 0 || t.back > 0 {
		return
	}
	p.touch(t)
	p.news = true
	p.changes.Back = append(p.changes.Back, *u)
	t.back = len(p.changes.Back)
}

// transition takes one of an alert. What a Reset says to be open keeps up with it.
func (p *pending) transition(a *Alert) {
	p.news = true
	c := &p.changes
	c.Alerts = append(c.Alerts, *a)
	if !c.Reset {
		return
	}
	c.Open = slices.DeleteFunc(c.Open, func(other Alert) bool { return other.ID == a.ID })
	if a.Phase != telemetry.Resolved {
		c.Open = append(c.Open, *a)
	}
}

func (p *pending) leave(t *track) {
	if !t.left {
		p.touch(t)
		p.news, t.left = true, true
		p.left = append(p.left, t)
	}
}

func (p *pending) name(t *track, meta *wire.Meta) {
	if t.info == 0 {
		p.touch(t)
		p.news = true
		p.changes.Series = append(p.changes.Series, SeriesInfo{Series: t.series})
		t.info = len(p.changes.Series)
	}
	p.changes.Series[t.info-1].SeriesMeta = meta
}

// remove notes that a series is gone. What nobody has read of it is not told any more.
func (p *pending) remove(t *track) {
	p.news, t.gone = true, true
	if !slices.Contains(p.changes.Removed, t.series) {
		p.changes.Removed = append(p.changes.Removed, t.series)
	}
}

// drop leaves out what there is of series that are gone.
func (c *Changes) drop(touched []*track) {
	some := false
	for _, t := range touched {
		if !t.gone {
			continue
		}
		some = true
		if t.row > 0 {
			c.Rows[t.row-1].Series = ""
		}
		if t.info > 0 {
			c.Series[t.info-1].Series = ""
		}
		if t.back > 0 {
			c.Back[t.back-1].Series = ""
		}
	}
	if some {
		c.Rows = slices.DeleteFunc(c.Rows, func(u Update) bool { return u.Series == "" })
		c.Series = slices.DeleteFunc(c.Series, func(i SeriesInfo) bool { return i.Series == "" })
		c.Back = slices.DeleteFunc(c.Back, func(u Update) bool { return u.Series == "" })
	}
}

// begin throws away what a fresh snapshot replaces. Transitions of alerts stay: each is told once.
func (p *pending) begin(reason string) {
	p.forget()
	p.news = true
	p.changes = Changes{Reset: true, Reason: reason, Alerts: p.changes.Alerts}
}

func (p *pending) forget() {
	for _, t := range p.touched {
		t.row, t.info, t.back, t.left = 0, 0, 0, false
	}
	p.touched, p.left = p.touched[:0], p.left[:0]
}

// take hands over what there is, or nil.
func (p *pending) take() *Changes {
	if !p.news {
		return nil
	}
	c := p.changes
	c.drop(p.touched)
	for _, t := range p.left {
		if t.out && !t.gone {
			c.Left = append(c.Left, t.series)
		}
	}
	p.forget()
	p.news, p.changes = false, Changes{}
	return &c
}
