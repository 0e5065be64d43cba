package backtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"weir/kafka"
	"weir/pipeline"
	"weir/pipeline/plan"
	"weir/telemetry"
	"weir/wire"
)

const (
	second = int64(1e6) // µs
	// tickEvery is the least time (µs) between two ticks, as it is in a live pipeline.
	tickEvery = second
	// storedTicks is for how long (µs) a stored tick is waited for until one is made.
	storedTicks = 3 * second
	// batchRecords and batchBytes bound a batch of records, batchSpan the time (µs) that they are of.
	batchRecords = 256
	batchBytes   = 4 << 20
	batchSpan    = second
	// workSpan is after how much work a run that is to rest does.
	workSpan = 20 * time.Millisecond
	// progressEvery is how often progress is told.
	progressEvery = time.Second
)

// Source yields records in the order in which they reached Weir. Time is in ms; Offset is not looked at. It returns io.EOF
// at the end. A record is valid until the next call.
type Source interface {
	Next(ctx context.Context) (*kafka.Record, error)
}

// Options of a run.
type Options struct {
	Config pipeline.Config
	// Plan is what is tried.
	Plan *plan.Plan
	// From and To are processing times (µs): what comes before From only warms the state, what comes after To is left out. A
	// To of 0 is the time of the last record.
	From, To int64
	// After is for how long (µs) nothing comes behind the last record, when there is no To.
	After int64
	// Admit says which devices take part; nil: all.
	Admit func(device string) bool
	// Alerted says of which series alerts are told; nil: all.
	Alerted func(series string) bool
	// MaxSeries bounds memory, derived series included; 0: nothing does.
	MaxSeries int
	// Rest has the run rest as long as it works.
	Rest bool
	// Live takes records that came within a second together, and waits for stored ticks. Else each record is taken by itself,
	// so that Update tells of each, and all ticks are made.
	Live bool
	// Update, if set, is told of updates that summarise readings. It is valid during the call only.
	Update func(*telemetry.Update)
	// Alert, if set, is told of transitions between From and To.
	Alert func(*telemetry.Alert)
	// Progress, if set, is told now and then.
	Progress func(Progress)
}

// Progress is how far a run has come.
type Progress struct {
	// Time is the processing time (µs) that it has come to.
	Time int64 `json:"time_us"`
	// Records of devices that take part were read.
	Records int64 `json:"records"`
	Series  int   `json:"series"`
}

// Totals is what a run came to.
type Totals struct {
	Progress
	// First and Last are the processing times (µs) of the first and the last record; 0: there was none.
	First int64 `json:"first_us"`
	Last  int64 `json:"last_us"`
	// Readings that came. Those refused are by reason.
	Readings uint64            `json:"readings"`
	Refused  map[string]uint64 `json:"refused"`
	Surplus  uint64            `json:"surplus"`
	Repeated uint64            `json:"repeated_records"`
	// Letters are records that could not be applied, those that a stage panicked on among them: in all, and by code.
	Letters int64         `json:"dead_letters"`
	ByCode  []LetterTotal `json:"dead_letters_by_code"`
	Rules   []RuleTotal   `json:"rules"`
	// Before are alerts that were open at From already; they are not among those told.
	Before int `json:"open_before"`
	// Untold are alerts beyond those that are told one by one.
	Untold int `json:"alerts_untold"`
}

// ErrTooManySeries: there are more series than Options.MaxSeries.
var ErrTooManySeries = errors.New("more series than a run may hold")

type run struct {
	o        *Options
	replay   *pipeline.Replay
	ledger   *ledger
	offset   int64
	now      int64 // processing time (µs) of what is being fed
	read     int64 // and of what was read
	ticked   int64
	batch    []kafka.Record
	held     int   // bytes of batch
	began    int64 // processing time (µs) of the first record of batch
	partials []kafka.Record
	totals   Totals
	letters  letters

	rested, told time.Time
}

// Run replays what src yields, until its end, To, or the end of ctx.
func Run(ctx context.Context, o Options, src Source) (*Totals, []Alert, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, nil, err
	}
	if err := r.replayAll(ctx, src); err != nil {
		return nil, nil, err
	}
	if err := r.finish(ctx); err != nil {
		return nil, nil, err
	}
	return r.sum(), r.ledger.list(), nil
}

func newRun(o Options) (*run, error) {
	if o.To == 0 {
		o.To = math.MaxInt64
	}
	r := &run{o: &o, ledger: newLedger(&o), letters: make(letters), rested: time.Now(), told: time.Now()}
	var err error
	r.replay, err = pipeline.NewReplay(pipeline.ReplayOptions{
		Config: o.Config, Plan: o.Plan, Fixed: true, Partitions: 1,
		Update: r.update, Alert: r.alert, Partial: r.partial,
		Letter: r.letter,
	})
	return r, err
}

func (r *run) replayAll(ctx context.Context, src Source) error {
	for {
		rec, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			return r.flush(ctx)
		}
		if err != nil {
			return err
		}
		at := rec.Time * 1000
		if at > r.o.To {
			return r.flush(ctx)
		}
		r.read = max(r.read, at)
		if !r.concerns(rec) {
			if err := r.pause(ctx); err != nil {
				return err
			}
			continue
		}
		if !wire.IsControl(rec.Value) {
			if r.totals.Records++; r.totals.First == 0 {
				r.totals.First = at
			}
			r.totals.Last = max(r.totals.Last, at)
			r.ledger.last = r.totals.Last
		}
		if err := r.take(ctx, rec, at); err != nil {
			return err
		}
	}
}

