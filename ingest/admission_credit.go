package ingest

import "time"

const (
	// restoreCredit is how long credit takes to grow from nothing to all of it.
	restoreCredit = 5 * time.Second
	// Of the room for records that are not acknowledged, in thousandths: from easyBuffer on credit shrinks, at
	// tightBuffer it is 1.
	easyBuffer  = 500
	tightBuffer = 900
)

// credit is how many frames of a connection may be without a receipt. It falls at once with the pressure, to 1 at
// least, and grows back bit by bit, or all devices would come at the same moment.
type credit struct {
	most int
	now  float64
	at   int64 // µs; 0: never lowered or raised
}

// next is the credit at a time, under a pressure in thousandths.
func (c *credit) next(now int64, pressure uint32) int {
	if pressure == 0 && c.now >= float64(c.most) { // as most of the time
		c.at = now
		return c.most
	}
	target := max(1, float64(c.most)*(1-float64(pressure)/fullPressure))
	if c.at == 0 || target <= c.now {
		c.now = target
	} else if passed := now - c.at; passed > 0 {
		grown := float64(c.most) * float64(passed) / float64(restoreCredit.Microseconds())
		c.now = min(target, c.now+grown)
	}
	c.at = now
	return int(c.now)
}

// fill is how full the lane's share of the producer's buffer is, as a pressure.
func (l *share) fill() uint32 {
	taken := l.taken.Load()
	if taken*fullPressure <= l.most*easyBuffer {
		return 0
	}
	return between(float64(taken)*fullPressure/float64(l.most), easyBuffer, tightBuffer)
}
