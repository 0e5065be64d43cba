package pipeline

import (
	"math"
	"sync/atomic"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// summaryState is a series' place in the chain of its updates. What every reading needs comes first.
type summaryState struct {
	// version is that of the last Update emitted: the Since of the next one. NoVersion when there was none, or the
	// series was deleted since.
	version telemetry.Version
	// emitted is up to which version readings are done with: that of the last Update, or of the deletion.
	emitted telemetry.Version
	// row is the index in summarise.rows of the Update under construction, or -1.
	row int32
	// dirty: linked into the device's list of series that changed since the last checkpoint.
	dirty bool
	// stale: weir.latest does not hold newest yet.
	stale     bool
	nextDirty *series
	// newest is the last Update emitted. If that had no readings, what came before it is merged in, so that
	// there are values to show.
	newest telemetry.Update
}

func newSummaryState(name string, version telemetry.Version) summaryState {
	return summaryState{version: version, emitted: version, row: -1, newest: telemetry.Update{
		Series: name, Version: version, Since: version,
		Avg: math.NaN(), Lo: math.NaN(), Hi: math.NaN(), State: telemetry.Warming,
	}}
}

// take makes u, which follows newest, the newest.
func (s *summaryState) take(u *telemetry.Update) {
	s.version, s.emitted = u.Version, u.Version
	if u.N > 0 || s.newest.N == 0 || s.newest.Merge(u) != nil {
		s.newest = *u
	}
}

// forget makes the series begin anew after a deletion of that version, unless what followed it was emitted, too.
func (s *summaryState) forget(name string, deleted telemetry.Version) {
	if deleted < s.emitted {
		return
	}
	anew := newSummaryState(name, telemetry.NoVersion)
	s.version, s.emitted, s.newest = anew.version, deleted, anew.newest
}

func newSummarise(period time.Duration, wake func(time.Duration), m *counters) *summarise {
	return &summarise{period: period, wake: wake, spare: make(chan []telemetry.Update, 1), m: m}
}

// summarise merges readings into one Update per series and decides when they go out: at once if the last
// flush is a flush period ago, else when that has passed; and never while an earlier flush is not
// acknowledged, so that a slow broker finds fewer and fuller rows instead of a queue.
type summarise struct {
	period time.Duration
	// rows are the Updates under construction, series whose they are.
	rows   []telemetry.Update
	series []*series
	// spare holds the slice of the flush before, given back by emit.
	spare chan []telemetry.Update
	// oldest is when the oldest reading in rows was fetched (µs).
	oldest    int64
	lastFlush time.Time
	// armed: the driver was asked for a tick that has not come yet.
	armed bool
	wake  func(time.Duration)
	// stale are the series whose newest Update is not in weir.latest.
	stale []*series
	// dirty are the devices with series that changed since the last checkpoint.
	dirty []*device
	m     *counters

	// unacked counts flushes on their way; written by emit's acknowledgements as well.
	unacked atomic.Int32
	// waiting: rows wait for an acknowledgement.
	waiting atomic.Bool
}

func (s *summarise) apply(b *Batch) *Batch {
	if b.kind == flush {
		s.armed = false
	}
	if b.kind == look {
		s.inspect(b.looked)
	}
	b.each("summarise", fresh|poisoned, func(r *record) {
		if r.deleted {
			s.delete(b, r)
			return
		}
		if len(s.rows) == 0 {
			s.oldest = b.arrived
		}
		s.record(b, r)
	})
	for _, of := range b.touched {
		s.touch(of)
	}
	if len(s.rows) == 0 {
		return b
	}
	if now := time.Now(); s.due(b.kind, now) {
		s.flush(b, now)
	}
	return b
}

// delete lets all rows go out, and then the word that the device's series are no more.
func (s *summarise) delete(b *Batch, r *record) {
	out := deletion{control: wire.Control{
		Kind: wire.ControlDeleteDevice, Device: r.device.name, Time: r.ingest, Version: telemetry.VersionOf(r.offset, 0)}}
	if len(s.rows) > 0 {
		s.flush(b, time.Now())
		out.rows, out.emitted, b.rows = b.rows, b.emitted, nil
	}
	b.earlier = append(b.earlier, out)
	for _, of := range r.buried {
		of.summary.forget(of.name, out.control.Version)
	}
}

func (s *summarise) record(b *Batch, r *record) {
	readings := b.of(r)
	done := 0
	defer func() {
		for ; done < len(readings); done++ { // a panic: what is left counts as invalid, too
			s.leftOver(&readings[done], r.ingest)
		}
	}()
	for ; done < len(readings); done++ {
		if r.verdict == poisoned {
			readings[done].fate = invalid
		}
		s.reading(&readings[done], r.ingest)
	}
	for i := range r.silent {
		s.reading(&r.silent[i], 0)
	}
}

// leftOver counts a reading as invalid, if it can be counted.
func (s *summarise) leftOver(r *reading, ingest int64) {
	defer func() { _ = recover() }()
	r.fate = invalid
	s.reading(r, ingest)
}

func (s *summarise) reading(r *reading, ingest int64) {
	state := &r.series.summary
	s.touch(r.series)
	// The former owner emitted this reading already: it counts for the state only.
	if r.version <= state.emitted {
		return
	}
	u := s.row(r.series)
	u.IngestTime = max(u.IngestTime, ingest)
	switch r.fate {
	case late:
		u.Version = r.version
		u.Late++
	case invalid:
		u.Version = r.version
		u.Invalid++
	case silent:
		u.Version = r.version
		u.State, u.Worst = r.state, max(u.Worst, r.state)
	default:
		u.Add(r.version, r.time, r.value)
		u.Avg, u.Lo, u.Hi, u.State = r.avg, r.lo, r.hi, r.state
		u.Score = max(u.Score, r.score)
		u.Worst = max(u.Worst, r.state)
	}
}

// touch notes that something of a series has changed since the last checkpoint.
func (s *summarise) touch(of *series) {
	state, d := &of.summary, of.device
	if state.dirty || d.gone { // a timer of before may be left
		return
	}
	if d.dirtySeries == nil {
		s.dirty = append(s.dirty, d)
	}
	state.dirty, state.nextDirty, d.dirtySeries = true, d.dirtySeries, of
}

// takeDirty returns the devices with series that changed since the last call.
func (s *summarise) takeDirty() []*device {
	dirty := s.dirty
	clear(dirty[len(dirty):cap(dirty)]) // what was evicted since is not to be held
	s.dirty = s.dirty[:0]
	return dirty
}

// row returns the Update of a series that is under construction.
func (s *summarise) row(of *series) *telemetry.Update {
	state := &of.summary
	if state.row < 0 {
		state.row = int32(len(s.rows))
		s.series = append(s.series, of)
		s.rows = append(s.rows, telemetry.Update{Series: of.name, Since: state.version, Version: state.version})
	}
	return &s.rows[state.row]
}

// due reports whether the rows go out now; if not, it sees to it that they do later.
func (s *summarise) due(k kind, now time.Time) bool {
	if k == barrier {
		return true
	}
	if s.unacked.Load() > 0 {
		s.waiting.Store(true)
		if s.unacked.Load() > 0 { // else the acknowledgement came between the two lines
			return false
		}
	}
	rest := s.period - now.Sub(s.lastFlush)
	if rest <= 0 {
		return true
	}
	if !s.armed {
		s.armed = true
		s.wake(rest)
	}
	return false
}

func (s *summarise) flush(b *Batch, now time.Time) {
	b.emitted = now.UnixMicro()
	s.lastFlush = now
	s.waiting.Store(false)
	merged := uint64(0)
	for i, of := range s.series {
		u, state := &s.rows[i], &of.summary
		u.EmitTime = b.emitted
		if u.N == 0 { // nothing has changed but the version, and perhaps that the series fell silent
			newest := &state.newest
			u.Avg, u.Lo, u.Hi = newest.Avg, newest.Lo, newest.Hi
			if u.Worst != telemetry.Offline {
				// Worst stays what it is of no readings: what a row is merged with must not depend on when it went out.
				u.State = newest.State
			}
		}
		merged += u.N + u.Late + u.Invalid
		state.take(u)
		state.row = -1
		if !state.stale {
			state.stale = true
			s.stale = append(s.stale, of)
		}
	}
	s.m.flushed(len(s.rows), merged, b.emitted-s.oldest)
	b.rows = s.rows
	select {
	case s.rows = <-s.spare:
	default:
		s.rows = nil
	}
	clear(s.series) // evicted devices are not to be held
	s.series = s.series[:0]
	s.unacked.Add(1)
}

// giveBack takes the rows of a flush when they have been encoded.
func (s *summarise) giveBack(rows []telemetry.Update) {
	select {
	case s.spare <- rows[:0]:
	default:
	}
}

// acknowledged is called when a flush has been stored.
func (s *summarise) acknowledged() {
	if s.unacked.Add(-1) == 0 && s.waiting.Load() {
		s.wake(0)
	}
}