// concerns reports whether a record is to be replayed. Of what a plan led to, nothing is: this one leads to its own.
func (r *run) concerns(rec *kafka.Record) bool {
	if !wire.IsControl(rec.Value) {
		return r.o.Admit == nil || r.o.Admit(string(rec.Key))
	}
	c, err := wire.DecodeControl(rec.Value)
	if err != nil {
		return false
	}
	switch c.Kind {
	case wire.ControlTick:
		r.ticked = max(r.ticked, c.Time)
		return true
	case wire.ControlSilence:
		return true
	case wire.ControlDeleteDevice:
		return r.o.Admit == nil || r.o.Admit(c.Device)
	}
	return false
}

// take adds a record to the batch. It is fed when its time has come.
func (r *run) take(ctx context.Context, rec *kafka.Record, at int64) error {
	apart := !r.o.Live || at-r.began >= batchSpan || r.began < r.o.From && at >= r.o.From
	full := len(r.batch) >= batchRecords || r.held >= batchBytes || len(r.batch) > 0 && apart
	if full || r.due(at) {
		if err := r.flush(ctx); err != nil {
			return err
		}
		if err := r.advance(ctx, at); err != nil {
			return err
		}
	}
	if len(r.batch) == 0 {
		r.began = at
	}
	r.held += len(rec.Key) + len(rec.Value)
	r.batch = append(r.batch, kafka.Record{Time: rec.Time, Key: bytes.Clone(rec.Key), Value: bytes.Clone(rec.Value)})
	return nil
}

func (r *run) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	r.now = max(r.now, r.batch[0].Time*1000)
	batch := r.batch
	r.batch, r.held = r.batch[:0], 0
	if err := r.feed(batch); err != nil {
		return err
	}
	if n := r.replay.Series(); r.o.MaxSeries > 0 && n > r.o.MaxSeries {
		return fmt.Errorf("%w: %d", ErrTooManySeries, r.o.MaxSeries)
	}
	return r.pause(ctx)
}

// feed gives records their offsets, and then what they contribute to groups.
func (r *run) feed(batch []kafka.Record) error {
	for len(batch) > 0 {
		for i := range batch {
			batch[i].Offset = r.offset
			r.offset++
		}
		if err := r.replay.Feed(batch, r.offset); err != nil {
			return err
		}
		batch, r.partials = r.partials, nil
	}
	return nil
}

// slack is for how long a tick is waited for.
func (r *run) slack() int64 {
	if r.o.Live {
		return storedTicks
	}
	return 0
}

// tickAt is when (µs) the next tick is to be made; MaxInt64: not before something comes.
func (r *run) tickAt() int64 {
	due := r.replay.Due()
	if due == math.MaxInt64 {
		return due
	}
	whole := (due + second - 1) / second * second
	return max(whole, r.ticked+tickEvery)
}

func (r *run) due(at int64) bool {
	next := r.tickAt()
	return next != math.MaxInt64 && next+r.slack() <= at
}

// advance makes the ticks that are due by at.
func (r *run) advance(ctx context.Context, at int64) error {
	for r.due(at) {
		if err := r.pause(ctx); err != nil {
			return err
		}
		r.ticked = r.tickAt()
		r.now = max(r.now, r.ticked)
		tick := kafka.Record{Time: r.ticked / 1000, Value: wire.AppendControl(nil, &wire.Control{Kind: wire.ControlTick, Time: r.ticked})}
		if err := r.feed([]kafka.Record{tick}); err != nil {
			return err
		}
	}
	return nil
}

// finish lets time come to the end.
func (r *run) finish(ctx context.Context) error {
	end := r.o.To
	if end == math.MaxInt64 {
		end = r.read + r.o.After
	}
	if err := r.advance(ctx, end+r.slack()); err != nil {
		return err
	}
	r.now = max(r.now, end)
	r.ledger.last = max(r.ledger.last, min(r.now, end))
	return nil
}

// pause tells the progress, and rests if it is time to.
func (r *run) pause(ctx context.Context) error {
	now := time.Now()
	if r.o.Progress != nil && now.Sub(r.told) >= progressEvery {
		r.told = now
		r.o.Progress(r.progress())
	}
	if worked := now.Sub(r.rested); r.o.Rest && worked >= workSpan {
		rest := time.NewTimer(min(worked, 5*workSpan))
		defer rest.Stop()
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
		r.rested = time.Now()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (r *run) progress() Progress {
	return Progress{Time: max(r.now, r.read), Records: r.totals.Records, Series: r.replay.Series()}
}

func (r *run) update(u *telemetry.Update) {
	if r.o.Update != nil && u.N > 0 && r.now >= r.o.From {
		r.o.Update(u)
	}
}

func (r *run) alert(a *telemetry.Alert) {
	if r.o.Alerted != nil && !r.o.Alerted(a.Series) {
		return
	}
	if r.ledger.take(a, r.now) && r.o.Alert != nil {
		r.o.Alert(a)
	}
}

func (r *run) letter(l *wire.DeadLetter) {
	r.totals.Letters++
	r.letters.take(l, r.now, r.o.Admit == nil || r.o.Admit(l.Device))
}

func (r *run) partial(_ int, c *wire.Control) {
	c.Time = r.now
	r.partials = append(r.partials, kafka.Record{Time: r.now / 1000, Key: []byte(c.Device), Value: wire.AppendControl(nil, c)})
}

func (r *run) sum() *Totals {
	t, tally := &r.totals, r.replay.Tally()
	t.Progress = r.progress()
	t.Readings, t.Refused, t.Surplus, t.Repeated = tally.Readings, tally.Refused, tally.Surplus, tally.Repeated
	t.ByCode = r.letters.totals()
	t.Rules, t.Before, t.Untold = r.ledger.totals(), r.ledger.before, r.ledger.untold
	return t
}
