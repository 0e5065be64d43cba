package window

import (
	"math"
	"math/bits"
)

// paneShare is how many panes make a window. At most paneShare+1 of them start within one, so maxPanes
// leaves room to open panes between two compactions of the slice; 40 panes fill an allocation of 640 bytes.
const (
	paneShare = 32
	minPanes  = 4
	maxPanes  = 40
)

// Mean is the simple moving average of one series. The zero value is empty and ready. It is not safe for
// concurrent use.
type Mean struct {
	panes   []pane
	base    int64 // source time (µs) that the panes' starts count from
	backSum float64
	backN   uint32
	// head is the oldest pane, back the first one of the back stack; below head lie dropped panes.
	head, back uint8
	// shift is the binary logarithm of the unit (µs) in which starts are counted: 0 up to windows of 35 minutes.
	shift uint8
}

// pane covers the samples from start on. In the front stack sum and n include the front panes after it.
type pane struct {
	sum   float64
	start uint32 // since base, in units
	n     uint32
}

// Add takes the sample v at source time t (µs) and returns the average over the window that ends at the
// newest sample, or NaN when it is not a finite number (no samples, or their sum overflows). A sample
// older than the newest pane goes to the pane it belongs to, if there is one still, and is otherwise left
// out; so is a v that is not finite, and a sample beyond the four billionth in a window.
func (m *Mean) Add(t int64, v float64, cfg *Config) float64 {
	return m.add(t, v, cfg.Window.Microseconds())
}

func (m *Mean) add(t int64, v float64, window int64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) || m.full() {
		return m.Average()
	}
	if shift := unitShift(window); shift != m.shift {
		*m = Mean{shift: shift} // another configuration
	}
	width := uint64(max(window/paneShare, 1))
	newest := len(m.panes) - 1
	if newest < 0 {
		m.open(t, v, window)
		return m.Average()
	}
	start := m.start(newest)
	switch {
	case t < start:
		m.addOld(t, v, width)
		return m.Average()
	case uint64(t-start) >= width:
		m.open(t, v, window)
	default:
		m.panes[newest].sum += v
		m.panes[newest].n++
		m.backSum += v
		m.backN++
	}
	m.evict(t, window)
	return m.Average()
}

// Average is the average as of the newest sample, or NaN as described at Add.
func (m *Mean) Average() float64 {
	sum, n := m.backSum, uint64(m.backN)
	if m.head < m.back {
		sum += m.panes[m.head].sum
		n += uint64(m.panes[m.head].n)
	}
	if n == 0 || math.IsInf(sum, 0) {
		return math.NaN()
	}
	return sum / float64(n)
}

// full reports whether one more sample could overflow a count.
func (m *Mean) full() bool {
	n := uint64(m.backN)
	if m.head < m.back {
		n += uint64(m.panes[m.head].n)
	}
	return n >= math.MaxUint32
}

// unitShift makes a window (µs) span less than half of what a start can count.
func unitShift(window int64) uint8 { return uint8(bits.Len64(uint64(window) >> 31)) }

// start is the source time (µs) at which pane i starts.
func (m *Mean) start(i int) int64 { return m.base + int64(m.panes[i].start)<<m.shift }

// open appends a pane that begins with the sample (t, v), which is not older than any pane. (Differences of
// such times, as unsigned numbers, are right however far they are apart.)
func (m *Mean) open(t int64, v float64, window int64) {
	newest := len(m.panes) - 1
	if newest < 0 || uint64(t-m.start(newest)) >= uint64(window) {
		m.restart(t)
	} else if uint64(t-m.base)>>m.shift > math.MaxUint32 {
		m.rebase() // the oldest pane is less than two windows before t, which a start can count
	}
	if len(m.panes) == cap(m.panes) {
		m.makeRoom()
	}
	m.panes = append(m.panes, pane{sum: v, start: uint32(uint64(t-m.base) >> m.shift), n: 1})
	m.backSum += v
	m.backN++
}

// restart forgets all panes, in constant time however far the clock jumped.
func (m *Mean) restart(t int64) {
	panes := m.panes[:0]
	if cap(panes) > minPanes {
		panes = nil
	}
	*m = Mean{panes: panes, base: t, shift: m.shift}
}

// rebase counts starts from the oldest pane's.
func (m *Mean) rebase() {
	first := m.panes[m.head].start
	m.base = m.start(int(m.head))
	for i := int(m.head); i < len(m.panes); i++ {
		m.panes[i].start -= first
	}
}

// evict drops the panes that start a window or more before t, but never the newest.
func (m *Mean) evict(t, window int64) {
	for int(m.head) < len(m.panes)-1 && uint64(t-m.start(int(m.head))) >= uint64(window) {
		m.drop()
	}
}

// drop removes the oldest pane, which must not be the newest as well.
func (m *Mean) drop() {
	if m.head == m.back {
		m.flip()
	}
	m.head++
}

// flip makes all panes but the newest the front stack, which must be empty.
func (m *Mean) flip() {
	newest := len(m.panes) - 1
	var sum float64
	var n uint32
	for i := newest - 1; i >= int(m.head); i-- {
		sum += m.panes[i].sum
		n += m.panes[i].n
		m.panes[i].sum, m.panes[i].n = sum, n
	}
	m.back = uint8(newest)
	m.backSum, m.backN = m.panes[newest].sum, m.panes[newest].n
}

// addOld puts a sample that is older than the newest pane where it belongs.
func (m *Mean) addOld(t int64, v float64, width uint64) {
	i := len(m.panes) - 2
	for i >= int(m.head) && m.start(i) > t {
		i--
	}
	if i < int(m.head) || uint64(t-m.start(i)) >= width {
		return
	}
	if i >= int(m.back) {
		m.panes[i].sum += v
		m.panes[i].n++
		m.backSum += v
		m.backN++
		return
	}
	for j := int(m.head); j <= i; j++ {
		m.panes[j].sum += v
		m.panes[j].n++
	}
}

// makeRoom moves the panes to the beginning of a slice that fits them and at least one more: a larger or
// a smaller one than before, or the same. It keeps memory near to what the series' rate needs.
func (m *Mean) makeRoom() {
	if len(m.panes)-int(m.head) == maxPanes {
		m.drop() // only a window that was shortened by configuration, or clocks gone mad, come here
	}
	live := m.panes[m.head:]
	size := minPanes
	for size < len(live)+len(live)/8+1 {
		size *= 2
	}
	size = min(size, maxPanes)
	if size == cap(m.panes) {
		m.panes = m.panes[:copy(m.panes, live)]
	} else {
		m.panes = append(make([]pane, 0, size), live...)
	}
	m.back -= m.head
	m.head = 0
}
