package window

import "math"

// paneShare is how many panes make a window. At most paneShare+1 of them start within one, so maxPanes
// leaves room to open panes between two compactions of the slice; 42 panes fill an allocation of 1 KiB.
const (
	paneShare = 32
	minPanes  = 4
	maxPanes  = 42
)

// Mean is the moving average of one series. The zero value is empty and ready. It is not safe for
// concurrent use.
type Mean struct {
	panes   []pane
	backSum float64
	backN   uint64
	// head is the oldest pane, back the first one of the back stack; below head lie dropped panes.
	head, back uint8
}

// pane covers the samples from start (µs) on. In the front stack sum and n include the front panes after
// it.
type pane struct {
	start int64
	sum   float64
	n     uint64
}

// Add takes the sample v at source time t (µs) and returns the average over the window that ends at the
// newest sample, or NaN when it is not a finite number (no samples, or their sum overflows). A sample
// older than the newest pane goes to the pane it belongs to, if there is one still, and is otherwise left
// out; so is a v that is not finite.
func (m *Mean) Add(t int64, v float64, cfg *Config) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return m.Average()
	}
	window := cfg.Window.Microseconds()
	width := max(window/paneShare, 1)
	newest := len(m.panes) - 1
	switch {
	case newest < 0 || t-m.panes[newest].start >= width:
		m.open(t, v)
	case t >= m.panes[newest].start:
		m.panes[newest].sum += v
		m.panes[newest].n++
		m.backSum += v
		m.backN++
	default:
		m.addOld(t, v, width)
		return m.Average()
	}
	m.evict(t - window)
	return m.Average()
}

// Average is the average as of the newest sample, or NaN as described at Add.
func (m *Mean) Average() float64 {
	sum, n := m.backSum, m.backN
	if m.head < m.back {
		sum += m.panes[m.head].sum
		n += m.panes[m.head].n
	}
	if n == 0 || math.IsInf(sum, 0) {
		return math.NaN()
	}
	return sum / float64(n)
}

// open appends a pane that begins with the sample (t, v).
func (m *Mean) open(t int64, v float64) {
	if len(m.panes) == cap(m.panes) {
		m.makeRoom()
	}
	m.panes = append(m.panes, pane{start: t, sum: v, n: 1})
	m.backSum += v
	m.backN++
}

// evict drops the panes that start at or before cutoff, but never the newest.
func (m *Mean) evict(cutoff int64) {
	for int(m.head) < len(m.panes)-1 && m.panes[m.head].start <= cutoff {
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
	var n uint64
	for i := newest - 1; i >= int(m.head); i-- {
		sum += m.panes[i].sum
		n += m.panes[i].n
		m.panes[i].sum, m.panes[i].n = sum, n
	}
	m.back = uint8(newest)
	m.backSum, m.backN = m.panes[newest].sum, m.panes[newest].n
}

// addOld puts a sample that is older than the newest pane where it belongs.
func (m *Mean) addOld(t int64, v float64, width int64) {
	i := len(m.panes) - 2
	for i >= int(m.head) && m.panes[i].start > t {
		i--
	}
	if i < int(m.head) || t-m.panes[i].start >= width {
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
